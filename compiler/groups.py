"""Neuron groups: the nodes of an integer graph that own neurons on a core, and the synapses that feed them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, Shape


@dataclass(frozen=True, eq=False)
class Group:
    """neurons: the node whose outputs the neurons send. synapses: the nodes that compute their input (itself where the
    neuron is its own synapse: residual sums, pools, attention counts). streams: what else the neurons add up, each through
    one synapse of weight 1 a neuron."""

    neurons: Node
    synapses: tuple[Node, ...]
    streams: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.neurons.name

    @property
    def extent(self) -> tuple[int, int]:
        """(channels, positions): a read-out has one position."""
        return _flat(self.neurons.out.shape)


def _flat(shape: Shape) -> tuple[int, int]:
    return shape[0], int(np.prod(shape[1:], dtype=np.int64))


def groups_of(graph: Graph) -> list[Group]:
    """The neuron groups of a lowered integer graph, in program order."""
    found = []
    for node in graph.nodes.values():
        if isinstance(node, i.Neurons):
            streams = node.streams if isinstance(node, i.Membrane) else ()
            found.append(Group(node, _synapses_of(node.inputs[0], graph), streams))
        elif isinstance(node, i.SelfFed) or (isinstance(node, i.SpikeMatmul) and node.out.dtype == "graded"):
            found.append(Group(node, (node,)))
    return found


def _synapses_of(name: str, graph: Graph) -> tuple[Node, ...]:
    """What computes a neuron's current `name`; a delay of the current is one of the axons into it."""
    node = graph.nodes[name]
    while isinstance(node, i.Delay | i.Reshape):
        node = graph.nodes[node.inputs[0]]
    if not isinstance(node, i.Currents):
        return (node,)
    return tuple(synapse for name in node.inputs for synapse in _synapses_of(name, graph))


def mask_input(node: Node) -> str:
    """The mask that gated neurons read, "" where nothing gates them."""
    if isinstance(node, i.IntLif):
        return node.inputs[-1] if node.gate_state != "" else ""
    return node.inputs[-1] if isinstance(node, i.Levels | i.Membrane) and node.gated else ""


def origin(name: str, graph: Graph) -> Node:
    """The node whose neurons send a stream: gates, delays and reshapes send nothing of their own."""
    node = graph.nodes[name]
    while isinstance(node, i.TokenGate | i.Delay | i.Reshape | i.Past | i.Feedback):
        node = graph.nodes[node.of if isinstance(node, i.Feedback) else node.inputs[0]]
    return node
