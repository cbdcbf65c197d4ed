"""Thrift: where copies of weights would fill more chips than neurons do, layers are cut by channels too: a core holds fewer.

A layer cut by places keeps all of its weights on each of its cores. Each piece of channels divides them, and multiplies the
cores that a spike goes to, so no more pieces are made than bring the chips near their fewest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pumice.compiler.mapping.order import Groups, synapses_per_core
from pumice.compiler.mapping.pieces import Item, ranges
from pumice.compiler.mapping.placing.sites import chip_runs
from pumice.compiler.mapping.usage import Network

SHARES = (float("inf"), 1.5, 1.25, 1.0)  # of a chip's synapses divided by its cores: what a core may hold of one layer
NEAR = 1.1  # times the fewest chips


def thrifty(network: Network, groups: Groups) -> Groups:
    """The groups with as few further pieces as let them take nearly as few chips as their neurons alone would."""
    chip = network.chip
    if chip.synapses_per_chip is None:
        return groups
    cores = -(-sum(item.neurons for items in groups.values() for item in items) // chip.neurons_per_core)
    fewest = -(-cores // chip.usable_cores_per_chip)
    cut = groups
    for share in SHARES:
        cut = {name: _cut(network, items, share * synapses_per_core(chip)) for name, items in groups.items()}
        if len(list(chip_runs(_held(network, cut), chip))) <= NEAR * fewest:
            break
    return cut


def _cut(network: Network, items: Sequence[Item], most: float) -> list[Item]:
    """The pieces of a group, each cut by channels until a core holds at most so many synapses of it."""
    found: list[Item] = []
    for item in items:
        low, high = item.channels
        pieces = 1 if item.axis == "channels" else min(-int(-_synapses(network, item) // most), high - low)
        found += [
            Item(item.group, (low + a, low + b), item.positions, item.axis)
            for a, b in ranges(high - low, max(pieces, 1))
        ]
    return found


def _held(network: Network, groups: Groups) -> Iterator[int]:
    """Synapses on each core, when cores are filled with the groups' neurons one after another."""
    room, held = network.chip.neurons_per_core, 0
    for item in (item for items in groups.values() for item in items):
        left, own = item.neurons, _synapses(network, item)
        while left:
            taken = min(room, left)
            room, left, held = room - taken, left - taken, held + own
            if room == 0:
                yield held
                room, held = network.chip.neurons_per_core, 0
    yield held


def _synapses(network: Network, item: Item) -> int:
    """What a core stores of an item, however few of its places it has."""
    return item.part(item.along[0], item.along[0] + 1).slice_in(network).synapses
