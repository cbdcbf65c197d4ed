"""Layouts: in which order a group's neurons are cut, and which of them need no core because they can never send anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import groups_of, mask_input
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.curve import grid_coordinates

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Layout:
    """The neurons of a group that need a core: `channels` times `positions`, each in the order in which they are cut.

    channels: indices [C']. positions: flattened indices [P']. coordinates: where each position lies along a curve over the
    network's input, [P'] ascending in [0, 1); the same place has the same coordinate in every layer. Empty where positions are
    no places (contexts of attention, flattened layers).
    """

    channels: Ints
    positions: Ints
    coordinates: Floats

    @property
    def extent(self) -> tuple[int, int]:
        """(channels, positions) that need a core."""
        return len(self.channels), len(self.positions)

    def channels_in(self, part: tuple[int, int]) -> Ints:
        """The channels of a range of the layout, ascending."""
        return np.sort(self.channels[part[0] : part[1]])

    def positions_in(self, part: tuple[int, int]) -> Ints:
        """The positions of a range of the layout, ascending."""
        return np.sort(self.positions[part[0] : part[1]])


def layouts_of(graph: Graph) -> dict[str, Layout]:
    """Per neuron group, its layout."""
    live, grids = living(graph), token_grids(graph)
    return {group.name: _layout(group.neurons, live[group.name], grids) for group in groups_of(graph)}


def _layout(node: Node, live: tuple[Bools, Bools], grids: Mapping[int, tuple[int, int]]) -> Layout:
    channels, positions = (np.flatnonzero(alive) for alive in live)
    grid = _grid(node, len(live[1]), grids)
    if grid is None:
        return Layout(channels, positions, np.zeros(0))
    coordinates = grid_coordinates(*grid)[positions]
    order = np.argsort(coordinates, kind="stable")
    return Layout(channels, positions[order], coordinates[order])


def _grid(node: Node, positions: int, grids: Mapping[int, tuple[int, int]]) -> tuple[int, int] | None:
    """(H, W) of a group's positions; None where they are no places."""
    if positions == 1 or (isinstance(node, i.SpikeMatmul) and node.pattern == "keys-values"):
        return None
    if len(node.out.shape) == 3:
        return node.out.shape[1], node.out.shape[2]
    return grids.get(positions, (1, positions))


def token_grids(graph: Graph) -> dict[int, tuple[int, int]]:
    """Which map each number of tokens comes from, where the graph shows it: reshaped maps, and the grids of token gates."""
    grids: dict[int, tuple[int, int]] = {}
    for node in graph.nodes.values():
        if isinstance(node, i.TokenGate | i.LiveMask):
            grids[node.grid[0] * node.grid[1]] = node.grid
        before = graph.nodes[node.inputs[0]].out.shape if node.inputs else ()
        if isinstance(node, i.Reshape) and len(before) == 3 and len(node.out.shape) == 2:
            grids.setdefault(before[1] * before[2], (before[1], before[2]))
    return grids


def living(graph: Graph) -> dict[str, tuple[Bools, Bools]]:
    """Per node, its channels [C] and positions [P] that can ever send something: static masks silence tokens for good."""
    live: dict[str, tuple[Bools, Bools]] = {}
    for node in graph.nodes.values():
        live[node.name] = _living(node, graph, live)
    return live


def _living(node: Node, graph: Graph, live: Mapping[str, tuple[Bools, Bools]]) -> tuple[Bools, Bools]:
    channels, positions = _all(node)
    match node:
        case i.StaticMask():
            return channels, node.masks.any(axis=0)
        case i.TokenGate():
            return live[node.inputs[0]][0], live[node.inputs[0]][1] & _of_mask(node.inputs[1], graph)
        case i.Delay():
            return live[node.inputs[0]]
        case i.SpikeMatmul():
            return _living_products(node, live)
        case i.IntLif() | i.Levels() if mask_input(node):
            return channels, positions & _of_mask(mask_input(node), graph)
        case _:
            return channels, positions


def _all(node: Node) -> tuple[Bools, Bools]:
    shape = node.out.shape
    return np.ones(shape[0], np.bool_), np.ones(int(np.prod(shape[1:], dtype=np.int64)), np.bool_)


def _of_mask(name: str, graph: Graph) -> Bools:
    """Tokens that a mask ever routes: all of them, unless it is fixed at compile time."""
    node = graph.nodes[name]
    while isinstance(node, i.Delay):
        node = graph.nodes[node.inputs[0]]
    if isinstance(node, i.StaticMask):
        return np.asarray(node.masks.any(axis=0))
    return np.ones(node.out.shape[0], np.bool_)


def _living_products(node: i.SpikeMatmul, live: Mapping[str, tuple[Bools, Bools]]) -> tuple[Bools, Bools]:
    """A product is 0 where a whole row or column of an operand is."""
    (a_channels, a_positions), (b_channels, b_positions) = (live[name] for name in node.inputs)
    heads = node.heads
    match node.pattern:
        case "scores":
            rows = np.ones((heads, 1), np.bool_) & a_positions
            return rows.reshape(-1), b_positions
        case "scores-values":
            return b_channels, a_channels.reshape(heads, -1).any(axis=0)
        case "keys-values":
            return a_channels, b_channels.reshape(heads, -1).any(axis=0)
        case "queries-context":
            context = np.repeat(a_channels.reshape(heads, -1).any(axis=1), node.out.shape[0] // heads)
            return context, a_positions
