"""The schedules that a search may try: non-increasing with depth, of a small set of ratios (TP-Spikformer, appendix A.1)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations_with_replacement

import numpy as np

from pumice.errors import InputError
from pumice.models.pruning.schedules import average

Ratios = tuple[float, ...]
ENUMERABLE = 100_000  # spaces up to this size are listed in full; of larger ones as many schedules are drawn at most


@dataclass(frozen=True)
class SearchSpace:
    """Which schedules to try, and how many.

    ratios: the shares of tokens that a block may keep, each in (0, 1]. targets: global averages N_avg; a schedule is a
    candidate if its mean ratio lies within `tolerance` of one; none means that every average is wanted. budget: how many
    schedules to evaluate at most. seed: of the sample drawn where there are more. The paper does not say how near to its
    target a combination must be; 0.02 is our choice.
    """

    ratios: Ratios = (1.0, 0.75, 0.5, 0.25)
    targets: Ratios = ()
    tolerance: float = 0.02
    budget: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "ratios", tuple(sorted(set(self.ratios), reverse=True)))
        if not self.ratios:
            raise InputError("schedule search: no ratios", "give the shares a block may keep, e.g. 1,0.75,0.5,0.25")
        for what, values in (("ratio", self.ratios), ("target", self.targets)):
            for value in values:
                if not 0.0 < value <= 1.0:
                    raise InputError(f"schedule search: {what} {value} is not in (0, 1]", "1 keeps every token")
        if self.budget < 1:
            raise InputError(f"schedule search: a budget of {self.budget} schedules", "evaluate at least one")
        if not self.tolerance >= 0:
            raise InputError(f"schedule search: tolerance {self.tolerance}", "give 0 or more")

    def size(self, blocks: int) -> int:
        """How many non-increasing schedules there are for `blocks` blocks, whatever their average."""
        return math.comb(blocks + len(self.ratios) - 1, blocks)

    def holds(self, schedule: Ratios) -> bool:
        """Whether a schedule's mean ratio is near a target."""
        mean = average(schedule)
        return not self.targets or any(abs(mean - target) <= self.tolerance + 1e-9 for target in self.targets)

    def candidates(self, blocks: int) -> tuple[list[Ratios], bool]:
        """Schedules near the targets, highest ratios first, and whether these are all there are.

        Raises InputError where there is none.
        """
        whole = self.size(blocks) <= ENUMERABLE
        listed = combinations_with_replacement(self.ratios, blocks) if whole else iter(self._drawn(blocks))
        found = [schedule for schedule in listed if self.holds(schedule)]
        if found:
            return found, whole
        raise InputError(
            f"schedule search: no schedule of {blocks} blocks averages within {self.tolerance} of "
            f"{', '.join(map(str, self.targets))}",
            "more ratios, another target, or a larger tolerance",
        )

    def neighbours(self, schedule: Ratios) -> Iterator[Ratios]:
        """Candidates that differ from `schedule` by one step of one block."""
        for block, ratio in enumerate(schedule):
            place = self.ratios.index(ratio)
            for step in (place + 1, place - 1):
                if not 0 <= step < len(self.ratios):
                    continue
                moved = (*schedule[:block], self.ratios[step], *schedule[block + 1 :])
                if list(moved) == sorted(moved, reverse=True) and self.holds(moved):
                    yield moved

    def sample(self, candidates: Sequence[Ratios], count: int) -> list[Ratios]:
        """`count` of the candidates, in the order given: one at random from each of `count` bands of the average, then more
        from bands at random for those that are empty."""
        if len(candidates) <= count:
            return list(candidates)
        means = [average(schedule) for schedule in candidates]
        low, width = min(means), (max(means) - min(means)) / count or 1.0
        first: dict[int, int] = {}  # of each band
        others: list[int] = []
        for index in np.random.default_rng(self.seed).permutation(len(candidates)).tolist():
            band = min(int((means[index] - low) / width), count - 1)
            if first.setdefault(band, index) != index:
                others.append(index)
        chosen = [*first.values(), *others][:count]
        return [candidates[index] for index in sorted(chosen)]

    def _drawn(self, blocks: int) -> list[Ratios]:
        """At most ENUMERABLE different schedules, each as likely as any other, highest ratios first."""
        rng = np.random.default_rng(self.seed)
        places = len(self.ratios) + blocks - 1
        drawn = set()
        for _ in range(ENUMERABLE):
            # blocks among dividers between ratios: every choice of their places is one schedule
            at = np.sort(rng.choice(places, blocks, replace=False)) - np.arange(blocks)
            drawn.add(tuple(at.tolist()))
        return [tuple(self.ratios[level] for level in levels) for levels in sorted(drawn)]
