"""Filling cores: items in a given order, each core as full as its limits allow before the next is opened."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from pumice.compiler.mapping.pieces import Axis, Item, check_fits, measured_limits, most_that
from pumice.compiler.mapping.usage import Network, Range, violations
from pumice.compiler.program import Slice

Key = tuple[str, Axis, Range]  # a group, its axis, and what is fixed of its slices across it: channels, or positions
Caps = Mapping[str, int]  # per group, the most of its neurons that one core may hold
Core = dict[Key, Item]


@dataclass(frozen=True, eq=False)
class Filler:
    """caps: limits of ours beside the chip's, where output axons ask for them. tight: a position that does not fit as a whole is
    cut by channels, so that no neuron of a core stays empty; its spikes then have two cores to go to."""

    network: Network
    caps: Caps = field(default_factory=dict)
    tight: bool = False

    def fill(self, items: Iterable[Item]) -> list[Core]:
        """Cores that hold all items, in order, each cut where a core is full. Raises DoesNotFit for a neuron that exceeds a
        core alone."""
        cores: list[Core] = [{}]
        waiting = deque(items)
        while waiting:
            item = waiting.popleft()
            rest = self._put(cores[-1], item)
            if not rest:
                continue
            if cores[-1]:
                cores.append({})
            else:  # not even its first row fits a core of its own
                rest = self._narrower(item)
            waiting.extendleft(reversed(rest))
        return [core for core in cores if core]

    def _narrower(self, item: Item) -> list[Item]:
        """An item in two halves across its axis. Raises DoesNotFit where it is one row of one neuron."""
        halves = item.across()
        if len(halves) == 1:
            check_fits(self.network, item.part(item.along[0], item.along[0] + 1))
        return halves

    def _put(self, core: Core, item: Item) -> list[Item]:
        """Put as much of an item on a core as fits; returns what is left."""
        start, end = item.along
        taken = start + self._most(core, item)
        if taken > start:
            add(core, item.part(start, taken))
        if taken == end:
            return []
        rest = item.part(taken, end)
        return self._put_channels(core, rest) if self.tight and item.axis == "positions" else [rest]

    def _put_channels(self, core: Core, item: Item) -> list[Item]:
        """Put some channels of an item's first position on a core; returns what is left."""
        start, end = item.along
        first = replace(item.part(start, start + 1), axis="channels")
        taken = first.along[0] + self._most(core, first)
        if taken == first.along[0]:
            return [item]
        add(core, first.part(first.along[0], taken))  # apart from the rows before it, as it was measured
        left = replace(first.part(taken, first.along[1]), axis="positions")
        return [part for part in (left, item.part(start + 1, end)) if part.neurons]

    def _most(self, core: Core, item: Item) -> int:
        """How much of an item, from the start of its axis, still fits a core."""
        start, end = item.along
        most = min(end - start, self._room(core, item))
        if most and self._fits(core, item.part(start, start + most)):  # as a rule all of it does
            return most
        return most_that(lambda rows: self._fits(core, item.part(start, start + rows)), most)

    def _room(self, core: Core, item: Item) -> int:
        """The same by numbers of neurons alone."""
        held = {key: part.neurons for key, part in core.items()}
        each = item.neurons // (item.along[1] - item.along[0])
        room = self.network.chip.neurons_per_core - sum(held.values())
        if item.group in self.caps:
            own = sum(count for (name, _, _), count in held.items() if name == item.group)
            room = min(room, max(self.caps[item.group], each) - own)
        return max(room // each, 0)

    def _fits(self, core: Core, item: Item) -> bool:
        if not measured_limits(self.network):
            return True
        merged = dict(core)
        add(merged, item)
        return not any(True for _ in violations(slices_in(merged, self.network), self.network))


def add(core: Core, item: Item) -> None:
    """Put an item on a core, together with what the core has of the same group just before it."""
    key = (item.group, item.axis, item.fixed)
    before = core.get(key)
    core[key] = item if before is None else before.part(before.along[0], item.along[1])


def slices_in(core: Core, network: Network) -> tuple[Slice, ...]:
    """What a core holds, measured."""
    return tuple(item.slice_in(network) for item in core.values())
