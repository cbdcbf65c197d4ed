"""Cycles of a NIR graph: where the one-step delay lies that makes them run.

A spike needs one timestep through a cycle, on Loihi as in the frameworks, but NIR has no word for it. Where a cycle holds a
`Delay` of a step or more, that is its delay. Elsewhere one is put on an edge of the cycle, and the report names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import networkx as nx

Edge = tuple[str, str]
Sources = Mapping[str, Sequence[str]]


def loops(sources: Sources) -> list[frozenset[str]]:
    """The sets of nodes that lie on cycles with one another, in a fixed order."""
    graph = wiring(sources)
    found = [frozenset(c) for c in nx.strongly_connected_components(graph) if len(c) > 1 or graph.has_edge(*[*c] * 2)]
    return sorted(found, key=lambda c: min(c))


def wiring(sources: Sources) -> nx.DiGraph:
    """The edges as a graph of names."""
    graph = nx.DiGraph()
    graph.add_nodes_from(sources)
    graph.add_edges_from((a, b) for b, found in sources.items() for a in found)
    return graph


def cut_cycles(
    sources: Sources, entries: Sequence[str], is_neuron: Callable[[str], bool], before_layer: bool
) -> frozenset[Edge]:
    """The edges on which one step passes, so that without them no cycle is left.

    Each cycle is entered at the node nearest to `entries` (of several, a neuron), so that nothing on the way in is late. The
    delay lies on the edges by which the cycle comes back to it or, `before_layer`, where the last neuron of the way back hands
    its spikes to the layers between.
    """
    left = {name: list(found) for name, found in sources.items()}
    distance = _distances(sources, entries)
    cut: set[Edge] = set()
    while found := loops(left):
        for loop in found:
            head = min(loop, key=lambda n: (distance.get(n, len(sources)), not is_neuron(n), n))
            back = [(source, head) for source in left[head] if source in loop]
            stops = {n for n in loop if n == head or is_neuron(n)}
            edges = {e for edge in back for e in _at_neuron(edge, left, loop, stops)} if before_layer else set(back)
            for source, target in edges:
                left[target].remove(source)
            cut |= edges
    return frozenset(cut)


def _distances(sources: Sources, entries: Sequence[str]) -> dict[str, int]:
    graph = wiring(sources)
    graph.add_edges_from(("", name) for name in entries)
    return dict(nx.single_source_shortest_path_length(graph, "")) if entries else {}


def _at_neuron(edge: Edge, sources: Sources, loop: frozenset[str], stops: set[str]) -> set[Edge]:
    """The edges of a loop that leave a node of `stops`, reached from `edge` against its direction through other nodes. There is
    one on every way, for a way back around the loop comes to its head."""
    found: set[Edge] = set()
    seen: set[Edge] = set()
    waiting = [edge]
    while waiting:
        source, target = waiting.pop()
        if (source, target) in seen:
            continue
        seen.add((source, target))
        if source in stops:
            found.add((source, target))
        else:
            waiting += [(before, source) for before in sources[source] if before in loop]
    return found
