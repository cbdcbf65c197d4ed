"""How each group is cut: along which axis, and into how many pieces of channels where a core cannot hold all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group
from pumice.compiler.mapping.usage import Network, Range, Use, violations
from pumice.compiler.program import Slice
from pumice.errors import DoesNotFit

Axis = Literal["channels", "positions"]


@dataclass(frozen=True)
class Item:
    """Neurons to be put on cores together, or cut further along `axis`: ranges of their group's layout."""

    group: str
    channels: Range
    positions: Range
    axis: Axis

    @property
    def along(self) -> Range:
        """The range that may be cut."""
        return self.channels if self.axis == "channels" else self.positions

    @property
    def fixed(self) -> Range:
        """The range that the axis leaves alone."""
        return self.positions if self.axis == "channels" else self.channels

    @property
    def neurons(self) -> int:
        """How many neurons it has."""
        return (self.channels[1] - self.channels[0]) * (self.positions[1] - self.positions[0])

    def slice_in(self, network: Network) -> Slice:
        """What a core takes in with it, measured."""
        return network.slice_of(self.group, self.channels, self.positions)

    def part(self, start: int, end: int) -> Item:
        """The item's neurons from `start` to `end` of its axis."""
        if self.axis == "channels":
            return Item(self.group, (start, end), self.positions, self.axis)
        return Item(self.group, self.channels, (start, end), self.axis)

    def across(self) -> list[Item]:
        """The item in two halves across its axis; itself where its rows are single neurons."""
        start, end = self.fixed
        halves = [(start + a, start + b) for a, b in ranges(end - start, min(2, end - start))]
        if self.axis == "channels":
            return [Item(self.group, self.channels, half, self.axis) for half in halves]
        return [Item(self.group, half, self.positions, self.axis) for half in halves]


def ranges(length: int, pieces: int) -> list[Range]:
    """`length` cut into `pieces` contiguous ranges whose sizes differ by at most one."""
    edges = [length * k // pieces for k in range(pieces + 1)]
    return list(pairwise(edges))


def pieces_of(network: Network, name: str) -> list[Item]:
    """A group as the fewest items that cores can take in: whole, or cut by channels as often as memory asks for. An empty list
    where nothing of the group can ever send anything. Raises DoesNotFit where even single neurons do not fit."""
    channels, positions = network.layouts[name].extent
    if channels * positions == 0:
        return []
    if cut_axis(network.groups[name], positions) == "channels":
        return [Item(name, (0, channels), (0, positions), "channels")]
    least = _least_pieces(network, name)
    best = max(_near(least, channels), key=lambda m: (_neurons_a_core(network, name, m), -m))
    return [Item(name, part, (0, positions), "positions") for part in ranges(channels, best)]


def cut_axis(group: Group, positions: int) -> Axis:
    """Positions, so that a spike goes to the one core of its place, and weights are shared; channels where there is one position
    only, and for rows of attention's counts, which one head's spikes reach."""
    rows = isinstance(group.neurons, i.SpikeMatmul) and group.neurons.pattern in ("scores", "keys-values")
    return "channels" if rows or positions == 1 else "positions"


def _near(least: int, channels: int) -> range:
    """Numbers of pieces to try: when one piece suffices, no other is better."""
    return range(1, 2) if least == 1 else range(least, min(2 * least, channels) + 1)


def _least_pieces(network: Network, name: str) -> int:
    """The fewest pieces of channels of which a core can hold one at one position."""
    channels = network.layouts[name].extent[0]
    low, high = 0, 1
    while high < channels and not _fits(network, _largest_piece(network, name, high)):
        low, high = high, min(2 * high, channels)
    check_fits(network, _largest_piece(network, name, high))
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _fits(network, _largest_piece(network, name, middle)) else (middle, high)
    return high


def _largest_piece(network: Network, name: str, pieces: int) -> Item:
    """The first of the largest pieces of channels, at one position of the middle."""
    channels, positions = network.layouts[name].extent
    part = max(ranges(channels, pieces), key=lambda r: r[1] - r[0])
    return Item(name, part, (positions // 2, positions // 2 + 1), "positions")


def _neurons_a_core(network: Network, name: str, pieces: int) -> int:
    """Neurons that one core can hold of a group cut into so many pieces of channels."""
    item = _largest_piece(network, name, pieces)
    positions = network.layouts[name].extent[1]
    whole = Item(name, item.channels, (0, positions), "positions")
    return (item.channels[1] - item.channels[0]) * largest_fit(network, whole, 0)


def largest_fit(network: Network, item: Item, start: int) -> int:
    """How many of an item's neurons' rows, from `start` along its axis, an empty core can hold."""
    return most_that(lambda rows: _fits(network, item.part(start, start + rows)), item.along[1] - start)


def most_that(fits: Callable[[int], bool], limit: int) -> int:
    """The largest number up to `limit` that fits, where all smaller ones do too; 0 where 1 does not."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _fits(network: Network, item: Item) -> bool:
    return not list(exceeded(network, item))


def exceeded(network: Network, item: Item) -> Iterator[Use]:
    """The limits that an item alone exceeds; its neurons first, since they are known without looking at synapses."""
    if item.neurons > network.chip.neurons_per_core:
        return iter([("neurons per core", item.neurons, network.chip.neurons_per_core)])
    if not measured_limits(network):
        return iter(())
    return violations([item.slice_in(network)], network)


def measured_limits(network: Network) -> bool:
    """Whether the chip has published limits for which synapses must be counted."""
    chip = network.chip
    stored = (chip.synaptic_words_per_core, chip.words_per_axon, chip.input_axons_per_core, chip.synapse_configs)
    return any(limit is not None for limit in (*stored, chip.threshold_configs, chip.compartment_configs))


def check_fits(network: Network, item: Item) -> None:
    """Raises DoesNotFit where an item alone exceeds a core."""
    for resource, used, limit in exceeded(network, item):
        source = network.groups[item.group].neurons.source
        hint = "even one neuron per core exceeds it"
        raise DoesNotFit(resource, used, limit, f"layer {item.group!r} (from {source!r}), one neuron alone", hint)
