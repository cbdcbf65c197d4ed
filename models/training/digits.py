"""The handwritten digits that ship with scikit-learn (UCI, 1797 images of 8x8): small, real, and there offline."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.errors import BackendUnavailable, InputError

TEST_SAMPLES = 360
VALIDATION_SAMPLES = 144
CALIBRATION_SAMPLES = 128
SPLIT_SEED = 0
SIZE = 8  # pixels a side, as the images ship


@dataclass(frozen=True)
class Samples:
    """images: float32 `[samples, C, H, W]` in [0, 1], the digits' `[samples, 1, 8, 8]`, or event frames
    `[samples, T, C, H, W]`; labels: int64 `[samples]`, 0 to 9."""

    images: Tensor
    labels: Tensor


class LabelledSplit(Protocol):
    """What a data set is to training and to whoever runs a model on it: the four cuts of `Digits` that are used."""

    @property
    def fit(self) -> Samples: ...
    @property
    def validation(self) -> Samples: ...
    @property
    def calibration(self) -> Samples: ...
    @property
    def test(self) -> Samples: ...


@dataclass(frozen=True)
class Digits:
    """The fixed stratified split: `train` 1437 and `test` 360 images. `validation` (144) and `calibration` (128) are cut
    from `train`, and `fit` is train without validation, so that nothing is ever chosen by the test images."""

    train: Samples
    test: Samples
    fit: Samples
    validation: Samples
    calibration: Samples


@dataclass(frozen=True)
class Cuts:
    """The split as sorted image indices, int64 `[samples]` each; see `Digits`."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    fit: NDArray[np.int64]
    validation: NDArray[np.int64]
    calibration: NDArray[np.int64]


def load_digits(size: int = SIZE) -> Digits:
    """The data set, split the same way every time, enlarged bilinearly to `size` x `size` pixels.

    Raises InputError for a size below 8, BackendUnavailable without scikit-learn.
    """
    if size < SIZE:
        raise InputError(f"digits: size {size} is below the {SIZE} pixels they have", f"give {SIZE} or more")
    images, labels = read_digits()
    if size != SIZE:
        images = nn.functional.interpolate(images, size=(size, size), mode="bilinear", align_corners=False)
    cuts = split_digits(labels)
    return Digits(
        *(_cut(images, labels, cut) for cut in (cuts.train, cuts.test, cuts.fit, cuts.validation, cuts.calibration))
    )


def read_digits() -> tuple[Tensor, NDArray[np.int64]]:
    """All images, float32 `[1797, 1, 8, 8]` in [0, 1], and labels, in the order in which they ship."""
    try:
        from sklearn.datasets import load_digits as read
    except ImportError as error:
        raise BackendUnavailable(
            "the digits data set comes with scikit-learn", "pip install 'pumice[torch]'"
        ) from error
    data = read()
    images = torch.from_numpy(np.asarray(data.images, np.float32) / 16).unsqueeze(1)
    return images, np.asarray(data.target, np.int64)


def split_digits(labels: NDArray[np.int64]) -> Cuts:
    """The split that every data set made from the digits shares."""
    everything = np.arange(len(labels))
    train, test = _stratified(everything, labels, TEST_SAMPLES)
    fit, validation = _stratified(train, labels, VALIDATION_SAMPLES)
    _, calibration = _stratified(fit, labels, CALIBRATION_SAMPLES)
    return Cuts(train, test, fit, validation, calibration)


def _cut(images: Tensor, labels: NDArray[np.int64], cut: NDArray[np.int64]) -> Samples:
    return Samples(images[cut], torch.from_numpy(labels[cut]))


def _stratified(
    pool: NDArray[np.int64], labels: NDArray[np.int64], held_out: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    kept, taken = train_test_split(pool, test_size=held_out, random_state=SPLIT_SEED, stratify=labels[pool])
    return np.sort(kept), np.sort(taken)
