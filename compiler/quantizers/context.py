"""What every part of quantization looks at: the float network, what it does on calibration data, and what is already made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Change, Graph, Node, Shape, sole
from pumice.compiler.streams import scale_of
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import ChipSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Made = list[tuple[Node, Change | None]]
Neuron = f.Lif | f.MultiSpike
Fused = Neuron | g.Neuron  # what can be made together with its synapses
PASS = "quantize"


@dataclass(frozen=True)
class Grid:
    """The integers of a stream of real values: units per float unit, and the largest magnitude."""

    scale: float
    limit: int


@dataclass(frozen=True, eq=False)
class Context:
    """graph: folded, float. readers: per node, what reads it. values: per node [T, B, …] on calibration data. weights: their
    grid. grids: of every stream of real values. done: the integer nodes so far, by name."""

    graph: Graph
    readers: Mapping[str, list[Node]]
    values: Mapping[str, Floats]
    chip: ChipSpec
    weights: WeightGrid
    input_bits: int
    grids: Mapping[str, Grid]
    done: dict[str, Node]

    def payload(self, name: str) -> Ints:
        """The integers of a stream on calibration data, [T, B, …], as the float network makes them."""
        out = self.done[name].out
        scale = scale_of(name, self.done)
        values: Ints = np.clip(np.rint(self.values[name] * scale), out.low, out.high).astype(np.int64)
        return values.reshape(*values.shape[:2], *out.shape)


def positioned(shape: Shape) -> Shape:
    """Channels alone as channels at one position: integer streams always have positions."""
    return shape if len(shape) > 1 else (shape[0], 1)


def channel_mean(x: NDArray[Any]) -> Floats:
    """Mean per channel of x [T, B, C, …]."""
    return np.asarray(x.mean(axis=(0, 1, *range(3, x.ndim))))


def readers_of(graph: Graph) -> dict[str, list[Node]]:
    """For each node what reads it; the network's outputs have one reader more, who takes what they send."""
    readers = graph.consumers()
    for last in (graph.nodes[name] for name in graph.ends):
        readers[last.name].append(Node("the network's output", (last.name,), last.out, last.source))
    return readers


def is_fused(node: Node, readers: Mapping[str, list[Node]]) -> bool:
    """Whether a convolution is made with its one reader, a neuron or the first sum that takes it; the others stand alone."""
    return isinstance(node, f.Conv) and isinstance(sole(node.name, readers), Fused | f.Add)


def fused_synapses(name: str, c: Context) -> tuple[f.Conv, ...]:
    """The convolutions whose currents are a value, if neurons can read it from their synapses; else none."""
    return synapses_behind(name, c.graph, c.readers)


def synapses_behind(name: str, graph: Graph, readers: Mapping[str, list[Node]]) -> tuple[f.Conv, ...]:
    """As `fused_synapses`: a convolution, or a sum of nothing but convolutions that only one layer of neurons reads."""
    node = graph.nodes[name]
    if not isinstance(node, f.Conv | f.Add) or not isinstance(sole(name, readers), Fused):
        return ()
    parts = [node] if isinstance(node, f.Conv) else [graph.nodes[part] for part in node.inputs]
    convs = tuple(part for part in parts if isinstance(part, f.Conv) and is_fused(part, readers))
    same = len({part.name for part in convs}) == len(parts) and all(part.out.shape == node.out.shape for part in parts)
    return convs if same else ()


def expect_reader(node: Node, readers: Mapping[str, list[Node]], wanted: tuple[type[Node], ...]) -> Node:
    """The one reader of a node. Raises UnsupportedNode where it is another kind, or there are several."""
    reader = sole(node.name, readers)
    if reader is None or not isinstance(reader, wanted):
        names = ", ".join(r.name for r in readers[node.name]) or "nothing"
        kinds = " or ".join(kind.__name__ for kind in wanted)
        raise UnsupportedNode(
            f"node {node.source!r}: read by {names}", f"a {type(node).__name__} must be read by one {kinds}"
        )
    return reader
