"""Fans: which source neurons reach a slice of a neuron group, and through how many synapses. Never one entry a synapse.

A synapse of weight w[o, c, k] exists at every position that tap k joins, so the synapses of a source neuron (c, p) into a slice
are a product: (synapses of channel c at tap k into the slice's channels) times (taps k that join p to the slice's positions).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.taps import indicator, seen_from_sources, summed_synapses, taps_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Fan:
    """One input stream of a slice, at the positions from which anything reaches it.

    width: positions of the stream, as its reader sees it. sources: those [P'], flattened, that reach the slice. per_channel:
    synapses of a source channel into the slice's channels at each tap, [C, K]. taps: how many of the slice's positions tap k
    joins to each source position, [K, P']. targets: which one (its rank among the slice's positions), -1 for none, [K, P'];
    None where nothing is stored. delay: steps that the axons hold a spike back.
    """

    stream: str
    reader: Node
    width: int
    sources: Ints
    per_channel: Ints
    taps: Ints
    targets: Ints | None
    delay: int = 0

    @property
    def counts(self) -> Ints:
        """Synapses of each source neuron into the slice, [C, P']."""
        return np.asarray(np.rint(self.per_channel.astype(np.float64) @ self.taps), np.int64)

    @cached_property
    def reached(self) -> NDArray[np.bool_]:
        """Source neurons with a synapse into the slice, [C, P']."""
        return np.asarray((self.per_channel > 0).astype(np.float32) @ (self.taps > 0).astype(np.float32) > 0)


@dataclass(frozen=True, eq=False)
class Wiring:
    """What feeds the groups of a graph. sums: synapses per channel and tap that were counted before, by layer and slice."""

    graph: Graph
    sums: dict[tuple[str, int, int], Ints] = field(default_factory=dict)

    def fans(self, group: Group, channels: Ints, positions: Ints) -> list[Fan]:
        """Every input of a slice of a group: its channels and positions, as indices in ascending order."""
        fed = [fan for node in group.synapses for fan in self._of_synapse(group, node, channels, positions)]
        added = [self._identity(name, group.neurons, channels, positions) for name in group.streams]
        return [self._delayed(fan) for fan in (*fed, *added)]

    def _delayed(self, fan: Fan) -> Fan:
        delay = longest_delay(self.graph.nodes[fan.stream])
        return replace(fan, delay=delay) if delay else fan

    def _of_synapse(self, group: Group, node: Node, channels: Ints, positions: Ints) -> list[Fan]:
        at_all = isinstance(group.neurons, i.Readout)  # one read-out neuron takes all positions
        match node:
            case i.Synapse():
                return [self._of_weights(node, channels, None if at_all else positions)]
            case i.OrPool() | i.MaxPool():
                return [self._of_windows(node, channels, positions)]
            case i.SpikeMatmul():
                return _of_products(node, self.graph, channels, positions)
            case i.SpikeAnd():
                gate = self._of_gate(node, channels, positions)
                return [gate, self._identity(node.inputs[1], node, channels, positions)]
            case i.TokenSum():
                at_all = True
        return [self._identity(name, node, channels, None if at_all else positions) for name in node.inputs]

    def _shape(self, name: str) -> tuple[int, int]:
        shape = self.graph.nodes[name].out.shape
        return shape[0], int(np.prod(shape[1:], dtype=np.int64))

    def _identity(self, name: str, reader: Node, channels: Ints, positions: Ints | None) -> Fan:
        """One synapse from each neuron to that with its number, or to the one target of its channel."""
        size, width = self._shape(name)
        sources = np.arange(width) if positions is None else positions
        targets = (np.zeros(width, np.int64) if positions is None else np.arange(len(positions)))[None]
        return Fan(name, reader, width, sources, indicator(channels, size)[:, None], np.ones_like(targets), targets)

    def _of_gate(self, node: i.SpikeAnd, channels: Ints, positions: Ints) -> Fan:
        """A gate neuron reaches its share of the channels, at its own position or at all of them."""
        gates, width = self._shape(node.inputs[0])
        share = indicator(channels, node.out.shape[0]).reshape(gates, -1).sum(axis=1)[:, None]
        sources = positions if width > 1 else np.zeros(1, np.int64)
        taps = np.ones((1, len(positions)), np.int64) if width > 1 else np.full((1, 1), len(positions), np.int64)
        return Fan(node.inputs[0], node, width, sources, share, taps, None)

    def _of_weights(self, node: i.Synapse, channels: Ints, positions: Ints | None) -> Fan:
        stream = node.inputs[0]
        held = np.arange(int(np.prod(node.out.shape[1:]))) if positions is None else positions
        joined = taps_of(node, self.graph.nodes[stream].out.shape, held)
        sources, taps, targets = seen_from_sources(joined)
        if positions is None:
            targets = np.where(targets < 0, -1, 0)
        return Fan(stream, node, self._shape(stream)[1], sources, self._per_channel(node, channels), taps, targets)

    def _per_channel(self, node: i.Synapse, channels: Ints) -> Ints:
        """Synapses of each source channel and tap into some of the output channels, [C, K]."""
        key = (node.name, int(channels[0]), int(channels[-1]))  # of a layer with weights no channel is ever left out
        if key not in self.sums:
            self.sums[key] = summed_synapses(node, channels)
        return self.sums[key]

    def _of_windows(self, node: i.OrPool | i.MaxPool, channels: Ints, positions: Ints) -> Fan:
        stream = node.inputs[0]
        shape = self.graph.nodes[stream].out.shape
        sources, taps, targets = seen_from_sources(taps_of(node, shape, positions))
        per_channel = np.repeat(indicator(channels, shape[0])[:, None], len(taps), axis=1)
        return Fan(stream, node, self._shape(stream)[1], sources, per_channel, taps, targets)


def longest_delay(node: Node) -> int:
    """Steps by which a stream's axons hold its spikes back, at most."""
    if isinstance(node, i.Past | i.Feedback):
        return int(node.steps.max())
    return node.steps if isinstance(node, i.Delay) else 0


def _of_products(node: i.SpikeMatmul, graph: Graph, channels: Ints, positions: Ints) -> list[Fan]:
    """Both operands of a product. held: which rows of each head [heads, M] and which columns [N] of the product a slice has."""
    (a, b), heads = node.inputs, node.heads
    rows = indicator(channels, node.out.shape[0]).reshape(heads, -1)
    columns = indicator(positions, int(np.prod(node.out.shape[1:])))
    of_head = np.repeat(np.eye(heads, dtype=np.int64), graph.nodes[a].out.shape[0] // heads, axis=0)
    of_head_b = np.repeat(np.eye(heads, dtype=np.int64), graph.nodes[b].out.shape[0] // heads, axis=0)
    any_row, all_columns = rows.sum(axis=1), int(columns.sum())
    match node.pattern:
        case "scores":  # S[(h, i), j] of q[(h, c), i] and k[(h, c), j]
            pair = (of_head, rows * all_columns), (of_head_b, np.outer(any_row, columns))
        case "scores-values":  # Y[(h, e), i] of S[(h, i), j] and v[(h, e), j]
            per_row = (any_row[:, None] * columns).reshape(-1, 1)
            pair = (per_row, _ones(a, graph)), (rows.reshape(-1, 1) * all_columns, _ones(b, graph))
        case "keys-values":  # M[(h, c), e] of k[(h, c), j] and v[(h, e), j]
            per_column = (any_row[:, None] * columns).reshape(-1, 1)
            pair = (rows.reshape(-1, 1) * all_columns, _ones(a, graph)), (per_column, _ones(b, graph))
        case "queries-context":  # Y[(h, e), i] of q[(h, c), i] and M[(h, c), e]
            pair = (of_head, np.outer(any_row, columns)), (of_head_b, rows * all_columns)
    return [_product_fan(name, node, *operand) for name, operand in zip((a, b), pair, strict=True)]


def _ones(name: str, graph: Graph) -> Ints:
    return np.ones((1, int(np.prod(graph.nodes[name].out.shape[1:]))), np.int64)


def _product_fan(name: str, node: Node, per_channel: Ints, taps: Ints) -> Fan:
    sources = np.flatnonzero(taps.any(axis=0))
    return Fan(name, node, taps.shape[1], sources, per_channel, taps[:, sources], None)
