"""What the integers on a stream stand for."""

from __future__ import annotations

from collections.abc import Mapping

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node


def holds_reals(name: str, nodes: Mapping[str, Node]) -> bool:
    """Whether a stream's payload is a real value in fixed point, and not a number of spikes."""
    node = nodes[name]
    if isinstance(node, i.Feedback):
        return node.real
    if isinstance(node, i.MaxPool | i.Sum | i.Reshape | i.TokenGate | i.Delay | i.Past):
        return holds_reals(node.inputs[0], nodes)
    if isinstance(node, i.Programmable):
        return node.params.most == 0
    return isinstance(node, i.GradedInput | i.Membrane | i.TokenSum)


def scale_of(name: str, nodes: Mapping[str, Node]) -> float:
    """Payload units of a stream per unit of the float model: 1 for spikes and counts of spikes."""
    node = nodes[name]
    match node:
        case i.GradedInput() | i.Membrane() | i.TokenSum():
            return node.scale
        case i.Levels() | i.Programmable() | i.Feedback():
            return float(node.norm)
        case i.Sum() | i.OrPool() | i.MaxPool() | i.Reshape() | i.TokenGate() | i.Delay() | i.Past():
            return scale_of(node.inputs[0], nodes)
        case _:
            return 1.0
