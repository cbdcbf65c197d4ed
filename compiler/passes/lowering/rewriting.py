"""Small local changes to a float graph: find a place, put other nodes there, until there is none left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Change, Graph, Node, in_topological_order, of_feedback

Nodes = dict[str, Node]
Rule = Callable[[Node, Graph, Mapping[str, list[Node]]], Nodes | None]


def rewritten(graph: Graph, rules: Mapping[Rule, str]) -> Graph:
    """`graph` after every rule has been applied wherever it can be. A rule is given a node, the graph and its readers, and
    returns nodes to add or to put in place of those of the same name, or None. What nothing reads any more is left out.
    rules: each with what the log says of a node that it was applied to."""
    while True:
        readers = graph.consumers()
        found = next(
            (
                (node, said, made)
                for node in graph.nodes.values()
                for rule, said in rules.items()
                if (made := rule(node, graph, readers)) is not None
            ),
            None,
        )
        if found is None:
            return graph
        node, said, made = found
        change = Change("lower-nir", node.name, f"{node.name}: {said}")
        nodes = in_topological_order({**graph.nodes, **made})
        graph = alive(replace(graph, nodes=nodes, log=(*graph.log, change)))


def alive(graph: Graph) -> Graph:
    """`graph` without nodes on which no output depends."""
    needed: set[str] = set()
    waiting = [*graph.ends]
    while waiting:
        name = waiting.pop()
        if name in needed:
            continue
        needed.add(name)
        node = graph.nodes[name]
        waiting += [*node.inputs, *([of_feedback(node)] if of_feedback(node) else [])]
    return replace(graph, nodes={name: node for name, node in graph.nodes.items() if name in needed})


def redirected(node: Node, old: str, new: str) -> Node:
    """`node`, which reads `new` where it read `old`."""
    node = replace(node, inputs=tuple(new if name == old else name for name in node.inputs))
    return replace(node, of=new) if isinstance(node, g.Feedback) and node.of == old else node


def behind_reshapes(name: str, graph: Graph) -> Node:
    """The node whose value this is, in whatever shape."""
    node = graph.nodes[name]
    while isinstance(node, f.Reshape):
        node = graph.nodes[node.inputs[0]]
    return node
