"""The Pareto fronts of a sweep: accuracy against each of what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pumice.hwsim.energy import profile_names
from pumice.models.pruning.pareto import front
from pumice.runtime.sweep.points import Outcome


def objectives() -> tuple[str, ...]:
    """What accuracy is set against: energy and latency by every profile, and cores."""
    return (*(f"{what}_{name}" for what in ("energy_nj", "latency_us") for name in profile_names()), "cores")


def known(outcomes: Sequence[Outcome], objective: str, accuracy: str) -> list[Outcome]:
    """The points with both values; a number that nobody published is no value."""
    return [one for one in outcomes if one.result.get(objective) is not None and one.result.get(accuracy) is not None]


def fronts(outcomes: Sequence[Outcome], accuracy: str) -> Mapping[str, tuple[int, ...]]:
    """By objective, the indices of the points that no other beats, cheapest first; () where the objective is unknown. accuracy:
    the field that points are compared by, never the one of test images. Of equal points the first of the grid stands."""

    def of(objective: str) -> tuple[int, ...]:
        points = known(outcomes, objective, accuracy)
        best = front(points, lambda p: p.result[objective], lambda p: p.result[accuracy], lambda p: p.index)
        return tuple(point.index for point in best)

    return {objective: of(objective) for objective in objectives()}
