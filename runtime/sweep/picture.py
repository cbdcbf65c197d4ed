"""The picture of a sweep: accuracy over energy, latency and cores, and the points that no other beats. One PNG of 1500 x 600."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.errors import InputError
from pumice.runtime.pareto_picture import FRONT, LEAST_RANGE, OTHERS, TEST, quiet_axes
from pumice.runtime.picture import DPI, INK, MUTED, PAPER
from pumice.runtime.png import write_png
from pumice.runtime.sweep.fronts import fronts, known
from pumice.runtime.sweep.points import Outcome

SIZE = (15.0, 6.0)  # inches
LEFT, WIDTH, GAP = 0.055, 0.275, 0.045  # of a panel, in widths of the figure


@dataclass(frozen=True)
class SweepPicture:
    """outcomes: of all finished points. accuracy: the field that they are compared by. profile: whose energy and latency."""

    model: str
    accuracy: str
    profile: str
    outcomes: Sequence[Outcome]

    def __post_init__(self) -> None:
        if not known(self.outcomes, "cores", self.accuracy):
            raise InputError("picture: no point of the sweep has an accuracy", "see the column `error` of the table")

    @property
    def panels(self) -> Mapping[str, str]:
        """What each panel sets accuracy against: a field, and its axis in words."""
        return {
            f"energy_nj_{self.profile}": f"energy of a sample, {self.profile}, nJ",
            f"latency_us_{self.profile}": f"time to its answer, modelled, {self.profile}, µs",
            "cores": "cores",
        }


def draw_sweep(path: Path, picture: SweepPicture) -> None:
    """Draws `picture` as a PNG at `path`, whole or not at all; the same picture gives the same bytes.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    write_png(path, SIZE, DPI, PAPER, lambda figure: _fill(figure, picture))


def _fill(figure: Any, picture: SweepPicture) -> None:
    figure.text(0.030, 0.920, "What accuracy costs", fontsize=20, fontweight="bold", color=INK, va="baseline")
    split = picture.accuracy.removeprefix("accuracy_")
    said = f"{picture.model}, {len(picture.outcomes)} points, compared by {split} images; counts times published prices"
    figure.text(0.031, 0.870, said, fontsize=10, color=MUTED, va="baseline")
    best = fronts(picture.outcomes, picture.accuracy)
    for place, (field, words) in enumerate(picture.panels.items()):
        axes = quiet_axes(figure, (LEFT + place * (WIDTH + GAP), 0.115, WIDTH, 0.700))
        axes.set_xlabel(words, fontsize=10, color=INK)
        _draw_points(axes, known(picture.outcomes, field, picture.accuracy), best[field], field, picture.accuracy)
        if not place:
            axes.set_ylabel("accuracy", fontsize=10, color=INK)
            axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=INK)


def _draw_points(axes: Any, points: Sequence[Outcome], front: Sequence[int], field: str, accuracy: str) -> None:
    if not points:
        axes.text(0.5, 0.5, "unknown: unpublished", transform=axes.transAxes, ha="center", color=MUTED)
        return
    at = {one.index: (one.result[field], one.result[accuracy]) for one in points}
    costs, shares = zip(*at.values(), strict=True)
    axes.scatter(costs, shares, s=22, color=OTHERS, label="points", zorder=2)
    best = [at[index] for index in front]
    axes.step(
        [*(cost for cost, _ in best), max(costs)], [*(y for _, y in best), best[-1][1]], where="post", color=FRONT
    )
    axes.scatter(*zip(*best, strict=True), s=52, color=FRONT, label="Pareto front", zorder=4)
    tested = {one.index: one.result.get("accuracy_test") for one in points}
    same = [(at[index][0], tested[index]) for index in front if tested[index] is not None]
    if same:
        marker = {"marker": "D", "facecolor": "none", "edgecolor": TEST, "linewidth": 1.4}
        axes.scatter(*zip(*same, strict=True), s=46, label="the same on test images", zorder=5, **marker)
    heights = [*shares, *(y for _, y in same)]
    span = max(max(heights) - min(heights), LEAST_RANGE)
    axes.set_ylim(max(heights) - 1.12 * span, max(heights) + 0.06 * span)
    axes.set_xlim(0, 1.05 * max(costs) or 1)
    axes.locator_params(axis="x", nbins=6)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
