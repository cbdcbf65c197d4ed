"""The digits' split is fixed and honest, and training is deterministic and leaves torch as it found it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pumice.errors import InputError
from pumice.models.checkpoints import load_checkpoint, read_facts
from pumice.models.digits import Digits, Samples, load_digits
from pumice.models.spikformer import SpikformerConfig
from pumice.models.training import DIGITS_CONFIG, TrainingOptions, augment, evaluate, random_masks, train, train_recipe

TINY = SpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=1, T=2, pool_stages=())


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def few(digits: Digits) -> Digits:
    """The same data set with 64 images to fit and 20 to validate by."""
    fit = Samples(digits.fit.images[:64], digits.fit.labels[:64])
    validation = Samples(digits.validation.images[:20], digits.validation.labels[:20])
    return Digits(digits.train, digits.test, fit, validation, digits.calibration)


def as_set(samples: Samples) -> set[bytes]:
    return {image.numpy().tobytes() for image in samples.images}


def test_split_has_its_sizes_and_range(digits: Digits) -> None:
    cuts = (digits.train, digits.test, digits.fit, digits.validation, digits.calibration)
    assert [len(cut.labels) for cut in cuts] == [1437, 360, 1293, 144, 128]
    for cut in cuts:
        assert cut.images.shape == (len(cut.labels), 1, 8, 8)
        assert (cut.images.dtype, cut.labels.dtype) == (torch.float32, torch.int64)
        assert cut.images.min() == 0
        assert cut.images.max() == 1
        assert (cut.images * 16 == (cut.images * 16).round()).all()


def test_nothing_is_tuned_on_the_test_images(digits: Digits) -> None:
    assert not as_set(digits.test) & as_set(digits.train)
    assert as_set(digits.fit) | as_set(digits.validation) == as_set(digits.train)
    assert not as_set(digits.fit) & as_set(digits.validation)
    assert as_set(digits.calibration) <= as_set(digits.fit)


def test_split_is_stratified_and_fixed(digits: Digits) -> None:
    assert torch.bincount(digits.test.labels).tolist() == torch.bincount(load_digits().test.labels).tolist()
    assert torch.equal(digits.test.images, load_digits().test.images)
    assert all(34 <= count <= 38 for count in torch.bincount(digits.test.labels).tolist())


def test_same_seed_same_weights_other_seed_others(few: Digits) -> None:
    options = TrainingOptions(epochs=2, batch=16, warmup_epochs=1, threads=1)
    first, again = (train(TINY, few, 5, options).model.state_dict() for _ in range(2))
    other = train(TINY, few, 6, options).model.state_dict()
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_training_leaves_torch_s_random_numbers_and_threads_alone(few: Digits) -> None:
    torch.manual_seed(11)
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    train(TINY, few, 0, TrainingOptions(epochs=1, threads=threads + 1))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_training_learns_and_returns_the_last_epoch(few: Digits) -> None:
    result = train(TINY, few, 0, TrainingOptions(epochs=6, batch=16, learning_rate=0.01, token_dropout=0.0, threads=1))
    assert [epoch.number for epoch in result.history] == [1, 2, 3, 4, 5, 6]
    assert result.history[-1].train_loss < result.history[0].train_loss
    last = result.history[-1]
    assert evaluate(result.model, few.validation) == pytest.approx((last.accuracy, last.loss), abs=1e-5)


def test_recipe_writes_a_checkpoint_that_says_how_it_was_made(
    few: Digits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pumice.models.training.load_digits", lambda: few)
    measured = train_recipe(tmp_path / "digits.safetensors", seed=2, epochs=1)
    assert set(measured) == {"seed", "epochs", "validation_accuracy", "test_accuracy", "seconds"}
    assert load_checkpoint(tmp_path / "digits.safetensors").config == DIGITS_CONFIG
    facts = read_facts(tmp_path / "digits.safetensors")
    assert facts["command"] == "pumice train spikformer-digits --seed 2 --epochs 1"


def test_no_augmentation_is_the_identity_and_some_keeps_the_range(digits: Digits) -> None:
    images = digits.fit.images[:8]
    still = augment(images, TrainingOptions(angle=0.0, zoom=0.0, shift=0.0))
    torch.testing.assert_close(still, images, atol=1e-5, rtol=0)
    moved = augment(images, TrainingOptions())
    assert not torch.allclose(moved, images, atol=0.05)
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-5


def test_token_dropout_keeps_the_share_it_says() -> None:
    torch.manual_seed(0)
    assert random_masks(DIGITS_CONFIG, 4, TrainingOptions(token_dropout=0.0)) is None
    masks = random_masks(DIGITS_CONFIG, 64, TrainingOptions(token_dropout=1.0))
    assert masks is not None
    assert [mask.shape for mask in masks] == [(4, 64, 64)] * 2
    assert masks[0].float().mean().item() == pytest.approx(0.6, abs=0.05)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="training: epochs is 0, but must be at least 1"):
        TrainingOptions(epochs=0)
