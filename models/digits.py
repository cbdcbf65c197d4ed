"""The handwritten digits that ship with scikit-learn (UCI, 1797 images of 8x8): small, real, and there offline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumice.errors import BackendUnavailable

TEST_SAMPLES = 360
VALIDATION_SAMPLES = 144
CALIBRATION_SAMPLES = 128
SPLIT_SEED = 0


@dataclass(frozen=True)
class Samples:
    """images: float32 `[samples, 1, 8, 8]` in [0, 1]; labels: int64 `[samples]`, 0 to 9."""

    images: Tensor
    labels: Tensor


@dataclass(frozen=True)
class Digits:
    """The fixed stratified split: `train` 1437 and `test` 360 images. `validation` (144) and `calibration` (128) are cut
    from `train`, and `fit` is train without validation, so that nothing is ever chosen by the test images."""

    train: Samples
    test: Samples
    fit: Samples
    validation: Samples
    calibration: Samples


def load_digits() -> Digits:
    """The data set, split the same way every time. Raises BackendUnavailable without scikit-learn."""
    images, labels = _read()
    everything = np.arange(len(labels))
    train, test = _stratified(everything, labels, TEST_SAMPLES)
    fit, validation = _stratified(train, labels, VALIDATION_SAMPLES)
    _, calibration = _stratified(fit, labels, CALIBRATION_SAMPLES)
    cuts = (train, test, fit, validation, calibration)
    return Digits(*(Samples(images[cut], torch.from_numpy(labels[cut])) for cut in cuts))


def _read() -> tuple[Tensor, NDArray[np.int64]]:
    try:
        from sklearn.datasets import load_digits as read
    except ImportError as error:
        raise BackendUnavailable(
            "the digits data set comes with scikit-learn", "pip install 'pumice[torch]'"
        ) from error
    data = read()
    images = torch.from_numpy(np.asarray(data.images, np.float32) / 16).unsqueeze(1)
    return images, np.asarray(data.target, np.int64)


def _stratified(
    pool: NDArray[np.int64], labels: NDArray[np.int64], held_out: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    from sklearn.model_selection import train_test_split

    kept, taken = train_test_split(pool, test_size=held_out, random_state=SPLIT_SEED, stratify=labels[pool])
    return np.sort(kept), np.sort(taken)
