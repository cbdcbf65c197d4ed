"""What `pumice prune tokens` found, as rows for people, as JSON, and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pumice.hwsim.scoring import Criterion
from pumice.runtime.pareto_picture import FrontPoint, ParetoPicture, label_of

if TYPE_CHECKING:
    from pumice.models.pruning.schedule_evaluation import Point
    from pumice.models.pruning.schedule_search import SearchResult
    from pumice.models.pruning.schedule_space import SearchSpace


@dataclass(frozen=True, eq=False)
class TokenReport:
    """A search, or the evaluation of one schedule where `space` is None.

    images: what was evaluated on, in words. tests: accuracy on test images of the unpruned network and of the schedules
    shown, by ratios; empty where there are no test images. seconds: the search's, without the test images.
    """

    model: str
    criterion: Criterion
    state: str
    images: str
    space: SearchSpace | None
    result: SearchResult
    tests: Mapping[tuple[float, ...], float]
    seconds: float

    @property
    def chosen(self) -> dict[float, Point]:
        """Per target of the search the schedule to take, appendix A.1; targets without a schedule near them left out."""
        space = self.space
        best = {} if space is None else {target: self.result.best(space, target) for target in space.targets}
        return {target: point for target, point in best.items() if point is not None}

    @property
    def shown(self) -> tuple[Point, ...]:
        """The schedules to tell of, fewest tokens first: the front, and the choices for targets."""
        found = {*self.result.front, *self.chosen.values()}
        return tuple(sorted(found, key=lambda point: (point.average, point.accuracy, point.retention)))

    def rows(self) -> list[tuple[str, ...]]:
        """Per schedule shown, the unpruned network last: schedule, mean ratio, tokens kept, accuracy, loss, test accuracy."""
        front = self.result.front
        named = [("*" if p in front else "", label_of(p.retention), p) for p in self.shown]
        return [self._row(*entry) for entry in (*named, ("", "unpruned", self.result.unpruned))]

    def summary(self) -> str:
        """How much was evaluated, and how fine accuracy is."""
        result = self.result
        done = len(result.points)
        size = f"all {done} schedules" if result.exhaustive else f"{done} of {result.candidates} schedules"
        what = "evaluated" if self.space is None else f"{size} evaluated"
        grain = f"one image is {100 / result.unpruned.samples:.2g} points"
        return f"{what} on {self.images} in {self.seconds:.1f} s; {grain}"

    def as_dict(self) -> dict[str, Any]:
        """Everything, JSON-ready: fractions, seconds, losses in nats."""
        front = self.result.front
        return {
            "model": self.model,
            "criterion": self.criterion.as_dict(),
            "state": self.state,
            "images": self.images,
            "samples": self.result.unpruned.samples,
            "search": None if self.space is None else asdict(self.space),
            "candidates": self.result.candidates,
            "exhaustive": self.result.exhaustive,
            "unpruned": self._point(self.result.unpruned),
            "points": [self._point(point) for point in self.result.points],
            "front": [self._point(point) for point in front],
            "chosen": {str(target): self._point(point) for target, point in self.chosen.items()},
            "seconds": round(self.seconds, 2),
        }

    def picture(self) -> ParetoPicture:
        """The front over everything evaluated."""
        points = tuple((p.average, p.accuracy) for p in self.result.points)
        front = tuple(
            FrontPoint(p.retention, p.average, p.accuracy, self.tests.get(p.retention)) for p in self.result.front
        )
        unpruned = self.result.unpruned
        return ParetoPicture(
            self.model, self.criterion.rule, self.images, unpruned.samples, points, front, unpruned.accuracy
        )

    def _row(self, mark: str, name: str, point: Point) -> tuple[str, ...]:
        test = self.tests.get(point.retention)
        return (
            mark,
            name,
            f"{point.nominal_average:.4f}",
            f"{point.average:.4f}",
            f"{point.accuracy:.2%}",
            f"{point.loss:.4f}",
            "" if test is None else f"{test:.2%}",
        )

    def _point(self, point: Point) -> dict[str, Any]:
        test = self.tests.get(point.retention)
        return {
            "retention": list(point.retention),
            "kept": list(point.kept),
            "mean_ratio": point.nominal_average,
            "mean_kept": point.average,
            "accuracy": point.accuracy,
            "correct": point.correct,
            "loss": point.loss,
        } | ({} if test is None else {"test_accuracy": test})
