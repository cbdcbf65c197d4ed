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
    """neurons: the node whose outputs the neurons send. synapse: the node that computes their input (itself where the
    neuron is its own synapse: residual sums, pools, attention counts)."""

    neurons: Node
    synapse: Node

    @property
    def name(self) -> str:
        return self.neurons.name

    @property
    def extent(self) -> tuple[int, int]:
        """(channels, positions): a read-out has one position."""
        shape = self.neurons.out.shape
        return shape[0], int(np.prod(shape[1:], dtype=np.int64))


def groups_of(graph: Graph) -> list[Group]:
    """The neuron groups of a lowered integer graph, in program order."""
    found = []
    for node in graph.nodes.values():
        if isinstance(node, i.IntLif | i.Readout):
            found.append(Group(node, graph.nodes[node.inputs[0]]))
        elif isinstance(node, i.Sum | i.OrPool) or (isinstance(node, i.SpikeMatmul) and node.out.dtype == "graded"):
            found.append(Group(node, node))
    return found


def origin(name: str, graph: Graph) -> Node:
    """The node whose neurons send a stream: gates, delays and reshapes send nothing of their own."""
    node = graph.nodes[name]
    while isinstance(node, i.TokenGate | i.Delay | i.Reshape):
        node = graph.nodes[node.inputs[0]]
    return node


def fans(group: Group, graph: Graph, channels: Range, positions: Range) -> list[Ints]:
    """Per input stream of a group, how many synapses each source neuron has into a slice of it, each [C, P]."""
    node = group.synapse
    match node:
        case i.Synapse():
            grid = _grid(graph.nodes[node.inputs[0]].out.shape)
            held = None if isinstance(group.neurons, i.Readout) else positions
            return [arith.fan_out(node.weight, grid, node.stride, node.padding, channels, held)]
        case i.OrPool():
            return [_pool_fan(node, graph, channels, positions)]
        case i.SpikeMatmul():
            return _matmul_fans(node, graph, channels, positions)
        case _:
            return [_identity_fan(group, channels, positions) for _ in node.inputs]


def _grid(shape: Shape) -> tuple[int, int]:
    return (shape[1], shape[2]) if len(shape) == 3 else (shape[1], 1)


def _identity_fan(group: Group, channels: Range, positions: Range) -> Ints:
    fan = np.zeros(group.extent, np.int64)
    fan[slice(*channels), slice(*positions)] = 1
    return fan


def _pool_fan(node: i.OrPool, graph: Graph, channels: Range, positions: Range) -> Ints:
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
