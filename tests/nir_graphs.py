"""Looking into NIR graphs: their arrays, byte for byte, and a trip through a file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.models.network import SpikingNetwork
from pumice.models.nir.export import to_nir, write_nir


def arrays(node: Any, where: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Every array of a graph: parameters, metadata, nested bodies."""
    if isinstance(node, nir.NIRGraph):
        for name, child in node.nodes.items():
            yield from arrays(child, f"{where}/{name}")
    for key, value in [*vars(node).items(), *node.metadata.items()]:
        if isinstance(value, np.ndarray):
            yield f"{where}/{key}", value


def assert_same_graph(first: nir.NIRGraph, second: nir.NIRGraph) -> None:
    """Equal nodes, edges and arrays, to the byte."""
    assert set(first.nodes) == set(second.nodes)
    assert set(first.edges) == set(second.edges)
    ours, theirs = dict(arrays(first)), dict(arrays(second))
    assert set(ours) == set(theirs)
    for name, array in ours.items():
        other = theirs[name]
        assert (array.dtype, array.shape, array.tobytes()) == (other.dtype, other.shape, other.tobytes()), name


def round_trip(model: SpikingNetwork, folder: Path) -> nir.NIRGraph:
    """The model's graph, written to a file in `folder` and read by plain NIR."""
    write_nir(to_nir(model), folder / "model.nir")
    return nir.read(folder / "model.nir")
