"""Every synapse of a neuron group, one by one: SANA-FE shares no weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, origin
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node
from pumice.hwsim.arith import Signs, synapse_lists

AT_ONCE = 1 << 18  # synapses held in memory, about


@dataclass(frozen=True, eq=False)
class Edges:
    """Synapses from neurons of `source`. sources, targets, weights: [E]; neurons count through [C, P] row by row."""

    source: Node
    sources: Ints
    targets: Ints
    weights: Ints


@dataclass(frozen=True, eq=False)
class _Kernel:
    """A node's synapses as those of a convolution; weight [O, C / groups, kh, kw]."""

    weight: Ints
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1
    signs: Signs = "mixed"


def edges_of(group: Group, graph: Graph) -> Iterator[Edges]:
    """All synapses into a group; a weight that several synapses carry comes as often."""
    summed = graph.nodes[group.neurons.inputs[0]].out.shape[1:] if isinstance(group.neurons, i.Readout) else ()
    tokens = int(np.prod(summed, dtype=np.int64))  # that one read-out neuron adds up
    for node in group.synapses:
        shape, kernel = graph.nodes[node.inputs[0]].out.shape, _kernel(node, graph)
        grid = (*shape[1:], 1, 1)[:2]
        for _, weight in synapse_lists(kernel.weight, kernel.signs):
            for sources, targets, weights in _unrolled(weight, kernel, (grid[0], grid[1])):
                yield Edges(origin(node.inputs[0], graph), sources, targets // tokens, weights)


def _kernel(node: Node, graph: Graph) -> _Kernel:
    channels = graph.nodes[node.inputs[0]].out.shape[0]
    if isinstance(node, i.Synapse):
        return _Kernel(node.weight, node.stride, node.padding, node.groups, node.signs)
    size = node.kernel if isinstance(node, i.OrPool) else 1
    one = np.ones((channels, 1, size, size), np.int64)
    if isinstance(node, i.OrPool):
        return _Kernel(one, (node.stride,) * 2, (node.padding,) * 2, channels)
    return _Kernel(one, groups=channels)


def _unrolled(weight: Ints, kernel: _Kernel, grid: tuple[int, int]) -> Iterator[tuple[Ints, Ints, Ints]]:
    """(sources, targets, weights), a few taps of the kernel at a time."""
    rows, columns = (
        (n + 2 * p - k) // s + 1
        for n, p, k, s in zip(grid, kernel.padding, weight.shape[2:], kernel.stride, strict=True)
    )
    y, x = (axis.ravel() for axis in np.divmod(np.arange(rows * columns), columns))
    taps = np.argwhere(weight)
    few = max(1, AT_ONCE // (rows * columns))
    for part in (taps[k : k + few] for k in range(0, len(taps), few)):
        o, c, i_row, i_column = (column[:, None] for column in part.T)
        at_row = y * kernel.stride[0] - kernel.padding[0] + i_row
        at_column = x * kernel.stride[1] - kernel.padding[1] + i_column
        inside = (at_row >= 0) & (at_row < grid[0]) & (at_column >= 0) & (at_column < grid[1])
        channel = o // (len(weight) // kernel.groups) * weight.shape[1] + c
        sources = (channel * grid[0] + at_row) * grid[1] + at_column
        targets = o * (rows * columns) + np.arange(rows * columns)
        weights = np.broadcast_to(weight[tuple(part.T)][:, None], inside.shape)
        yield sources[inside], targets[inside], weights[inside]
