"""A placement that is being improved by swaps: what each swap would change, exactly."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """Cores to be put on sites; as many of both, since an empty site has a core that sends nothing.

    between: messages between two cores in both directions, [S, S], symmetric, 0 on the diagonal. apart: the length of the way
    between two sites, [S, S]. Both hold whole numbers, so that every sum is exact and the same on every machine. chip: of each
    site, [S]. synapses: of each core, [S]; limit: on a chip. movable: cores that may swap, [S].
    """

    between: Floats
    apart: Floats
    chip: Ints
    synapses: Ints
    limit: int | None
    movable: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Search:
    """A placement that is being improved. site: of each core, [S]. cost: of the core's messages if it were on a site,
    [core, site]."""

    task: Task
    site: Ints
    cost: Floats
    held: Ints  # synapses on each chip

    def gains(self, a: int) -> Floats:
        """By how much the way of all messages grows if core a swaps with each other one, [S]; itself 0."""
        here, site = self.site[a], self.site
        own = self.cost[a, site] - self.cost[a, here]
        other = self.cost[:, here] - self.cost[np.arange(len(site)), site]
        grown = own + other + 2 * self.task.between[a] * self.task.apart[here, site]
        grown[a] = 0
        return np.where(self._legal(a), grown, 0)

    def _legal(self, a: int) -> NDArray[np.bool_]:
        """With which cores a may swap: no chip may come to hold more synapses than its limit."""
        task = self.task
        if task.limit is None:
            return task.movable
        chips, own = task.chip[self.site], task.chip[self.site[a]]
        more = task.synapses - task.synapses[a]  # what a's chip would gain
        fits = (self.held[own] + more <= task.limit) & (self.held[chips] - more <= task.limit)
        return np.asarray(task.movable & (fits | (chips == own)))

    def gain(self, a: int, b: int) -> float:
        """By how much the way of all messages grows if cores a and b swap; 0 where they may not."""
        here, there = int(self.site[a]), int(self.site[b])
        own, other = self.cost[a, there] - self.cost[a, here], self.cost[b, here] - self.cost[b, there]
        grown = float(own + other + 2 * self.task.between[a, b] * self.task.apart[here, there])
        return grown if self._legal(a)[b] else 0.0

    def swap(self, a: int, b: int) -> Ints:
        """Cores a and b exchange their sites. Returns the cores whose gains this may change: those two, and those that either
        exchanges messages with."""
        task, (at, to) = self.task, (int(self.site[a]), int(self.site[b]))
        change = task.apart[to] - task.apart[at]
        pull = task.between[a] - task.between[b]
        touched = np.flatnonzero(pull)
        self.cost[touched] += pull[touched, None] * change
        self.held[task.chip[to]] += task.synapses[a] - task.synapses[b]
        self.held[task.chip[at]] += task.synapses[b] - task.synapses[a]
        self.site[a], self.site[b] = to, at
        return np.append(touched, (a, b))


def begin(task: Task, site: Ints) -> Search:
    """A search from a placement."""
    held = np.bincount(task.chip[site], task.synapses, int(task.chip.max()) + 1).astype(np.int64)
    return Search(task, site.copy(), task.between @ task.apart[site], held)
