"""What must hold of an HDF5 file before its arrays are read: a graph in it, sizes within reason, plain numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py

from pumice.errors import InputError, UnsupportedNode

SIZE_LIMIT = 8 << 30  # declared bytes of all arrays; a small file can declare far more than it holds
INFLATED = 256 << 20  # from here on, what is declared must stand in some proportion to the file
MOST_INFLATION = 200  # declared bytes for each byte of file; gzip of one repeated number reaches 1,000
MAX_ENTRIES = 1 << 20
MAX_DEPTH = 128

PRIMITIVES = (
    *("Affine", "AvgPool2d", "Conv1d", "Conv2d", "CubaLI", "CubaLIF", "Delay", "Flatten", "I", "IF", "Input"),
    *("LI", "LIF", "Linear", "NIRGraph", "Output", "Scale", "SumPool2d", "Threshold"),
)
WORDS = ("type", "padding", "edges")  # what a node says in strings


def check_file(file: h5py.File, path: Path) -> None:
    """Raises InputError for a file without a graph, with links out of it, or that declares more than it can hold; for an
    array of no numbers; UnsupportedNode for a node type that NIR 1.0 has not. Nothing but types of nodes is read."""
    if not isinstance(file.get("node"), h5py.Group):
        raise InputError(
            f"{path}: HDF5, but not a NIR graph (no /node)", "export the network with its framework's NIR exporter"
        )
    declared = 0
    for entries, (name, item) in enumerate(_walk(file["node"], "node", path), 1):
        if entries > MAX_ENTRIES:
            raise InputError(f"{path}: more than {MAX_ENTRIES:,} entries", "the file is damaged or hostile")
        declared += item.nbytes if isinstance(item, h5py.Dataset) else 0
        _check_kind(name, item, path)
    _check_size(declared, path)
    _check_types(file["node"], "", path)


def _walk(group: h5py.Group, name: str, path: Path, depth: int = 0) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Everything under a group, by every way there is: what is linked twice is read twice."""
    if depth > MAX_DEPTH:
        raise InputError(
            f"{path}: groups nested deeper than {MAX_DEPTH} at {name[:60]!r}", "the file is damaged or hostile"
        )
    for key in group:
        if not isinstance(group.get(key, getlink=True), h5py.HardLink):
            raise InputError(f"{path}: {name}/{key} is a link to elsewhere", "a .nir file holds its arrays itself")
        item = group[key]
        yield f"{name}/{key}", item
        if isinstance(item, h5py.Group):
            yield from _walk(item, f"{name}/{key}", path, depth + 1)


def _check_kind(name: str, item: h5py.Group | h5py.Dataset, path: Path) -> None:
    """Arrays are numbers, or strings where strings belong, and lie in the file."""
    if not isinstance(item, h5py.Dataset):
        return
    node, _, field = name.rpartition("/")
    if item.is_virtual or item.external:
        raise InputError(f"{path}: {name} lies in another file", "a .nir file holds its arrays itself")
    if item.dtype.kind in "fiub" or field in WORDS or "metadata" in name.split("/") or item.size is None:
        return
    where = node.removeprefix("node/nodes/").replace("/nodes/", ".")
    kind = "object" if item.dtype.kind == "O" else str(item.dtype)
    raise InputError(f"{path}: node {where!r}: {field} is of dtype {kind}, not numbers", "export it again")


def _check_size(declared: int, path: Path) -> None:
    if declared > SIZE_LIMIT:
        raise InputError(
            f"{path}: declares {declared:,}/{SIZE_LIMIT:,} bytes of arrays", "the file is damaged or hostile"
        )
    size = path.stat().st_size
    if declared > INFLATED and declared > MOST_INFLATION * size:
        raise InputError(
            f"{path}: {size:,} bytes that declare {declared:,} bytes of arrays", "the file is damaged or hostile"
        )


def _check_types(group: h5py.Group, name: str, path: Path) -> None:
    """Every node is of a NIR type."""
    kind = group.get("type")
    word = kind.asstr()[()] if isinstance(kind, h5py.Dataset) and h5py.check_string_dtype(kind.dtype) else None
    if word not in PRIMITIVES:
        what = f"node {name!r}" if name else "the graph"
        said = "has no type" if word is None else f"is of the unknown type {word!r}"
        raise UnsupportedNode(f"{path}: {what} {said}", "NIR 1.0 has " + ", ".join(PRIMITIVES))
    if not name and word != "NIRGraph":
        raise InputError(f"{path}: a single {word}, not a graph", "wrap it in a NIRGraph")
    nodes = group.get("nodes")
    for key in nodes if isinstance(nodes, h5py.Group) else ():
        full = f"{name}.{key}" if name else key
        if not isinstance(nodes[key], h5py.Group):
            raise InputError(f"{path}: node {full!r} is an array, not a node", "export the graph again")
        _check_types(nodes[key], full, path)
