"""A data set through a program, chunk by chunk: memory is bounded by a chunk, whatever the number of samples."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.compiler.walk import batch_size
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.hwsim.counters import CountTable, added_tables
from pumice.progress import Progress, no_progress
from pumice.runtime.recording import ends_of
from pumice.runtime.result import Backend, RunResult
from pumice.runtime.sample_sources import SampleSource

BATCHES = 8  # of the executor in a chunk: what a run pays once is paid once in so many
BLOCK = 1 << 20  # bytes of a finished file that are copied at once
MakeBackend = Callable[[Progress], Backend]


@dataclass(frozen=True)
class Streamed:
    """What is left of a run: how many samples, how many of them right (None without labels), and their counts (None where the
    backend does not count)."""

    samples: int
    correct: int | None
    counts: CountTable | None

    @property
    def accuracy(self) -> float | None:
        """Share of samples classified rightly, None without labels."""
        return None if self.correct is None else self.correct / self.samples


def chunk_size(program: Program) -> int:
    """How many samples a program is given at once."""
    return BATCHES * batch_size(program.graph)


def stream(
    program: Program,
    source: SampleSource,
    make: MakeBackend,
    output: Path,
    must_count: bool = False,
    progress: Progress = no_progress,
) -> Streamed:
    """Runs all samples of `source` and writes the `.npz` file `output`: what `pumice run` writes of each output, `predictions`,
    and `labels` where known, all [samples, …]. The file appears whole or not at all.

    make: the backend, which is told how to report its progress. must_count: raise InputError, after the first chunk, where the
    backend does not count. progress: told samples done and in all.
    """
    total = Streamed(0, 0 if source.labelled else None, None)
    with _growing_npz(output, source.samples) as append:
        for inputs, labels in source.chunks(chunk_size(program)):
            backend = make(_part_of(progress, total.samples, len(inputs), source.samples))
            result = backend.run(program, inputs)
            if must_count and result.counts is None:
                raise InputError("this backend does not count", "leave out --json, or use --backend reference")
            append(_arrays(program, result, labels))
            total = _added(total, result, labels)
            progress(total.samples, source.samples)
    return total


def _arrays(program: Program, result: RunResult, labels: NDArray[np.int64] | None) -> dict[str, NDArray[Any]]:
    known = {} if labels is None else {"labels": labels}
    return {**ends_of(program.graph, result), "predictions": result.predictions, **known}


def _added(total: Streamed, result: RunResult, labels: NDArray[np.int64] | None) -> Streamed:
    samples = total.samples + len(result.outputs)
    right = None if labels is None else (total.correct or 0) + int((result.predictions == labels).sum())
    return Streamed(samples, right, _summed(total.counts, result.counts))


def _summed(total: CountTable | None, counts: CountTable | None) -> CountTable | None:
    """The counts of consecutive runs as one: at most two tables are held."""
    return counts if total is None or counts is None else added_tables(total, counts)


def _part_of(progress: Progress, before: int, samples: int, total: int) -> Progress:
    """The progress of one chunk, in whatever its backend counts, as samples of the whole."""
    return lambda done, steps: progress(before + samples * done // max(steps, 1), total)


@dataclass(frozen=True, eq=False)
class _Members:
    """The arrays of an archive while they grow, each in a file of its own."""

    folder: Path
    samples: int
    files: dict[str, IO[bytes]] = field(default_factory=dict)

    def append(self, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Adds rows to each array; the first ones say its type and shape."""
        for name, rows in arrays.items():
            if name not in self.files:
                self.files[name] = (self.folder / f"{len(self.files)}").open("wb")
                header = {"descr": npy.dtype_to_descr(rows.dtype), "fortran_order": False}  # type: ignore[no-untyped-call]
                header |= {"shape": (self.samples, *rows.shape[1:])}
                npy.write_array_header_2_0(self.files[name], header)  # type: ignore[no-untyped-call]
            self.files[name].write(np.ascontiguousarray(rows).tobytes())

    def close(self) -> None:
        """Ends all files."""
        for file in self.files.values():
            file.close()


@contextmanager
def _growing_npz(output: Path, samples: int) -> Iterator[Callable[[Mapping[str, NDArray[Any]]], None]]:
    """An `.npz` file of arrays of `samples` rows, which are appended. It is put at `output` when all went well."""
    with tempfile.TemporaryDirectory(dir=output.parent, prefix=f".{output.name}.") as name:
        made = _Members(Path(name), samples)
        try:
            yield made.append
        finally:
            made.close()
        whole = Path(name) / "whole"
        with zipfile.ZipFile(whole, "w") as archive:
            for member, file in made.files.items():
                with open(file.name, "rb") as rows, archive.open(_entry(member), "w", force_zip64=True) as entry:
                    shutil.copyfileobj(rows, entry, BLOCK)
        with whole.open("rb") as finished:
            write_atomically(output, iter(lambda: finished.read(BLOCK), b""))


def _entry(member: str) -> zipfile.ZipInfo:
    """An archive's entry without the time of day: the same arrays give the same bytes."""
    entry = zipfile.ZipInfo(f"{member}.npy")
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry
