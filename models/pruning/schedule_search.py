"""The search for retention schedules of TP-Spikformer, appendix A.1: every combination of a few ratios that never grows with
depth and averages to a target is evaluated on a batch of training data, without fine-tuning; the most accurate wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import GateState
from pumice.models.pruning.schedule_evaluation import BATCH, Point, open_bench, pareto_front, undisturbed
from pumice.models.pruning.schedule_space import Ratios, SearchSpace
from pumice.models.training.digits import Samples
from pumice.progress import Progress, no_progress


@dataclass(frozen=True)
class SearchResult:
    """unpruned: the network without pruning. points: every schedule evaluated, in order of evaluation. candidates: how many
    schedules of the space were listed; exhaustive: these are all there are, and all were evaluated."""

    unpruned: Point
    points: tuple[Point, ...]
    candidates: int
    exhaustive: bool

    @property
    def front(self) -> tuple[Point, ...]:
        """The Pareto front, see `pareto_front`."""
        return pareto_front(self.points)

    def best(self, space: SearchSpace, target: float) -> Point | None:
        """The choice of A.1 for a global average: most accurate of the schedules near `target`; ties: lower loss, then fewer
        tokens. None if none was near."""
        near = [p for p in self.points if abs(p.nominal_average - target) <= space.tolerance + 1e-9]
        return min(near, key=_preference, default=None)


def search(
    model: SpikingNetwork,
    samples: Samples,
    space: SearchSpace,
    criterion: Criterion,
    state: GateState = "hold",
    progress: Progress = no_progress,
    batch: int = BATCH,
) -> SearchResult:
    """Evaluates schedules of `space` on labelled calibration images; never show it test images.

    All candidates if they fit in the budget. Otherwise half of the budget goes to a seeded sample, spread over the averages,
    the rest to candidates one step away from the Pareto front so far. Same model, images, space and batch: same result.
    The model comes back as it was. progress: in forward passes. Raises InputError where the space holds no schedule, the
    images or labels do not fit, or the criterion cannot score the model.
    """
    candidates, whole = space.candidates(model.depth)
    planned = min(space.budget, len(candidates))
    chosen = candidates if planned == len(candidates) else space.sample(candidates, max(1, planned // 2))
    with undisturbed(model):
        bench = open_bench(model, samples, space.ratios, criterion, state, batch)
        unpruned = bench.unpruned()
        points = bench.evaluate(chosen, progress, planned)
        while len(points) < planned:
            chosen = _next(space, candidates, points, planned - len(points))
            points += bench.evaluate(chosen, progress, planned, len(points))
    return SearchResult(unpruned, tuple(points), len(candidates), whole and len(points) == len(candidates))


def _next(space: SearchSpace, candidates: Sequence[Ratios], points: Sequence[Point], count: int) -> list[Ratios]:
    """At most `count` schedules to try next: those a step away from the front, or any that are left."""
    seen = {point.retention for point in points}
    near = {moved for point in pareto_front(points) for moved in space.neighbours(point.retention)} - seen
    return space.sample(sorted(near or set(candidates) - seen, reverse=True), count)


def _preference(point: Point) -> tuple[float, ...]:
    return (-point.accuracy, point.loss, point.average, *point.retention)
