"""How far currents can go, channel by channel: what the weights make of the widest inputs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, TensorType

Ints = NDArray[np.int64]
Bounds = tuple[Ints, Ints]  # lowest and highest value of each channel, [C]


def channel_bounds(name: str, graph: Graph) -> Bounds:
    """The range of each channel of a current, or of a stream that only passes one on; no wider than it is declared."""
    out = graph.nodes[name].out
    low, high = _from_inputs(name, graph)
    return np.maximum(low, out.low), np.minimum(high, out.high)


def channel_sums(node: i.Currents, graph: Graph) -> Bounds:
    """The range of each channel of currents that are added up, whatever is declared of their sum."""
    lows, highs = zip(*(channel_bounds(part, graph) for part in node.inputs), strict=True)
    return np.sum(lows, axis=0), np.sum(highs, axis=0)


def _from_inputs(name: str, graph: Graph) -> Bounds:
    node = graph.nodes[name]
    match node:
        case i.Synapse():
            low, high = input_bounds(node, graph.nodes[node.inputs[0]].out)
            return low.sum(axis=1), high.sum(axis=1)
        case i.Delay() | i.OneToOne():
            return channel_bounds(node.inputs[0], graph)
        case i.Membrane() if passes_on(node):
            return channel_bounds(node.inputs[0], graph)
        case i.Currents():
            return channel_sums(node, graph)
        case _:
            channels = node.out.shape[0]
            return np.full(channels, node.out.low), np.full(channels, node.out.high)


def passes_on(node: i.Membrane) -> bool:
    """Whether neurons send their current as it is."""
    return node.shift == 0 and not node.bias_values.any() and not node.streams and not node.gated


def input_bounds(node: i.Synapse, source: TensorType) -> Bounds:
    """What each input of a neuron can add at least and at most, [O, C / groups * kh * kw]; 0 where it is silent."""
    weight = node.weight.reshape(len(node.weight), -1)
    ends = weight * source.low, weight * source.high
    return np.minimum(np.minimum(*ends), 0), np.maximum(np.maximum(*ends), 0)
