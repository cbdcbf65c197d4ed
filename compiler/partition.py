"""partition: whole layers, cut to the limits of a core. Legal and simple: one slice a core, channels cut before positions."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, fans, groups_of
from pumice.compiler.ir import Graph, Node
from pumice.compiler.program import Partition, Slice
from pumice.errors import DoesNotFit
from pumice.hwsim import arith
from pumice.hwsim.arith import Signs
from pumice.hwsim.spec import ChipSpec

WORD_BITS = 64
ONE_BITS = 2  # of a shared weight of 1


def partition(graph: Graph, chip: ChipSpec) -> Partition:
    """Every neuron group of a balanced graph, cut into slices that fit a core. Raises DoesNotFit naming the layer."""
    cores = [(part,) for group in groups_of(graph) for part in cut(group, graph, chip)]
    limit = chip.usable_cores_per_chip * chip.max_chips
    if len(cores) > limit:
        raise DoesNotFit(
            "cores", len(cores), limit, "the whole network", "use more chips, fewer weight bits or a lower retention"
        )
    return Partition(tuple(cores))


def cut(group: Group, graph: Graph, chip: ChipSpec) -> list[Slice]:
    """The fewest equal slices of one group that fit."""
    parts: list[Slice] = []
    for pieces in _ways_to_cut(group.extent, chip.neurons_per_core):
        parts = [
            slice_of(group, graph, chip, c, p)
            for c in ranges(group.extent[0], pieces[0])
            for p in ranges(group.extent[1], pieces[1])
        ]
        if not any(list(violations(part, chip)) for part in parts):
            return parts
    resource, used, limit = next(v for part in parts for v in violations(part, chip))
    raise DoesNotFit(
        resource,
        used,
        limit,
        f"layer {group.name!r} (from {group.neurons.source!r})",
        "even one neuron per core exceeds it",
    )


def _ways_to_cut(extent: tuple[int, int], neurons_per_core: int) -> Iterator[tuple[int, int]]:
    """(channel pieces, position pieces), fewest pieces first, ending at one neuron each."""
    channels, positions = extent
    least = -(-channels * positions // neurons_per_core)
    ways = {(min(c, channels), min(p, positions)) for c in _doublings(channels) for p in _doublings(positions)}
    ways |= {(c, 1) for c in range(1, channels + 1)}
    yield from sorted((w for w in ways if w[0] * w[1] >= least), key=lambda w: (w[0] * w[1], w[1]))


def _doublings(limit: int) -> list[int]:
    return [1 << k for k in range(limit.bit_length() + 1)]


def ranges(length: int, pieces: int) -> list[tuple[int, int]]:
    """`length` cut into `pieces` contiguous ranges whose sizes differ by at most one."""
    edges = [length * k // pieces for k in range(pieces + 1)]
    return list(pairwise(edges))


def slice_of(
    group: Group, graph: Graph, chip: ChipSpec, channels: tuple[int, int], positions: tuple[int, int]
) -> Slice:
    """What one slice of a group takes of a core's resources."""
    stored = stored_synapses(group, channels)
    synapses = sum(count for count, _ in stored)
    words = -(-synapses * max(bits for _, bits in stored) // WORD_BITS)
    axons = sum(int(np.count_nonzero(fan)) for _, fan in fans(group, graph, channels, positions))
    neurons = (channels[1] - channels[0]) * (positions[1] - positions[0])
    return Slice(group.name, channels, positions, neurons, synapses, words, axons)


def stored_synapses(group: Group, channels: tuple[int, int]) -> list[tuple[int, int]]:
    """Synapses that a slice stores, and the bits of each: those of its convolutions, and one shared 1 for each input that it
    takes as it is. Products of spikes and counts are not stored."""
    return [*(_own_synapses(node, channels) for node in group.synapses), (len(group.streams), ONE_BITS)]


def _own_synapses(node: Node, channels: tuple[int, int]) -> tuple[int, int]:
    if isinstance(node, i.SpikeMatmul):
        return 0, 0
    if isinstance(node, i.Synapse):
        weights = node.weight[slice(*channels)]
        return int(arith.synapse_counts(weights, node.signs).sum()), stored_bits(weights, node.signs)
    return len(node.inputs), ONE_BITS


def stored_bits(weights: NDArray[np.int64], signs: Signs) -> int:
    """Bits of one stored weight: what the layer's own largest weight 2q needs for q and its sign; or the largest magnitude, where
    a list has the sign."""
    largest = int(np.abs(weights.clip(*arith.ONE_SYNAPSE[signs])).max(initial=0))
    return max(largest, 1).bit_length() if signs == "split" else max(largest >> 1, 1).bit_length() + 1


def violations(part: Slice, chip: ChipSpec) -> Iterator[tuple[str, int, int]]:
    """(resource, used, limit) for every published limit that a slice exceeds."""
    for resource, used, limit in utilisation(part, chip):
        if used > limit:
            yield resource, used, limit


def utilisation(part: Slice, chip: ChipSpec) -> list[tuple[str, int, int]]:
    """(resource, used, limit) of a slice, for every published limit."""
    rows: list[tuple[str, int, int | None]] = [
        ("neurons per core", part.neurons, chip.neurons_per_core),
        ("synaptic memory words per core", part.words, chip.synaptic_words_per_core),
        ("input axons per core", part.input_axons, chip.input_axons_per_core),
        ("output axons per core", part.neurons, chip.output_axons_per_core),
    ]
    return [(name, used, limit) for name, used, limit in rows if limit is not None]
