"""Exchange: each core swaps with whichever other one saves most, until no swap shortens what messages travel."""

from __future__ import annotations

import numpy as np

from pumice.compiler.mapping.placing.search import Ints, Search, Task, begin

SWEEPS = 20


def exchange(task: Task, site: Ints) -> Ints:
    """Sites [S] after rounds in which each core swaps with the one that saves most; up to 20, fewer once nothing is saved."""
    search = begin(task, site)
    busy = np.flatnonzero(task.between.any(axis=1))
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
