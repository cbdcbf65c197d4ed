"""Partitions: which neurons share a core. Pumice's own, and the field's layer-by-layer one to compare with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pumice.compiler.mapping.fill import Caps, Filler, slices_in
from pumice.compiler.mapping.order import by_index, in_columns, in_program_order
from pumice.compiler.mapping.pieces import Item, pieces_of
from pumice.compiler.mapping.thrift import thrifty
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Slice

Cores = tuple[tuple[Slice, ...], ...]
SMALL = 64  # cores up to which columns are tried too: larger networks' layers fill whole tiles by themselves
SEGMENTS = ((0, 8), (16, 2))  # from so many cores on, segments of columns that take so many


def layer_by_layer(network: Network, caps: Caps) -> Cores:
    """Each layer on cores of its own, its neurons in the order of their numbers: what mappers do that look at one layer at a time
    (NxTF, arXiv 2101.04261, fills cores so; Jin et al., ASPLOS 2023, start from it)."""
    filler = Filler(network, caps)
    return tuple(slices_in(core, network) for name in network.groups for core in filler.fill(by_index(network, name)))


def packed(network: Network, caps: Caps) -> Iterator[Cores]:
    """Pumice's partitions to choose from: layers cut by places, small ones together on a core, as few cores as neurons allow."""
    groups = thrifty(network, {name: pieces_of(network, name) for name in network.groups})
    first = _fewest(network, caps, list(in_program_order(groups)))
    yield first
    if len(first) > SMALL:
        return
    for cores in (width for least, width in SEGMENTS if len(first) >= least):
        columns = _fewest(network, caps, list(in_columns(network, groups, cores)))
        if len(columns) <= len(first):
            yield columns


def _fewest(network: Network, caps: Caps, items: Iterable[Item]) -> Cores:
    """Cores filled with whole positions, or with cut ones where that takes fewer."""
    items = list(items)
    cores = Filler(network, caps).fill(items)
    if len(cores) > -(-sum(item.neurons for item in items) // network.chip.neurons_per_core):
        cores = min(cores, Filler(network, caps, tight=True).fill(items), key=len)
    return tuple(slices_in(core, network) for core in cores)
