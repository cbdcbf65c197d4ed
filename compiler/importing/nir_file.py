"""Reading a `.nir` file: one clear line for anything that is not one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from pumice.compiler.importing.nir_guard import check_file
from pumice.compiler.importing.nir_unchecked import build_graph
from pumice.compiler.ir import Change
from pumice.errors import InputError, PumiceError


@dataclass(frozen=True, eq=False)
class NirFile:
    """repairs: what had to be mended so that the graph could be read at all, for the log of the import."""

    graph: nir.NIRGraph
    repairs: tuple[Change, ...]


def read_nir(path: Path) -> nir.NIRGraph:
    """The graph in `path`. Raises InputError for a missing, truncated or foreign file."""
    return read_nir_file(path).graph


def read_nir_file(path: Path) -> NirFile:
    """The graph in `path`; where NIR's own type check refuses it, without that check. Raises InputError as `read_nir`."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a .nir file, e.g. one written by `pumice export`")
    try:
        with h5py.File(path, "r") as file:
            check_file(file, path)
        return _read(path)
    except PumiceError:
        raise
    except OSError as error:
        raise InputError(f"{path}: not a readable HDF5 file ({error})", "is it a .nir file, and whole?") from error
    except Exception as error:  # nir raises whatever its parser meets
        raise InputError(f"{path}: not a NIR graph ({type(error).__name__}: {error})", "export it again") from error


def _read(path: Path) -> NirFile:
    try:
        return NirFile(nir.read(path), ())
    except OSError:
        raise
    except Exception as error:
        with h5py.File(path, "r") as file:
            graph, mended = build_graph(nir.serialization.hdf2dict(file["node"]), path)
        reason = " ".join(str(error).split()) or type(error).__name__
        change = Change("read-nir", "", f"read without NIR's type check, which says: {reason}", {"repaired": False})
        return NirFile(graph, (change, *mended))


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
