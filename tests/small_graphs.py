"""Small NIR graphs and their run in float, for the tests."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import Reading, reading
from pumice.runtime.float_graph import run_graph

Shape = tuple[int, ...]


def chain(shape: Shape, out: Shape, **nodes: Any) -> nir.NIRGraph:
    """input → the nodes, one after the other → output, without NIR's type check."""
    names = ["input", *nodes, "output"]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(out))}
    return wired({**ends, **nodes}, list(pairwise(names)))


def wired(nodes: Mapping[str, Any], edges: list[tuple[str, str]], **metadata: Any) -> nir.NIRGraph:
    """A graph without NIR's type check."""
    return nir.NIRGraph(dict(nodes), edges, metadata=metadata, type_check=False)


def lif(shape: Shape = (1,), **changes: Any) -> nir.LIF:
    """A LIF of 2 timesteps of 1e-4 s, r = 1, threshold 1."""
    return nir.LIF(
        **_arrays(shape, {"tau": 2e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}, changes)
    )


def fire(shape: Shape = (1,), **changes: Any) -> nir.IF:
    """An IF with r = 1 / dt at 1e-4 s, threshold 1."""
    return nir.IF(**_arrays(shape, {"r": 1e4, "v_threshold": 1.0, "v_reset": 0.0}, changes))


def cuba(shape: Shape = (1,), **changes: Any) -> nir.CubaLIF:
    """A CubaLIF of 2 and 4 timesteps of 1e-4 s."""
    usual = {"tau_syn": 2e-4, "tau_mem": 4e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0, "w_in": 1.0}
    return nir.CubaLIF(**_arrays(shape, usual, changes))


def _arrays(shape: Shape, usual: dict[str, float], changes: dict[str, Any]) -> dict[str, Any]:
    metadata = {"metadata": changes.pop("metadata")} if "metadata" in changes else {}
    return {k: np.asarray(changes.get(k, np.full(shape, v)), np.float64) for k, v in usual.items()} | metadata


def ran(
    graph: nir.NIRGraph, x: NDArray[Any], meaning: Reading | str = "nir", **options: Any
) -> dict[str, NDArray[np.float64]]:
    """Every node's values [T, B, …], and each output's, for x [T, B, …] into the input `input`."""
    chosen = reading(meaning, **options) if isinstance(meaning, str) else meaning
    run = run_graph(import_nir(graph, chosen), {"input": x})
    return {**run.values, **run.outputs}


def random_input(*shape: int, seed: int = 0) -> NDArray[np.float64]:
    return np.random.default_rng(seed).normal(0.3, 1.0, shape)
