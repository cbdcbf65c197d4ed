"""How a graph with cycles can run: single nodes, and those of a cycle together, step by step."""

from __future__ import annotations

from typing import Any, TypeVar

import networkx as nx
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Graph, Node, of_feedback

Number = TypeVar("Number", bound=np.generic)


def parts(graph: Graph) -> list[list[Node]]:
    """The nodes of `graph`, each part after all that it reads; inside a part in the graph's order."""
    wires = nx.DiGraph()
    wires.add_nodes_from(graph.nodes)
    for node in graph.nodes.values():
        wires.add_edges_from((source, node.name) for source in (*node.inputs, of_feedback(node)) if source)
    condensed = nx.condensation(wires)
    place = {name: number for number, name in enumerate(graph.nodes)}
    first = {c: min(place[name] for name in condensed.nodes[c]["members"]) for c in condensed}
    order = nx.lexicographical_topological_sort(condensed, key=first.__getitem__)
    members = [condensed.nodes[c]["members"] for c in order]
    return [[graph.nodes[name] for name in sorted(names, key=place.__getitem__)] for names in members]


def runs_at_once(part: list[Node]) -> bool:
    """Whether a part is one node on no cycle, so that all its timesteps can be computed together. A single `Feedback` can, for
    what it reads comes before it."""
    return len(part) == 1


def past(values: NDArray[Number], steps: NDArray[np.int64], t: int) -> NDArray[Number]:
    """values[t - steps] for each neuron, 0 before a sample's first step. values [T, B, …]; steps broadcast over […]."""
    out: NDArray[Any] = np.zeros_like(values[0])
    for step in np.unique(steps):
        if step <= t:
            out = np.where(steps == step, values[t - int(step)], out)
    return out
