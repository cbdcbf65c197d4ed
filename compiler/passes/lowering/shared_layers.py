"""Layers on a cycle that several nodes read: each reader gets synapses of its own, for neurons between them would take a step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Graph, Node
from pumice.compiler.loops import parts
from pumice.compiler.passes.lowering.rewriting import Nodes, redirected


def split_on_cycles(node: Node, graph: Graph, readers: Mapping[str, list[Node]]) -> Nodes | None:
    """A copy of a layer for each reader but the first; the network's output reads the layer itself."""
    if not isinstance(node, f.Conv) or not any(isinstance(n, g.Feedback) for n in graph.nodes.values()):
        return None
    found = list({reader.name: reader for reader in readers[node.name]}.values())
    found = found if node.name in graph.ends else found[1:]
    cycle = next(part for part in parts(graph) if any(n.name == node.name for n in part))
    if not found or len(cycle) == 1:
        return None
    made: Nodes = {}
    for reader in found:
        copy = replace(node, name=f"{node.name}.for.{reader.name}")
        made |= {copy.name: copy, reader.name: redirected(reader, node.name, copy.name)}
    return made
