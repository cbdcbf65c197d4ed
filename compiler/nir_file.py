"""Reading a `.nir` file: one clear line for anything that is not one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from pumice.errors import InputError

SIZE_LIMIT = 8 << 30  # declared bytes of all arrays; a small file can declare far more than it holds


def read_nir(path: Path) -> nir.NIRGraph:
    """The graph in `path`. Raises InputError for a missing, truncated or foreign file."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a .nir file, e.g. one written by `pumice export`")
    try:
        with h5py.File(path, "r") as file:
            _check(file, path)
        return nir.read(path)
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error})", "is it a .nir file, and whole?") from error
    except Exception as error:  # nir raises whatever its parser meets
        raise InputError(f"{path}: not a NIR graph ({type(error).__name__}: {error})", "export it again") from error


def _check(file: h5py.File, path: Path) -> None:
    if "node" not in file:
        raise InputError(
            f"{path}: HDF5, but not a NIR graph (no /node)", "export the network with its framework's NIR exporter"
        )
    sizes: list[int] = []
    file.visititems(lambda _, item: sizes.append(item.nbytes) if isinstance(item, h5py.Dataset) else None)
    if sum(sizes) > SIZE_LIMIT:
        raise InputError(
            f"{path}: declares {sum(sizes):,}/{SIZE_LIMIT:,} bytes of arrays", "the file is damaged or hostile"
        )


def source_digest(network: nir.NIRGraph) -> str:
    """A hash of a NIR graph's wiring, node types, arrays and metadata, so that an artifact names the very network it came
    from."""
    digest = hashlib.sha256()
    for entry in _entries(network, ""):
        digest.update(entry)
    return digest.hexdigest()


def _entries(node: Any, path: str) -> Iterator[bytes]:
    """Everything a node says, in a fixed order; nested graphs and dictionaries opened."""
    if isinstance(node, np.ndarray):
        yield f"{path}:{node.dtype}{node.shape}".encode() + np.ascontiguousarray(node).tobytes()
    elif isinstance(node, nir.NIRNode):
        yield f"{path}:{type(node).__name__}".encode()
        yield from _entries(vars(node), path)
    elif isinstance(node, Mapping):
        for key in sorted(node, key=str):
            yield from _entries(node[key], f"{path}/{key}")
    elif isinstance(node, list | tuple):
        for part in sorted(node, key=str):
            yield from _entries(part, f"{path}[]")
    else:
        yield f"{path}={node}".encode()
