"""Graphs within graphs, laid flat: the node `b` of the graph `a` becomes `a.b`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import nir

from pumice.compiler.dialect import Extension, read_extension
from pumice.errors import InputError, UnsupportedNode

Edge = tuple[str, str]
MAX_DEPTH = 32


@dataclass(frozen=True, eq=False)
class FlatGraph:
    """nodes: by dotted name; dialect operations stay whole. entries: their dialect entries. sources: for each node the names that
    feed it, sorted. joints: inputs and outputs of inner graphs, which only pass on the sum of what reaches them."""

    nodes: Mapping[str, Any]
    entries: Mapping[str, Extension | None]
    sources: Mapping[str, tuple[str, ...]]
    joints: frozenset[str]

    def named(self, kind: type) -> list[str]:
        """The nodes of a NIR type, joints left out, in the order of the file."""
        return [name for name, node in self.nodes.items() if isinstance(node, kind) and name not in self.joints]


@dataclass(frozen=True, eq=False)
class _Level:
    """One graph with its inner graphs laid flat. ends: for an inner graph's name, the names of its input and its output."""

    nodes: dict[str, Any]
    edges: list[Edge]
    joints: frozenset[str]


def flatten(graph: nir.NIRGraph) -> FlatGraph:
    """`graph` without nesting. Raises InputError for edges that lead nowhere or stand twice, UnsupportedNode for an inner graph
    that has not one input and one output."""
    level = _without_joints(_laid(graph, "", 0))
    entries = {name: read_extension(node, name) for name, node in level.nodes.items()}
    sources: dict[str, list[str]] = {name: [] for name in level.nodes}
    for a, b in sorted(level.edges):
        sources[b].append(a)
    return FlatGraph(level.nodes, entries, {name: tuple(found) for name, found in sources.items()}, level.joints)


def _laid(graph: nir.NIRGraph, prefix: str, depth: int) -> _Level:
    if depth > MAX_DEPTH:
        raise UnsupportedNode(f"node {prefix[:-1]!r} is nested more than {MAX_DEPTH} deep", "flatten the graph")
    _check_edges(graph, prefix)
    nodes: dict[str, Any] = {}
    edges: list[Edge] = []
    joints: set[str] = set()
    ends: dict[str, Edge] = {}
    for name, node in graph.nodes.items():
        full = f"{prefix}{name}"
        if not _is_inner(node, full):
            nodes[full] = node
            continue
        inner = _laid(node, f"{full}.", depth + 1)
        ends[full] = _ends(node, full)
        clash = sorted(set(inner.nodes) & (set(nodes) | {f"{prefix}{n}" for n in graph.nodes}))
        if clash:
            raise InputError(f"node {clash[0]!r} stands twice once {full!r} is laid flat", "rename one of them")
        nodes |= inner.nodes
        edges += inner.edges
        joints |= {*inner.joints, *ends[full]}
    for a, b in graph.edges:
        source, target = f"{prefix}{a}", f"{prefix}{b}"
        edges.append((ends[source][1] if source in ends else source, ends[target][0] if target in ends else target))
    return _Level(nodes, edges, frozenset(joints))


def _is_inner(node: Any, name: str) -> bool:
    """A dialect operation is a graph too, but one node to us."""
    if not isinstance(node, nir.NIRGraph):
        return False
    entry = read_extension(node, name)
    return entry is None or not entry.op


def _ends(graph: nir.NIRGraph, name: str) -> Edge:
    found = [[n for n, node in graph.nodes.items() if isinstance(node, kind)] for kind in (nir.Input, nir.Output)]
    if [len(names) for names in found] != [1, 1]:
        raise UnsupportedNode(
            f"node {name!r} is a graph with {len(found[0])} inputs and {len(found[1])} outputs",
            "an inner graph has one of each: NIR's edges do not say which is meant",
        )
    return f"{name}.{found[0][0]}", f"{name}.{found[1][0]}"


def _check_edges(graph: nir.NIRGraph, prefix: str) -> None:
    for (a, b), times in Counter((a, b) for a, b in graph.edges).items():
        for name in (a, b):
            if name not in graph.nodes:
                where = f" of {prefix[:-1]!r}" if prefix else ""
                raise InputError(
                    f"edge ({a!r}, {b!r}){where} names {name!r}, which is not a node", "export the graph again"
                )
        if times > 1:
            raise InputError(
                f"edge ({prefix + a!r}, {prefix + b!r}) stands {times} times", "write a sum of equals as a Scale"
            )


def _without_joints(level: _Level) -> _Level:
    """Joints with one source give way to it, unless that would make an edge stand twice."""
    nodes, edges, joints = dict(level.nodes), set(level.edges), set(level.joints)
    for joint in sorted(level.joints):
        before = [a for a, b in edges if b == joint]
        after = [b for a, b in edges if a == joint]
        if len(before) != 1 or not _is_free(edges, before[0], after):
            continue
        edges = {edge for edge in edges if joint not in edge} | {(before[0], target) for target in after}
        joints.discard(joint)
        del nodes[joint]
    return _Level(nodes, sorted(edges), frozenset(joints))


def _is_free(edges: set[Edge], source: str, targets: Iterable[str]) -> bool:
    return all((source, target) not in edges for target in targets)
