"""What a run stores of each layer when asked to record."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import origin
from pumice.compiler.ir import Graph, Node


def recorded(graph: Graph) -> list[Node]:
    """Layers that spike, or send levels or their membranes; and the stream that is the network's output, if it is one."""
    kinds = (i.IntLif, i.Programmable, i.Levels)
    last = output_stream(graph)
    return [
        n for n in graph.nodes.values() if isinstance(n, kinds) or (n is last and isinstance(n, i.Membrane | i.Sum))
    ]


def output_stream(graph: Graph) -> Node | None:
    """What the read-out of a general network adds up over time, value by value; None where it reads a layer's synapses."""
    node = graph.nodes[graph.output]
    while node.inputs and isinstance(node, i.Readout | i.Delay):
        node = graph.nodes[node.inputs[0]]
    return origin(node.inputs[0], graph) if isinstance(node, i.OneToOne) else None


def record_dtype(node: Node) -> type[np.signedinteger[Any]] | type[np.unsignedinteger[Any]]:
    """A byte for spikes and levels; more for membranes and streams."""
    return np.uint8 if node.out.low >= 0 and node.out.high <= 255 else np.int32
