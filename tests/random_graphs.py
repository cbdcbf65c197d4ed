"""Random NIR graphs of all primitives: a chain with residual and recurrent edges, up to 12 nodes, one or two outputs."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray
from small_graphs import wired

from pumice.compiler.importing.readings import READINGS, Reading, reading

DT = 1e-4
MOST_NODES = 12
START_SHAPES = ((3,), (5,), (2, 4), (2, 4, 4))
VECTOR = ("Affine", "Linear", "Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "LIF", "IF")
TOKENS = (*VECTOR, "Conv1d", "Flatten")
MAPS = (
    "Conv2d",
    "Conv2d",
    "AvgPool2d",
    "SumPool2d",
    "Flatten",
    "IF",
    "LIF",
    "CubaLIF",
    "Scale",
    "Delay",
    "LI",
    "Threshold",
)
KINDS = {1: VECTOR, 2: TOKENS, 3: MAPS}


@dataclass(frozen=True)
class RandomGraph:
    """A graph, what it is to mean, and the shape of its input."""

    graph: nir.NIRGraph
    reading: Reading
    shape: tuple[int, ...]

    def samples(self, count: int, steps: int, seed: int) -> NDArray[np.float64]:
        """Random spikes [samples, steps, …]."""
        return (np.random.default_rng(seed).random((count, steps, *self.shape)) < 0.5).astype(np.float64)


@st.composite
def random_graphs(draw: st.DrawFn, several: bool = True) -> RandomGraph:
    """Readings of all frameworks, at one timestep. several: some graphs have two outputs."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.sampled_from(START_SHAPES))
    nodes: dict[str, Any] = {"input": nir.Input(np.array(shape))}
    shapes = [shape]  # shapes[k]: what node k - 1 gives, and node k takes
    for number in range(draw(st.integers(1, MOST_NODES))):
        kind = draw(st.sampled_from(KINDS[len(shapes[-1])]))
        node, out = made(kind, shapes[-1], rng)
        nodes[f"n{number}"] = node
        shapes.append(out)
    nodes["output"] = nir.Output(np.array(shapes[-1]))
    edges = set(pairwise(nodes))
    for late in draw(st.lists(st.booleans(), max_size=3)):
        edge = _extra_edge(draw, [name for name in nodes if name[0] == "n"], shapes, late)
        edges |= {edge} if edge else set()
    if several and draw(st.integers(0, 4)) == 0:
        number = draw(st.integers(0, len(shapes) - 2))
        nodes["second"] = nir.Output(np.array(shapes[number + 1]))
        edges.add((f"n{number}", "second"))
    name = draw(st.sampled_from(sorted(READINGS)))
    recurrence = draw(st.sampled_from(["zero", "bias"]))
    return RandomGraph(wired(nodes, sorted(edges)), reading(name, dt=DT, recurrence=recurrence), shape)


def _extra_edge(draw: st.DrawFn, names: list[str], shapes: list[tuple[int, ...]], late: bool) -> tuple[str, str] | None:
    """An edge that skips nodes, or goes back, between nodes whose shapes fit."""
    ends = [(a, b) for a in range(len(names)) for b in range(len(names)) if shapes[a + 1] == shapes[b]]
    fitting = [(names[a], names[b]) for a, b in ends if (b <= a if late else b > a + 1)]
    return draw(st.sampled_from(fitting)) if fitting else None


def made(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, tuple[int, ...]]:
    """A node of a kind for an input of `shape`, and the shape that it gives."""
    if kind in ("Affine", "Linear"):
        return _matrix(kind, shape, rng)
    if kind.startswith("Conv"):
        return _conv(shape, rng)
    if kind.endswith("Pool2d"):
        size, stride, padding = (np.array(rng.integers(low, 3, 2)) for low in (1, 1, 0))
        padding = np.minimum(padding, size // 2)
        out = (np.array(shape[1:]) + 2 * padding - size) // stride + 1
        return getattr(nir, kind)(size, stride, padding), (shape[0], *(int(n) for n in out))
    if kind == "Flatten":
        return nir.Flatten({"input": np.array(shape)}, 0, -1), (int(np.prod(shape)),)
    return _elementwise(kind, shape, rng), shape


def _matrix(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, tuple[int, ...]]:
    outputs = int(rng.integers(2, 6)) if rng.random() < 0.3 else shape[-1]
    weight = rng.normal(0.2, 0.7, (outputs, shape[-1]))
    out = (*shape[:-1], outputs)
    if kind == "Linear":
        return nir.Linear(weight), out
    return nir.Affine(weight, rng.normal(0, 0.2, outputs) * (rng.random() < 0.5)), out


def _conv(shape: tuple[int, ...], rng: np.random.Generator) -> tuple[Any, tuple[int, ...]]:
    axes, groups = len(shape) - 1, int(rng.choice([1, shape[0]]))
    outputs = groups * int(rng.integers(1, 3))
    kernel = tuple(int(k) for k in rng.integers(1, 4, axes))
    weight = rng.normal(0.1, 0.5, (outputs, shape[0] // groups, *kernel))
    bias = rng.normal(0, 0.1, outputs)
    same = rng.random() < 0.5
    dilation = tuple(int(d) for d in rng.integers(1, 3, axes)) if same else (1,) * axes
    pads: Any = "same" if same else tuple(k // 2 for k in kernel)
    stride = (1,) * axes if same else tuple(int(s) for s in rng.integers(1, 3, axes))
    out = shape[1:]
    if not same:
        out = tuple((n + 2 * (k // 2) - k) // s + 1 for n, k, s in zip(shape[1:], kernel, stride, strict=True))
    where = [x[0] if axes == 1 and not isinstance(x, str) else x for x in (stride, pads, dilation)]
    cls = nir.Conv1d if axes == 1 else nir.Conv2d
    extent = shape[1] if axes == 1 else shape[1:]
    return cls(extent, weight, *where, groups, bias), (outputs, *out)


def _elementwise(kind: str, shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    own = rng.random() < 0.3  # each neuron its own parameters

    def values(low: float, high: float) -> NDArray[np.float64]:
        return rng.uniform(low, high, shape) if own else np.full(shape, rng.uniform(low, high))

    def some(low: float, high: float) -> NDArray[np.float64]:
        return values(low, high) if rng.random() < 0.3 else np.zeros(shape)

    tau, r, threshold = values(1.5 * DT, 12 * DT), values(0.5, 2.0), values(0.2, 1.5)
    leak, reset = some(-0.2, 0.2), some(-0.2, 0.1)
    match kind:
        case "Scale":
            return nir.Scale(values(-1.5, 1.5))
        case "Delay":
            return nir.Delay(DT * (rng.integers(0, 4, shape) if own else np.full(shape, rng.integers(0, 4))))
        case "Threshold":
            return nir.Threshold(values(-0.2, 1.0))
        case "I":
            return nir.I(r / DT)
        case "IF":
            return nir.IF(r / DT, threshold, reset)
        case "LI":
            return nir.LI(tau, r, leak)
        case "LIF":
            return nir.LIF(tau, r, leak, threshold, reset)
        case "CubaLI":
            return nir.CubaLI(values(1.5 * DT, 8 * DT), tau, r, leak, w_in=values(0.5, 2.0))
        case "CubaLIF":
            return nir.CubaLIF(values(1.5 * DT, 8 * DT), tau, r, leak, threshold, reset, w_in=values(0.5, 2.0))
        case _:
            raise ValueError(kind)
