"""Greedy placement: the core with the most messages to those already placed comes next, on the best free site."""

from __future__ import annotations

import numpy as np

from pumice.compiler.mapping.placing.search import Ints, Task


def greedy(task: Task, cores: int) -> Ints:
    """Sites [S]; the cores without messages take what is left. The first core is the one with most messages, on site 0."""
    size = len(task.between)
    site = np.full(size, -1, np.int64)
    free, pull, held = (
        np.ones(size, np.bool_),
        task.between.sum(axis=1) * 0.0,
        np.zeros(int(task.chip.max()) + 1, np.int64),
    )
    core = int(np.argmax(task.between.sum(axis=1)))
    for _ in range(cores):
        near = np.flatnonzero((site >= 0) & (task.between[core] > 0))
        way = task.between[core, near] @ task.apart[site[near]] if len(near) else np.zeros(size)
        fits = True if task.limit is None else held[task.chip] + task.synapses[core] <= task.limit
        allowed = free & fits if (free & fits).any() else free
        site[core] = int(np.argmin(np.where(allowed, way, np.inf)))
        free[site[core]] = False
        held[task.chip[site[core]]] += task.synapses[core]
        pull += task.between[core]
        core = int(np.argmax(np.where(site[:cores] < 0, pull[:cores], -1.0)))
    site[site < 0] = np.flatnonzero(free)
    return site
