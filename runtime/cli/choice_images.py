"""The images that a pruning is chosen by, and those it is reported on: never the same."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.runtime.cli.common import read_array, shipped_data

if TYPE_CHECKING:
    from pumice.models.training.digits import Samples

SPLITS = ("calibration", "validation")  # never test: what is chosen by is not reported by


@dataclass(frozen=True, eq=False)
class ChoiceImages:
    """What a pruning is chosen by, what it is reported on (None: nothing), and the former in words."""

    chosen_by: Samples
    test: Samples | None
    words: str


def choice_images(model: str, data: str, labels: Path | None, split: str) -> ChoiceImages:
    """The images of `--data`, `--labels` and `--split` for a model by name or path.

    Raises InputError for a split that is not to choose by, and for files that are no images with labels.
    """
    if split not in SPLITS:
        raise InputError(f"--split {split!r}", "use calibration or validation; test images are for reporting only")
    if not data.endswith(".npy"):
        if labels is not None:
            raise InputError(f"--labels {labels} without images", "give them with --data FILE.npy")
        splits = shipped_data(data or model)
        samples: Samples = getattr(splits, split)
        return ChoiceImages(samples, splits.test, f"{len(samples.labels)} {split} images")
    if labels is None:
        raise InputError(f"--data {data} without labels", "accuracy needs them: --labels FILE.npy")
    images = read_array(Path(data))
    if images.dtype.kind not in "biuf":
        raise InputError(f"{data}: an array of {images.dtype}, not of numbers", "give images as real numbers")
    samples = _labelled(images, read_array(labels), labels)
    return ChoiceImages(samples, None, f"{len(samples.labels)} images of {Path(data).name}")


def _labelled(images: NDArray[Any], labels: NDArray[Any], where: Path) -> Samples:
    import torch

    from pumice.models.training.digits import Samples

    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu":
        raise InputError(
            f"{where}: {labels.dtype} {labels.shape} for {len(images)} images", "one whole number per image"
        )
    return Samples(torch.from_numpy(images.astype(np.float32)), torch.from_numpy(labels.astype(np.int64)))
