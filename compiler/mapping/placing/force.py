"""Force-directed placement: cores on neighbouring tiles swap, the strongest pull first, until none pulls any more.

Source: the refinement of Jin et al., "Mapping very large scale spiking neuron network to neuromorphic hardware", ASPLOS 2023.
"""

from __future__ import annotations

import numpy as np

from pumice.compiler.mapping.placing.search import Floats, Ints, Search, Task, begin

ROUNDS = 1000  # more than any network here needed; each round that changes nothing is the last


def force_directed(task: Task, site: Ints, links: Floats) -> Ints:
    """Sites [S] after the swaps. links: between two sites, [S, S]."""
    search = begin(task, site)
    pairs = np.argwhere(np.triu(links == 1))
    for _ in range(ROUNDS):
        if not _round(search, pairs):
            break
    return search.site


def _round(search: Search, pairs: Ints) -> int:
    """Swaps of one round: every pair that pulls, strongest first, as long as it still pulls when its turn comes."""
    core = np.argsort(search.site)
    a, b = core[pairs[:, 0]], core[pairs[:, 1]]
    own = search.cost[a, pairs[:, 1]] - search.cost[a, pairs[:, 0]]
    other = search.cost[b, pairs[:, 0]] - search.cost[b, pairs[:, 1]]
    apart = search.task.apart[pairs[:, 0], pairs[:, 1]]
    grown = own + other + 2 * search.task.between[a, b] * apart
    order = np.argsort(grown, kind="stable")
    pulling = order[grown[order] < 0]
    return sum(_swapped(search, *pairs[k]) for k in pulling)


def _swapped(search: Search, here: int, there: int) -> bool:
    a, b = (int(np.flatnonzero(search.site == place)[0]) for place in (here, there))
    if search.gain(a, b) >= 0:
        return False
    search.swap(a, b)
    return True
