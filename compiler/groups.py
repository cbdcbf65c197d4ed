"""Neuron groups: the nodes of an integer graph that own neurons on a core, and the synapses that feed them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, Shape
from pumice.hwsim import arith

Ints = NDArray[np.int64]
Range = tuple[int, int]


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


def fans(group: Group, graph: Graph, channels: Range, positions: Range) -> list[tuple[str, Ints]]:
    """Every input of a group, and how many synapses each of its source neurons [C, P] has into a slice of the group."""
    streams = [_identity_fan(graph.nodes[name], channels, positions) for name in group.streams]
    found = [(node, _synapse_fans(group, node, graph, channels, positions)) for node in group.synapses]
    fed = [pair for node, reach in found for pair in zip(node.inputs, reach, strict=True)]
    return [*fed, *zip(group.streams, streams, strict=True)]


def _synapse_fans(group: Group, node: Node, graph: Graph, channels: Range, positions: Range) -> list[Ints]:
    sources = [graph.nodes[name] for name in node.inputs]
    held = None if isinstance(group.neurons, i.Readout) else positions  # one read-out neuron takes all positions
    match node:
        case i.Synapse():
            grid = _grid(sources[0].out.shape)
            counts = arith.synapse_counts(node.weight, node.signs)
            return [arith.fan_out(counts, grid, node.stride, node.padding, channels, held, node.groups)]
        case i.OrPool() | i.MaxPool():
            return [_pool_fan(node, graph, channels, positions)]
        case i.SpikeMatmul():
            return _matmul_fans(node, graph, channels, positions)
        case i.SpikeAnd():
            return [
                _gate_fan(sources[0], sources[1], channels, positions),
                _identity_fan(sources[1], channels, positions),
            ]
        case i.TokenSum():
            return [_identity_fan(sources[0], channels, None) * (positions[1] - positions[0])]  # of the one there is
        case _:
            return [_identity_fan(source, channels, held) for source in sources]


def _grid(shape: Shape) -> tuple[int, int]:
    return (shape[1], shape[2]) if len(shape) == 3 else (shape[1], 1)


def _identity_fan(source: Node, channels: Range, positions: Range | None) -> Ints:
    fan = np.zeros(_flat(source.out.shape), np.int64)
    fan[slice(*channels), slice(*(positions or (None,)))] = 1
    return fan


def _gate_fan(gate: Node, x: Node, channels: Range, positions: Range) -> Ints:
    """Targets of each gate neuron: its share of the channels; all positions, or its own."""
    held = _identity_fan(x, channels, positions)
    per_gate = held.reshape(gate.out.shape[0], -1, held.shape[1]).sum(axis=1)
    return np.asarray(per_gate if gate.out.shape[1] == held.shape[1] else per_gate.sum(axis=1, keepdims=True))


def _pool_fan(node: i.OrPool | i.MaxPool, graph: Graph, channels: Range, positions: Range) -> Ints:
    shape = graph.nodes[node.inputs[0]].out.shape
    one = np.ones((1, 1, node.kernel, node.kernel), np.int64)
    window = arith.fan_out(one, _grid(shape), (node.stride,) * 2, (node.padding,) * 2, None, positions)
    fan = np.zeros((shape[0], window.shape[1]), np.int64)
    fan[slice(*channels)] = window
    return fan


def _matmul_fans(node: i.SpikeMatmul, graph: Graph, channels: Range, positions: Range) -> list[Ints]:
    """Target neurons of each operand: found by following neuron numbers through the product's own arrangement."""
    shapes = [graph.nodes[name].out.shape for name in node.inputs]
    sizes = [int(np.prod(shape)) for shape in shapes]
    numbers = np.arange(sizes[0]).reshape(shapes[0]), np.arange(sizes[1]).reshape(shapes[1]) + sizes[0]
    left, right = arith.head_operands(node.pattern, *numbers, node.heads)
    held = np.zeros(left.shape[0] * left.shape[1], np.int64)
    held[slice(*channels)] = 1
    held = held.reshape(left.shape[:2])
    columns = np.zeros(right.shape[2], np.int64)
    columns[slice(*positions)] = 1
    reach = np.zeros(sum(sizes), np.int64)
    reach[left] = held[:, :, None] * int(columns.sum())
    reach[right] = held.sum(axis=1)[:, None, None] * columns
    return [reach[: sizes[0]].reshape(shapes[0]), reach[sizes[0] :].reshape(shapes[1])]
