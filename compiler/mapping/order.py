"""In which order items fill cores: neuron by neuron, layer by layer, or in columns of several layers at the same places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from pumice.compiler.mapping.pieces import Item
from pumice.compiler.mapping.usage import Network
from pumice.hwsim.spec import ChipSpec

Groups = Mapping[str, Sequence[Item]]  # per group in program order, the pieces that it must be cut into


def in_program_order(groups: Groups) -> Iterator[Item]:
    """Layer after layer, piece after piece."""
    for items in groups.values():
        yield from items


def by_index(network: Network, name: str) -> Iterator[Item]:
    """A group neuron by neuron in the order of their numbers, channel after channel, whatever they are connected to."""
    channels, positions = network.layouts[name].extent
    if positions <= network.chip.neurons_per_core:
        yield Item(name, (0, channels), (0, positions), "channels")
    else:
        yield from (Item(name, (c, c + 1), (0, positions), "positions") for c in range(channels))


def in_columns(network: Network, groups: Groups, cores: int) -> Iterator[Item]:
    """Segments of consecutive layers that take up to `cores` cores; within a segment place by place, and at each place layer by
    layer: what a place's neurons send each other then mostly stays on their core."""
    for segment in segments(network, groups, cores):
        neurons = sum(item.neurons for name in segment for item in groups[name])
        edges = np.linspace(0, 1, -(-neurons // network.chip.neurons_per_core) + 1)
        for k in range(len(edges) - 1):
            for name in segment:
                yield from _at(network, groups[name], float(edges[k]), float(edges[k + 1]))


def segments(network: Network, groups: Groups, cores: int) -> list[list[str]]:
    """Runs of consecutive layers that take up to `cores` cores, and whose weights one core can hold together."""
    found: list[list[str]] = []
    neurons, memory = 0, 0.0
    for name, items in groups.items():
        if not items:
            continue
        own, share = sum(item.neurons for item in items), memory_share(network, items[0])
        if not found or neurons + own > cores * network.chip.neurons_per_core or memory + share > 1:
            found.append([])
            neurons, memory = 0, 0.0
        found[-1].append(name)
        neurons, memory = neurons + own, memory + share
    return found


def memory_share(network: Network, item: Item) -> float:
    """How much of what a core may hold of weights one position of an item takes; of a chip's synapses a core's equal share."""
    held, chip = item.part(item.along[0], item.along[0] + 1).slice_in(network), network.chip
    words = 0.0 if chip.synaptic_words_per_core is None else held.words / chip.synaptic_words_per_core
    return max(words, held.synapses / synapses_per_core(chip))


def synapses_per_core(chip: ChipSpec) -> float:
    """A core's equal share of its chip's synapses; infinite where that limit is not published."""
    return float("inf") if chip.synapses_per_chip is None else chip.synapses_per_chip / chip.usable_cores_per_chip


def _at(network: Network, items: Sequence[Item], start: float, end: float) -> Iterator[Item]:
    """The parts of a group's pieces between two coordinates in [0, 1]."""
    for item in items:
        coordinates = network.layouts[item.group].coordinates
        low, high = item.along
        if item.axis == "positions" and len(coordinates):
            a, b = (int(np.searchsorted(coordinates, edge)) for edge in (start, end))
        else:
            a, b = (low + round(edge * (high - low)) for edge in (start, end))
        if b > a:
            yield item.part(a, b)
