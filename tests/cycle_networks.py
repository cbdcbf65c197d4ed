"""Small networks with cycles, delays and residual edges, whose weights and thresholds the chip holds exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from small_graphs import Shape, wired

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import Reading, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph

SIZE, STEPS, DT = 4, 8, 1e-4
WEIGHTS = (-127.0, -63.0, 0.0, 64.0, 127.0)  # the grid is 2 a unit, and sums meet the threshold of 127 exactly


def layer(seed: int, bias: bool = False) -> nir.Affine:
    rng = np.random.default_rng(seed)
    weight = rng.choice(WEIGHTS, (SIZE, SIZE))
    weight[0, 0] = 127.0
    return nir.Affine(weight, rng.choice((-32.0, 16.0, 33.0), SIZE) if bias else np.zeros(SIZE))


def fire(*shape: int) -> nir.IF:
    return nir.IF(np.ones(shape or SIZE), np.full(shape or SIZE, 127.0), np.zeros(shape or SIZE))


def delay(*steps: float) -> nir.Delay:
    return nir.Delay(DT * np.broadcast_to(steps, SIZE))


def net(nodes: Mapping[str, Any], *paths: str, shape: Shape = (SIZE,), out: Shape = (SIZE,)) -> nir.NIRGraph:
    """A graph of paths such as "input a n output"."""
    edges = [pair for path in paths for pair in zip(path.split(), path.split()[1:], strict=False)]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(out))}
    return wired({**ends, **nodes}, sorted(set(edges)))


MAP = (2, 5, 5)
MAPPED = np.random.default_rng(9).choice(WEIGHTS, (2, 2, 3, 3))
NETWORKS: dict[str, nir.NIRGraph] = {
    "neurons that hear themselves": net({"a": layer(1), "n": fire()}, "input a n output", "n n"),
    "a recurrent layer": net({"a": layer(1), "n": fire(), "r": layer(2)}, "input a n output", "n r n"),
    "a recurrent layer with a bias": net({"a": layer(1), "n": fire(), "r": layer(2, True)}, "input a n output", "n r n"),
    "two recurrent layers": net(
        {"a": layer(1), "n": fire(), "r": layer(2), "b": layer(3), "m": fire(), "s": layer(4, True)},
        *("input a n b m output", "n r n", "m s m"),
    ),
    "two layers in a cycle of two steps": net(
        {"a": layer(1), "n": fire(), "b": layer(2), "m": fire(), "c": layer(3), "d": delay(2)},
        *("input a n b m output", "m d c n"),
    ),
    "a delay of spikes": net({"a": layer(1), "n": fire(), "d": delay(3), "b": layer(2), "m": fire()}, "input a n d b m output"),
    "a delay of a current": net({"a": layer(1), "d": delay(2), "n": fire()}, "input a d n output"),
    "each neuron its own delay": net(
        {"a": layer(1), "n": fire(), "d": delay(0, 1, 2, 5), "b": layer(2), "m": fire()}, "input a n d b m output"
    ),
    "a residual edge": net({"a": layer(1), "n": fire(), "b": layer(2), "m": fire()}, "input a n b m output", "n m"),
    "a residual edge over two layers": net(
        {"a": layer(1), "n": fire(), "b": layer(2), "m": fire(), "c": layer(3), "o": fire()},
        *("input a n b m c o output", "n o", "input m"),
    ),
    "a residual edge of currents": net(
        {"a": layer(1), "b": layer(2), "n": fire(), "m": fire(), "c": layer(3)}, "input a n c m output", "input b m"
    ),
    "a layer that neurons and the output read": net({"a": layer(1), "n": fire(), "r": layer(2)}, "input a n r output", "r n"),
    "a convolution around a cycle": net(
        {"a": nir.Conv2d((5, 5), MAPPED, 1, "same", 1, 1, np.zeros(2)), "n": fire(*MAP),
         "r": nir.Conv2d((5, 5), MAPPED[::-1], 1, "same", 1, 1, np.zeros(2))},
        *("input a n output", "n r n"), shape=MAP, out=MAP,
    ),
    "a dilated convolution with padding on one side": net(
        {"a": nir.Conv1d(7, MAPPED[..., 0][:, :, :2], 1, "same", 3, 1, np.zeros(2)), "n": fire(2, 7)},
        "input a n output", shape=(2, 7), out=(2, 7),
    ),
    "one matrix at each place": net(
        {"a": nir.Linear(MAPPED.reshape(4, 9)[:3, :4]), "n": fire(2, 3)}, "input a n output", shape=(2, 4), out=(2, 3)
    ),
}  # fmt: skip


def spikes(graph: nir.NIRGraph, count: int, seed: int) -> NDArray[np.float64]:
    shape = tuple(int(n) for n in graph.nodes["input"].input_type["input"])
    return (np.random.default_rng(seed).random((count, STEPS, *shape)) < 0.4).astype(np.float64)


def compiled(graph: nir.NIRGraph, meaning: Reading, chip: str = "loihi2") -> Program:
    return compile_nir(graph, spikes(graph, 8, 1), load_chip(chip), CompileOptions(reading=meaning))


def in_float(graph: nir.NIRGraph, meaning: Reading, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    imported = import_nir(graph, meaning)
    (entry,) = input_nodes(imported)
    frames, _ = graph_frames(imported, {entry.name: samples})
    return {name: np.asarray(value) for name, value in run_graph(imported, frames).values.items()}


def meaning_of(recurrence: str = "zero", reset: str = "zero") -> Reading:
    return reading("nir", recurrence=recurrence, reset=reset, if_gain="one", dt=DT)
