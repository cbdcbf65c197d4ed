"""A program's graph without the delays that balance its pipeline: they say when a neuron computes, not what."""

from __future__ import annotations

from dataclasses import replace

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph


def undelayed(graph: Graph) -> Graph:
    """`graph` with what each such delay reads in its place."""
    behind = {name: node.inputs[0] for name, node in graph.nodes.items() if isinstance(node, i.Delay)}
    nodes = {
        name: replace(node, inputs=tuple(behind.get(source, source) for source in node.inputs))
        for name, node in graph.nodes.items()
        if name not in behind
    }
    return replace(graph, nodes=nodes)
