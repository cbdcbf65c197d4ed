"""NIR neurons of every kind behind weights that the chip holds exactly."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from small_graphs import chain

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import Reading, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph

LEVELS = (-127.0, 0.0, 63.0, 64.0, 127.0)  # sums meet the threshold of 127 exactly, again and again
RESETS = [("zero", "spike"), ("subtract", "spike"), ("subtract", "next"), ("subtract", "both")]
STEPS = 9


def fire(size: int, threshold: float = 127.0) -> nir.IF:
    ones = np.ones(size)
    return nir.IF(ones, threshold * ones, 0 * ones)


def mapped(rng: np.random.Generator, out: int, into: int) -> nir.Affine:
    weight = rng.choice(LEVELS, (out, into))
    weight[0, 0] = 127.0  # the largest: the grid is 2 a unit
    return nir.Affine(weight, rng.choice((0.0, 1.0, -63.0), out))


def network(seed: int = 0) -> nir.NIRGraph:
    rng = np.random.default_rng(seed)
    return chain((6,), (5,), a=mapped(rng, 7, 6), n=fire(7), b=mapped(rng, 5, 7), m=fire(5))


def spikes(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float64)


def compiled(graph: nir.NIRGraph, meaning: Reading, shape: tuple[int, ...]) -> Program:
    return compile_nir(graph, spikes((8, STEPS, *shape), 1), load_chip("loihi2"), CompileOptions(reading=meaning))


def in_float(graph: nir.NIRGraph, meaning: Reading, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    imported = import_nir(graph, meaning)
    (entry,) = input_nodes(imported)
    frames, _ = graph_frames(imported, {entry.name: samples})
    return {name: np.asarray(value) for name, value in run_graph(imported, frames).values.items()}


def if_reading(reset: str, reset_at: str, comparator: str) -> Reading:
    return reading("nir", reset=reset, reset_at=reset_at, comparator=comparator, if_gain="one")


LEAKY = {"tau": 4e-4, "r": 1.0, "v_leak": 0.0, "v_threshold": 31.75, "v_reset": 0.0}  # a quarter leaks a step
SLOW = {"tau_syn": 2e-4, "tau_mem": 4e-4, "w_in": 1.0, "r": 1.0, "v_leak": 0.0, "v_threshold": 31.75, "v_reset": 0.0}
OWN = np.array([127.0, 64.0, 190.0, 63.0, 254.0])


def neurons(kind: Any, usual: dict[str, float], **own: Any) -> Any:
    """Five neurons; `own` parameters may differ between them."""
    values = {name: own.get(name, value) for name, value in usual.items()}
    return kind(**{name: np.broadcast_to(x, 5).astype(float) for name, x in values.items() if x is not None})


# What a plain LIF has not. Weights, thresholds and resets are whole numbers of the grid, so that nothing is rounded.
IF = {"r": 1.0, "v_threshold": 127.0, "v_reset": 0.0}
GENERAL: dict[str, tuple[Any, dict[str, Any]]] = {
    "thresholds of their own": (neurons(nir.IF, IF, v_threshold=OWN), {}),
    "several spikes a step": (fire(5, 63.0), {"spikes": "many", "reset": "subtract"}),
    "several, and a floor": (fire(5, 63.0), {"spikes": "many", "reset": "subtract", "floor": "threshold"}),
    "a reset below 0": (neurons(nir.IF, IF, v_reset=-64.0), {}),
    "a start at the reset": (neurons(nir.IF, IF, v_reset=64.0), {"start": "v_reset"}),
    "no memory": (nir.Threshold(OWN), {}),
    "a threshold of 0": (nir.Threshold(np.zeros(5)), {}),
}


LEAKS: dict[str, Any] = {
    "taus of their own": neurons(nir.LIF, LEAKY, tau=np.linspace(2e-4, 9e-4, 5)),
    "a rest above 0": neurons(nir.LIF, LEAKY, v_leak=8.0),
    "a current": neurons(nir.CubaLIF, SLOW),
    "a current, a rest and gains of their own": neurons(
        nir.CubaLIF, SLOW, v_leak=4.0, w_in=np.linspace(0.5, 2, 5), r=1.5
    ),
}


LI = {"tau": 4e-4, "r": 1.0, "v_leak": 0.0}
READ_OUTS: dict[str, Any] = {
    "I": neurons(nir.I, {"r": 1e4}),
    "LI": neurons(nir.LI, LI),
    "LI at rest above 0": neurons(nir.LI, LI, v_leak=5.0),
    "LI, each its own": neurons(nir.LI, LI, tau=np.linspace(2e-4, 9e-4, 5), r=np.linspace(0.5, 2, 5)),
    "CubaLI": neurons(nir.CubaLI, {"tau_syn": 2e-4, "tau_mem": 4e-4, "w_in": 2.0, "r": 1.0, "v_leak": 0.0}),
    "Affine": None,
}
