"""What both export formats ask of a program's neurons, and where its output spikes are."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.errors import UnsupportedNode

SCALARS = {
    "vth": int,
    "dv": int,
    "bias_exp": int,
    "inclusive": bool,
}  # a subclass of int is one, so that bool comes last
READ = {"bias_mant", "reset", "scale", "gate_state", *SCALARS, *(f.name for f in fields(Node))}


def refusal(node: Node, why: str, hint: str) -> UnsupportedNode:
    """The one line about a node that a format cannot say."""
    return UnsupportedNode(f"node {node.source!r} ({type(node).__name__} {node.name!r}): {why}", hint)


def neuron_problem(node: i.IntLif) -> str:
    """Why a layer is more than one LIF with parameters of its layer and a bias a channel, "" where it is not.

    What this does not know must have its default value: a new kind of neuron is refused until someone has said here what it is.
    """
    unknown = [f.name for f in fields(node) if f.name not in READ and not _is_default(getattr(node, f.name), f)]
    if unknown:
        return f"its {', '.join(unknown)} cannot be said"
    varied = [name for name, kind in SCALARS.items() if not isinstance(getattr(node, name), kind | np.integer)]
    if varied or np.shape(node.bias_mant) != node.out.shape[:1]:
        return f"{', '.join(varied) or 'bias'} differs between the neurons of a channel"
    if node.gate_state:
        return "a routing mask gates these neurons"
    return ""


def counted_end(graph: Graph) -> Node:
    """The node whose spikes, or payloads, are the network's output. The compiler counts them; an export leaves that out.

    Raises UnsupportedNode for a network that ends in a sum of currents over time.
    """
    end = graph.nodes[graph.output]
    if len(graph.ends) > 1:
        raise refusal(end, f"the network has {len(graph.ends)} outputs", "convert takes networks of one")
    before = graph.nodes[end.inputs[0]] if end.inputs else end
    counts = isinstance(end, i.Readout) and not np.any(end.offset)
    if not counts or not isinstance(before, i.OneToOne | i.IntLif):
        raise _no_end(end)
    node: Node = before
    for kind in (i.OneToOne, i.Reshape):
        if isinstance(node, kind):
            node = graph.nodes[node.inputs[0]]
    return node


def spiking_end(graph: Graph) -> i.IntLif | i.Programmable:
    """As `counted_end`, of a network that ends in neurons."""
    node = counted_end(graph)
    if not isinstance(node, i.IntLif | i.Programmable):
        raise _no_end(graph.nodes[graph.output])
    return node


def _no_end(node: Node) -> UnsupportedNode:
    return refusal(node, "the network ends in a sum of currents, not in neurons that spike", "end the network with LIF")


def _is_default(value: Any, field: Field[Any]) -> bool:
    default: Any = field.default_factory() if field.default_factory is not MISSING else field.default
    return value is default or (type(value) is type(default) and bool(np.array_equal(value, default)))
