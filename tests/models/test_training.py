"""Training is deterministic, trains any network in place, and leaves torch as it found it; augmentation and token dropout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.models.network import Masks, SpikingNetwork
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import SpikformerDvs, SpikformerDvsConfig
from pumice.models.training.augmentation import augment
from pumice.models.training.digits import Digits, Samples, load_digits
from pumice.models.training.loop import TrainingOptions, evaluate, train, train_model, train_new
from pumice.models.training.losses import ratio_distance, selecting_cross_entropy, smoothed_cross_entropy
from pumice.models.training.token_dropout import mask_shapes, random_masks

TINY = SpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=1, T=2, pool_stages=())
QUICK = TrainingOptions(epochs=1, batch=16, warmup_epochs=1, threads=1)
SPARSE = SparseSpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=2, T=2, pruning_loc=(1,), token_ratio=(0.25,))
NETWORKS: dict[str, Callable[[], SpikingNetwork]] = {
    "spikformer": lambda: Spikformer(TINY),
    "sdt-v1": lambda: SdtV1(SdtV1Config(8, 8, 4, 1, 10, 8, 2, 1, depths=1, T=2, pooling_stat="0000")),
    "qkformer": lambda: QKFormer(QKFormerConfig(8, 8, 4, 1, 10, 32, 8, 1, depths=3, T=2)),
    "sdt-v3": lambda: SdtV3(SdtV3Config(8, 8, 4, 1, 10, (4, 4, 4, 4), 2, 1)),
}


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def few(digits: Digits) -> Digits:
    """The same data set with 64 images to fit and 20 to validate by."""
    fit = Samples(digits.fit.images[:64], digits.fit.labels[:64])
    validation = Samples(digits.validation.images[:20], digits.validation.labels[:20])
    return Digits(digits.train, digits.test, fit, validation, digits.calibration)


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


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_trains_in_place_with_token_dropout(few: Digits, name: str) -> None:
    torch.manual_seed(0)
    model = NETWORKS[name]()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    result = train_model(model, few, replace(QUICK, token_dropout=1.0))
    assert result.model is model
    assert not model.training
    changed = [key for key, value in model.named_parameters() if not torch.equal(value, before[key])]
    assert "head.weight" in changed
    assert any(key.startswith(("block", "stage")) for key in changed)


def test_event_frames_train_and_stay_binary(few: Digits) -> None:
    seen: list[Tensor] = []
    frames = (torch.rand(64, 3, 2, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.9).float()
    data = replace(few, fit=Samples(frames, few.fit.labels), validation=Samples(frames[:20], few.validation.labels))

    def loss(model: SpikingNetwork, images: Tensor, labels: Tensor, masks: Masks | None) -> Tensor:
        seen.append(images)
        return smoothed_cross_entropy(0.1)(model, images, labels, masks)

    config = SpikformerDvsConfig(16, 16, 4, 2, 10, 8, 2, 1, depths=1, T=3)
    train_new(lambda: SpikformerDvs(config), data, replace(QUICK, token_dropout=1.0), loss=loss)
    assert all(((images == 0) | (images == 1)).all() for images in seen)
    assert not torch.equal(seen[0].sum(), frames[:16].sum())


def test_training_goes_on_from_the_weights_there_are(few: Digits) -> None:
    once = train(TINY, few, 3, QUICK).model
    start = {key: value.clone() for key, value in once.state_dict().items()}
    still = train_model(once, few, replace(QUICK, learning_rate=0.0), 4).model
    assert all(torch.equal(value, start[key]) for key, value in still.named_parameters())


def test_a_callback_after_every_step_keeps_pruned_weights_at_zero(few: Digits) -> None:
    torch.manual_seed(0)
    model = Spikformer(TINY)
    steps: list[int] = []

    def prune() -> None:
        steps.append(1)
        with torch.no_grad():
            model.head.weight[:, :4] = 0

    train_model(model, few, replace(QUICK, epochs=2), after_step=prune)
    assert len(steps) == 2 * 64 // 16
    assert (model.head.weight[:, :4] == 0).all()
    assert (model.head.weight[:, 4:] != 0).any()


def test_pruning_set_on_the_model_is_in_force_while_it_trains(few: Digits) -> None:
    def trained(pruning: TokenPruning | None) -> Tensor:
        torch.manual_seed(0)
        model = Spikformer(TINY, pruning)
        train_model(model, few, replace(QUICK, token_dropout=0.0))
        return model.head.weight.detach()

    assert not torch.equal(trained(TokenPruning((0.25,))), trained(None))


def test_selectors_learn_their_ratio(few: Digits) -> None:
    torch.manual_seed(0)
    model = SparseSpikformer(SPARSE)
    options = replace(QUICK, epochs=5, learning_rate=0.02, token_dropout=0.0)
    loss = selecting_cross_entropy(label_smoothing=0.0, ratio_weight=20.0)

    def share_kept() -> float:
        torch.manual_seed(1)
        with torch.no_grad():
            return float(model.train().decide(few.fit.images)[1][0].mean())

    before = share_kept()
    train_model(model, few, options, loss=loss)
    assert abs(share_kept() - 0.25) < abs(before - 0.25) / 2


def test_ratio_distance_is_the_mean_square() -> None:
    kept = torch.tensor([[1.0, 0, 0, 0], [1.0, 1.0, 0, 0]])
    assert ratio_distance((kept, kept), (0.5, 0.25)).item() == pytest.approx((0.0625 + 0 + 0 + 0.0625) / 4)


def test_a_network_that_takes_no_masks_is_refused_token_dropout(few: Digits) -> None:
    with pytest.raises(InputError, match="SparseSpikformer takes no routing masks"):
        train_model(SparseSpikformer(SPARSE), few, QUICK)


def test_no_augmentation_is_the_identity_and_some_keeps_the_range(digits: Digits) -> None:
    images = digits.fit.images[:8]
    torch.testing.assert_close(augment(images, 0.0, 0.0, 0.0), images, atol=1e-5, rtol=0)
    moved = augment(images, angle=8.0, zoom=0.08, shift=0.6)
    assert not torch.allclose(moved, images, atol=0.05)
    assert moved.min() >= 0
    assert moved.max() <= 1 + 1e-5


def test_all_frames_of_a_stream_move_alike(digits: Digits) -> None:
    frame = (digits.fit.images[:8] > 0.5).float()
    stream = frame[:, None].expand(-1, 5, 2, -1, -1).contiguous()
    moved = augment(stream, angle=20.0, zoom=0.1, shift=2.0)
    assert torch.equal(moved, moved[:, :1, :1].expand_as(moved))
    assert not torch.equal(moved, stream)


@pytest.mark.parametrize("name", NETWORKS)
def test_token_dropout_masks_fit_every_block(digits: Digits, name: str) -> None:
    """The witness is the network: it refuses masks that do not fit, and routes by those that do."""
    model, images = NETWORKS[name]().eval(), digits.fit.images[:2]
    masks = random_masks(model, images, 1.0, (0.3, 0.9))
    assert masks is not None
    assert [tuple(mask.shape[::2]) for mask in masks] == list(mask_shapes(model, images))
    for given, used in zip(masks, model.trace(images, masks).masks, strict=True):
        assert torch.equal(given, used)


def test_token_dropout_keeps_the_share_it_says(digits: Digits) -> None:
    torch.manual_seed(0)
    model, images = Spikformer(TINY), digits.fit.images[:64]
    assert random_masks(model, images, 0.0, (0.3, 0.9)) is None
    masks = random_masks(model, images, 1.0, (0.3, 0.9))
    assert masks is not None
    share = masks[0].float().mean((0, 2))
    assert share.mean().item() == pytest.approx(0.6, abs=0.05)
    assert share.min() < 0.45
    assert share.max() > 0.75


def test_impossible_options_are_refused() -> None:
    with pytest.raises(InputError, match="training: epochs is 0, but must be at least 1"):
        TrainingOptions(epochs=0)
