"""Reading a `.nir` file: one clear line for anything that is not one."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

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
    """A hash of every array of a NIR graph and of its wiring, so that an artifact names the very network it came from."""
    digest = hashlib.sha256(json.dumps(sorted(map(list, network.edges))).encode())
    for name in sorted(network.nodes):
        for key, value in sorted(vars(network.nodes[name]).items()):
            if isinstance(value, np.ndarray):
                digest.update(
                    f"{name}/{key}/{value.dtype}/{value.shape}".encode() + np.ascontiguousarray(value).tobytes()
                )
    return digest.hexdigest()
