"""Exchange: each core swaps with whichever other one saves most, until no swap shortens messages' way; then whole tiles do."""

from __future__ import annotations

import numpy as np

from pumice.compiler.mapping.placing.search import Ints, Search, Task, begin

SWEEPS = 20
ROUNDS = 2


def exchange(task: Task, site: Ints, tile: Ints) -> Ints:
    """Sites [S] after swaps of cores, then of whole tiles, and of cores again, twice at most. tile: of each site, [S]."""
    site = swapped(task, site)
    for _ in range(ROUNDS):
        moved = tiles_swapped(task, site, tile)
        if np.array_equal(moved, site):
            break
        site = swapped(task, moved)
    return site


def swapped(task: Task, site: Ints) -> Ints:
    """Sites [S] after sweeps in which each core swaps with the one that saves most; up to 20, fewer once nothing is saved."""
    search = begin(task, site)
    busy = np.flatnonzero(task.between.any(axis=1) & task.movable)
    for _ in range(SWEEPS):
        if not sum(_improve(search, int(a)) for a in busy):
            break
    return search.site


def _improve(search: Search, a: int) -> bool:
    gains = search.gains(a)
    best = int(np.argmin(gains))
    if gains[best] >= 0:
        return False
    search.swap(a, best)
    return True


def tiles_swapped(task: Task, site: Ints, tile: Ints) -> Ints:
    """The same with the cores of a tile moving together; tiles with fewer cores than the largest stay where they are."""
    holds = np.zeros((int(tile.max()) + 1, len(site)))
    holds[tile[site], np.arange(len(site))] = 1
    first = np.unique(tile, return_index=True)[1]
    sizes = np.bincount(tile)
    between = holds @ task.between @ holds.T
    np.fill_diagonal(between, 0)
    synapses = (holds @ task.synapses).astype(np.int64)
    apart = task.apart[np.ix_(first, first)]
    movable = sizes == sizes.max()
    new = swapped(Task(between, apart, task.chip[first], synapses, task.limit, movable), np.arange(len(first)))
    rank = np.arange(len(tile)) - first[tile]  # sites of a tile follow each other
    return np.asarray(first[new[tile[site]]] + rank[site])
