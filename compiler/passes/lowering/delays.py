"""Delays of currents as delays of the spikes that cause them: a linear layer without bias gives the same either way.

A chip delays spikes, on axons. What cannot be moved so (a layer with a bias, a delay of each neuron's own) stays where it is, and
neurons of its own will send the current, rounded, as payload.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Graph, Node
from pumice.compiler.passes.lowering.rewriting import Nodes, behind_reshapes
from pumice.errors import UnsupportedNode

Readers = Mapping[str, list[Node]]
Late = g.Delay | g.Feedback


def check_cycles(graph: Graph) -> None:
    """Raises UnsupportedNode for a cycle without neurons: nothing on it holds a value from step to step but its delay."""
    for node in graph.nodes.values():
        if isinstance(node, g.Feedback) and _returns(node, graph):
            raise UnsupportedNode(
                f"node {graph.nodes[node.of].source!r}: a cycle without neurons",
                "values that add up around a cycle need neurons on it, LI or I where they should not fire",
            )


def _returns(start: g.Feedback, graph: Graph) -> bool:
    """Whether the way back from a feedback comes to it again without passing neurons."""
    seen: set[str] = set()
    waiting = [start.of]
    while waiting:
        name = waiting.pop()
        node = graph.nodes[name]
        if name == start.name:
            return True
        if name not in seen and not isinstance(node, f.Lif | f.MultiSpike | g.Neuron):
            waiting += [*node.inputs, *([node.of] if isinstance(node, g.Feedback) else [])]
        seen.add(name)
    return False


def move_before_layer(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """A delay or feedback of a layer's current becomes one of its input; a feedback moves back to the neurons that send."""
    source = _delayed(node, graph)
    if source is None or not _commutes(source, graph, back=isinstance(node, g.Feedback)):
        return None
    return _moved(node, source, graph)


def join_delays(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """A feedback of what is late already is one feedback of both delays."""
    if not isinstance(node, g.Feedback):
        return None
    source = graph.nodes[node.of]
    if not isinstance(source, g.Delay | g.Feedback):
        return None
    of = source.of if isinstance(source, g.Feedback) else source.inputs[0]
    return {node.name: replace(node, of=of, steps=node.steps + source.steps)}


def _delayed(node: Node, graph: Graph) -> Node | None:
    """What a delay delays, where all its neurons wait alike or it is a reshape."""
    if not isinstance(node, g.Delay | g.Feedback):
        return None
    source = graph.nodes[node.of if isinstance(node, g.Feedback) else node.inputs[0]]
    alike = node.steps.size > 0 and bool(np.all(node.steps == node.steps.flat[0]))
    return source if alike or isinstance(source, f.Reshape) else None


def _commutes(node: Node, graph: Graph, back: bool) -> bool:
    """Whether a node makes 0 of 0, and of what is late the same as before, late; only of currents unless `back`."""
    if isinstance(node, f.Conv):
        return not np.any(node.bias)
    if isinstance(node, f.Add):
        return back or any(_is_current(name, graph) for name in node.inputs)
    if isinstance(node, f.Reshape):
        return back or _is_current(node.name, graph)
    return back and isinstance(node, f.SumPool | f.MaxPool)


def _is_current(name: str, graph: Graph) -> bool:
    return isinstance(behind_reshapes(name, graph), f.Conv | f.Add)


def _moved(node: Node, source: Node, graph: Graph) -> Nodes:
    """A copy of `source`, under the name of the delay, that reads its inputs late."""
    assert isinstance(node, g.Delay | g.Feedback)
    late = [_late(node, name, graph) for name in source.inputs]
    copy = replace(source, name=node.name, inputs=tuple(one.name for one in late))
    return {**{one.name: one for one in late}, copy.name: copy}


def _late(node: Late, of: str, graph: Graph) -> Late:
    """The delay, of another value."""
    out = graph.nodes[of].out
    alike = np.all(node.steps == node.steps.flat[0])
    steps = np.full(out.shape, node.steps.flat[0], np.int64) if alike else node.steps.reshape(out.shape)
    name = f"{node.name}.{of}"
    if isinstance(node, g.Feedback):
        return replace(node, name=name, of=of, out=out, steps=steps)
    return replace(node, name=name, inputs=(of,), out=out, steps=steps)
