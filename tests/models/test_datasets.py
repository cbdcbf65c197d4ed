"""The digits' split is fixed and honest at every size; events come from brightness that changes; a model names its data."""

from __future__ import annotations

import pytest
import torch

from pumice.errors import InputError
from pumice.models.training.datasets import DigitEvents, DigitImages, data_of, described, zoo_data
from pumice.models.training.digits import Digits, Samples, load_digits
from pumice.models.training.events import DARK, THRESHOLD, EventDigits, circles, events, load_event_digits, seen_from


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture(scope="module")
def stream() -> EventDigits:
    return load_event_digits(size=16, steps=4)


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


def test_enlarged_digits_are_the_same_digits(digits: Digits) -> None:
    large = load_digits(24)
    assert large.test.images.shape == (360, 1, 24, 24)
    assert torch.equal(large.test.labels, digits.test.labels)
    torch.testing.assert_close(
        large.test.images[..., 1::3, 1::3], digits.test.images
    )  # a pixel's middle keeps its value
    assert large.test.images.max() <= 1


def test_a_size_below_the_images_own_is_refused() -> None:
    with pytest.raises(InputError, match="digits: size 7 is below the 8 pixels"):
        load_digits(7)
    with pytest.raises(InputError, match="event digits: size 16, steps 0, recordings 1"):
        load_event_digits(16, 0)


def test_events_have_the_digits_split_and_labels(stream: EventDigits, digits: Digits) -> None:
    for name in ("fit", "validation", "calibration", "test"):
        cut = getattr(stream, name)
        assert torch.equal(cut.labels, getattr(digits, name).labels)
        assert cut.images.shape == (len(cut.labels), 4, 2, 16, 16)
        assert cut.images.dtype == torch.float32
        assert ((cut.images == 0) | (cut.images == 1)).all()
        assert (cut.images.sum(2) <= 1).all()  # never ON and OFF at once
        assert (cut.images.sum((1, 3, 4)) > 0).all()  # every digit makes both polarities
    inside = {image.numpy().tobytes() for image in stream.fit.images}
    assert all(image.numpy().tobytes() in inside for image in stream.calibration.images)


def test_same_seed_same_events_other_seed_others(stream: EventDigits) -> None:
    assert torch.equal(load_event_digits(16, 4).test.images, stream.test.images)
    assert not torch.equal(load_event_digits(16, 4, seed=1).test.images, stream.test.images)


def test_only_the_images_to_fit_are_recorded_again(stream: EventDigits) -> None:
    again = load_event_digits(16, 4, recordings=2)
    assert torch.equal(again.test.images, stream.test.images)
    first, second = again.fit.images.chunk(2)
    assert torch.equal(first, stream.fit.images)
    assert torch.equal(again.fit.labels, stream.fit.labels.repeat(2))
    assert not (first == second).flatten(1).all(1).any()


def test_a_still_camera_sees_nothing_and_one_that_turns_back_swaps_polarities(digits: Digits) -> None:
    images = digits.test.images[:20]
    still = torch.zeros(20, 3, 2)
    assert events(seen_from(images, still, 16)).sum() == 0
    there_and_back = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]).expand(20, 3, 2)
    frames = events(seen_from(images, there_and_back, 16))
    assert frames.sum() > 0
    assert torch.equal(frames[:, 0].flip(1), frames[:, 1])


def test_a_camera_that_moves_right_sees_the_image_move_left(digits: Digits) -> None:
    images = digits.test.images[:5]
    path = torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]).expand(5, 3, 2)
    first, right, down = seen_from(images, path, 8)
    torch.testing.assert_close(first, images[:, 0])
    torch.testing.assert_close(right[..., :-1], images[:, 0, :, 1:])
    torch.testing.assert_close(down[:, :-1], images[:, 0, 1:])


def test_a_pixel_fires_when_small_changes_add_up_to_the_threshold() -> None:
    levels = torch.tensor([0.0, 0.45, 0.9, 1.35, 1.8, 0.0]) * THRESHOLD
    views = (levels.exp() - DARK)[:, None, None, None]
    frames = events(views)[0, :, :, 0, 0]
    assert frames.tolist() == [[0, 0], [0, 0], [1, 0], [0, 0], [0, 1]]


def test_the_camera_goes_round_once_on_a_small_circle() -> None:
    path = circles(500, 8, 0)
    torch.testing.assert_close(path[:, 0], path[:, -1])
    radius = path.norm(dim=-1)
    torch.testing.assert_close(radius, radius[:, :1].expand(-1, 9))
    assert radius.min() >= 0.25
    assert radius.max() <= 0.5
    turn = path[:, 0, 0] * path[:, 1, 1] - path[:, 0, 1] * path[:, 1, 0]
    assert 200 < (turn > 0).sum() < 300


@pytest.mark.parametrize("spec", [DigitImages(), DigitImages(24), DigitEvents(49, 8, 3, 2)])
def test_a_description_survives_json(spec: DigitImages | DigitEvents) -> None:
    assert described(spec.as_dict()) == spec


def test_a_checkpoint_names_its_data(digits: Digits) -> None:
    assert data_of({"data": {"name": "digits", "size": 10}}).test.images.shape == (360, 1, 10, 10)
    assert torch.equal(data_of({}).test.images, digits.test.images)
    assert torch.equal(zoo_data("spikformer-digits").test.images, digits.test.images)
    with pytest.raises(InputError, match="unknown data set 'cifar'"):
        data_of({"data": {"name": "cifar"}})
    with pytest.raises(InputError, match=r"data set 'digits': .*unexpected keyword"):
        data_of({"data": {"name": "digits", "depth": 3}})
    with pytest.raises(InputError, match="the zoo has no model 'resnet'"):
        zoo_data("resnet")
