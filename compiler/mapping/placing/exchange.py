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
    """Sites [S] after sweeps in which each core swaps with the one that saves most; up to 20, fewer once nothing is saved. A core
    is looked at again only after a swap that may have changed what it can save."""
    search = begin(task, site)
    busy = task.between.any(axis=1) & task.movable
    waiting = busy.copy()
    for _ in range(SWEEPS):
        for a in np.flatnonzero(waiting):
            waiting[a] = False
            waiting[_improve(search, int(a))] = True
        waiting &= busy
    return search.site


def _improve(search: Search, a: int) -> Ints:
    """The cores that the best swap of a concerns; none where no swap saves anything."""
    gains = search.gains(a)
    best = int(np.argmin(gains))
    return search.swap(a, best) if gains[best] < 0 else np.zeros(0, np.int64)


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
