"""Arrays in files, read a few rows at a time: a `.npy` file, or an array of an `.npz` archive. Nothing in a file is executed."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from pumice.errors import InputError


@dataclass(frozen=True)
class RowFile:
    """An array [rows, …] on disk. member: its name in an archive, "" for a `.npy` file."""

    path: Path
    member: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def name(self) -> str:
        """The array for people."""
        return f"{self.path}: {self.member}" if self.member else str(self.path)

    def rows(self, count: int) -> Iterator[NDArray[Any]]:
        """All rows in order, `count` at a time and fewer at the end; no more are in memory. Raises InputError where the file
        ends early or is damaged."""
        row = int(np.prod(self.shape[1:])) * self.dtype.itemsize
        with _opened(self.path, self.member) as stream:
            _header(stream, self.name)
            for start in range(0, self.shape[0], count):
                length = min(count, self.shape[0] - start)
                data = stream.read(length * row)
                if len(data) < length * row:
                    raise InputError(
                        f"{self.name}: ends before row {start + length} of {self.shape[0]}", "write it again"
                    )
                yield np.frombuffer(data, self.dtype).reshape(length, *self.shape[1:])


def row_file(path: Path, member: str = "") -> RowFile:
    """The array in a file, by its header alone. Raises InputError for a file, or an archive's member, that is none."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a .npy array")
    with _opened(path, member) as stream:
        found = RowFile(path, member, *_header(stream, f"{path}: {member}" if member else str(path)))
    if not found.shape or found.shape[0] == 0:
        raise InputError(f"{found.name}: no samples in an array of shape {found.shape}", "axes are [samples, …]")
    return found


def members(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an `.npz` archive."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{path}: not a whole .npz archive ({error})", "write it with numpy.savez") from error


def _header(stream: IO[bytes], name: str) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """The shape and type that an open array states; the stream is then at its first row."""
    try:
        version = npy.read_magic(stream)  # type: ignore[no-untyped-call]
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read(stream)  # type: ignore[no-untyped-call]
    except (ValueError, EOFError) as error:
        raise InputError(f"{name}: not a whole .npy array ({error})", "write it with numpy.save") from error
    if by_columns and len(shape) > 1:
        raise InputError(f"{name}: stored column by column", "save numpy.ascontiguousarray of it")
    if dtype.hasobject:
        raise InputError(f"{name}: an array of objects", "give an array of numbers")
    return shape, dtype


@contextmanager
def _opened(path: Path, member: str) -> Iterator[IO[bytes]]:
    try:
        if not member:
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as inside:
            yield inside
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError) as error:
        raise InputError(f"{path}: cannot be read ({error})", "write it again with numpy") from error
