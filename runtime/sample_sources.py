"""Samples that come in chunks, so that a data set need not fit in memory: arrays, a `.npy` file, or a folder of shards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.runtime.row_files import RowFile, members, row_file

INPUTS, LABELS = "inputs", "labels"
Chunk = tuple[NDArray[Any], NDArray[np.int64] | None]


@dataclass(frozen=True, eq=False)
class Shard:
    """Samples [samples, …] of one place, on disk or in memory, and their labels [samples] or None."""

    inputs: RowFile | NDArray[Any]
    labels: RowFile | NDArray[Any] | None

    def chunks(self, size: int) -> Iterator[Chunk]:
        """Up to `size` samples at a time."""
        inputs = _rows(self.inputs, size)
        if self.labels is None:
            return ((batch, None) for batch in inputs)
        labels = (np.asarray(part, np.int64) for part in _rows(self.labels, size))
        return zip(inputs, labels, strict=True)


@dataclass(frozen=True, eq=False)
class SampleSource:
    """Shards of samples of one shape; all of them have labels, or none has."""

    shards: tuple[Shard, ...]

    @property
    def samples(self) -> int:
        """How many there are in all."""
        return sum(shard.inputs.shape[0] for shard in self.shards)

    @property
    def labelled(self) -> bool:
        """Whether the classes are known."""
        return self.shards[0].labels is not None

    def chunks(self, size: int) -> Iterator[Chunk]:
        """All samples in order, at most `size` at a time; a chunk does not span shards."""
        return (chunk for shard in self.shards for chunk in shard.chunks(size))


def from_arrays(inputs: NDArray[Any], labels: NDArray[Any] | None) -> SampleSource:
    """Samples that are in memory already."""
    return SampleSource((Shard(inputs, labels),))


def from_file(path: Path, labels: Path | None) -> SampleSource:
    """A `.npy` file, with the `.npy` file of its labels if there is one. Raises InputError where they do not fit."""
    return _checked([Shard(row_file(path), None if labels is None else row_file(labels))])


def from_folder(folder: Path) -> SampleSource:
    """The `.npy` and `.npz` files of a folder, by name. An archive holds `inputs` and maybe `labels`. Raises InputError, before
    any sample is read, where a shard is no such file or differs from the first one."""
    paths = sorted(path for path in folder.iterdir() if path.suffix in (".npy", ".npz"))
    if not paths:
        raise InputError(f"{folder}: no .npy or .npz file in it", "give a folder of shards, or one .npy file")
    return _checked([_shard(path) for path in paths])


def _shard(path: Path) -> Shard:
    if path.suffix == ".npy":
        return Shard(row_file(path), None)
    names = members(path)
    if INPUTS not in names:
        raise InputError(f"{path}: no array {INPUTS!r} in it", f"write it with numpy.savez(path, {INPUTS}=…)")
    return Shard(row_file(path, INPUTS), row_file(path, LABELS) if LABELS in names else None)


def _checked(shards: list[Shard]) -> SampleSource:
    first = shards[0]
    for shard in shards:
        inputs, labels = shard.inputs, shard.labels
        assert isinstance(inputs, RowFile)
        if inputs.shape[1:] != first.inputs.shape[1:]:
            found = f"samples of shape {inputs.shape[1:]}, those before have {first.inputs.shape[1:]}"
            raise InputError(f"{inputs.name}: {found}", "samples of one data set have one shape")
        if (labels is None) != (first.labels is None):
            what = "no labels" if labels is None else "labels"
            raise InputError(f"{inputs.path}: {what}, unlike the shards before", f"give all shards {LABELS}, or none")
        if isinstance(labels, RowFile) and (labels.shape != inputs.shape[:1] or labels.dtype.kind not in "iu"):
            what = f"{labels.dtype} {labels.shape} for {inputs.shape[0]} samples"
            raise InputError(f"{labels.name}: {what}", "one whole number per sample")
    return SampleSource(tuple(shards))


def _rows(array: RowFile | NDArray[Any], size: int) -> Iterable[NDArray[Any]]:
    if isinstance(array, RowFile):
        return array.rows(size)
    return (array[start : start + size] for start in range(0, len(array), size))
