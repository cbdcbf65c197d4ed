"""The picture of a schedule search: accuracy over tokens routed, and the schedules that no other beats. One PNG of 1200 x 750."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.errors import InputError
from pumice.runtime.picture import DPI, INK, MUTED, PAPER
from pumice.runtime.png import write_png

SIZE = (12.0, 7.5)  # inches
FRONT, TEST, OTHERS, GRID = "#4477AA", "#EE6677", "#B9BDC2", "#E3E0D8"  # Paul Tol's "bright" scheme, and greys
LEAST_RANGE = 0.05  # of accuracy, so that an image or two do not look like a difference
MAX_LABELS = 12
MAX_BLOCKS = 10  # whose ratios fit in a label


@dataclass(frozen=True)
class FrontPoint:
    """A schedule of the front: ratios per block, share of tokens routed, accuracy on the images it was chosen by, accuracy
    on test images or None."""

    retention: tuple[float, ...]
    average: float
    accuracy: float
    test: float | None = None


@dataclass(frozen=True)
class ParetoPicture:
    """points: (share of tokens routed, accuracy) of every schedule evaluated; front: fewest tokens first; unpruned: accuracy
    without pruning. Accuracies are fractions. images: how many the schedules were chosen by; chosen_by: these in words."""

    model: str
    criterion: str
    chosen_by: str
    images: int
    points: tuple[tuple[float, float], ...]
    front: tuple[FrontPoint, ...]
    unpruned: float

    def __post_init__(self) -> None:
        if not self.front:
            raise InputError("picture: a front without schedules", "evaluate at least one schedule")


def draw_pareto(path: Path, picture: ParetoPicture) -> None:
    """Draws `picture` as a PNG at `path`, whole or not at all; the same picture gives the same bytes.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    write_png(path, SIZE, DPI, PAPER, lambda figure: _fill(figure, picture))


def _fill(figure: Any, picture: ParetoPicture) -> None:
    _draw_title(figure, picture)
    _draw_front(_axes(figure), picture)


def label_of(retention: tuple[float, ...]) -> str:
    """A schedule for people: runs of equal ratios are counted, "1, 0.75 ×3, 0.5"."""
    runs: list[tuple[float, int]] = []
    for ratio in retention:
        if runs and runs[-1][0] == ratio:
            runs[-1] = (ratio, runs[-1][1] + 1)
        else:
            runs.append((ratio, 1))
    return ", ".join(f"{ratio:.4g} ×{count}" if count > 1 else f"{ratio:.4g}" for ratio, count in runs)


def _draw_title(figure: Any, picture: ParetoPicture) -> None:
    figure.text(0.040, 0.935, "Tokens kept, accuracy kept", fontsize=20, fontweight="bold", color=INK, va="baseline")
    grain = f"one image is {100 / picture.images:.2g} points"
    said = (
        f"{picture.model}, {picture.criterion}, without fine-tuning; schedules chosen by {picture.chosen_by}, {grain}"
    )
    figure.text(0.041, 0.900, said, fontsize=10, color=MUTED, va="baseline")


def _axes(figure: Any) -> Any:
    """Percent on both sides."""
    axes = quiet_axes(figure, (0.075, 0.095, 0.895, 0.765))
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("tokens that a block routes, mean over blocks", fontsize=10, color=INK)
    axes.set_ylabel("accuracy", fontsize=10, color=INK)
    return axes


def bare_axes(figure: Any, place: tuple[float, float, float, float]) -> Any:
    """Axes without a frame at `place`, with a quiet grid."""
    axes = figure.add_axes(place)
    axes.set_facecolor("none")
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(axis="both", which="both", length=0, labelsize=9, colors=MUTED)
    return axes


def quiet_axes(figure: Any, place: tuple[float, float, float, float]) -> Any:
    """`bare_axes` whose heights are shares, in percent."""
    axes = bare_axes(figure, place)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %")
    return axes


def _draw_front(axes: Any, picture: ParetoPicture) -> None:
    front, shares = picture.front, [point.average for point in picture.front]
    axes.axhline(picture.unpruned, color=MUTED, linewidth=1, linestyle=(0, (4, 3)), label="every token routed")
    axes.scatter(*zip(*picture.points, strict=True), s=22, color=OTHERS, label="schedules evaluated", zorder=2)
    best = [p.accuracy for p in front]
    axes.step([*shares, 1.0], [*best, best[-1]], where="post", color=FRONT, linewidth=1.6, zorder=3)
    axes.scatter(shares, best, s=52, color=FRONT, label="Pareto front", zorder=4)
    tested = [(p.average, p.test) for p in front if p.test is not None]
    if tested:
        marker = {"marker": "D", "facecolor": "none", "edgecolor": TEST, "linewidth": 1.4}
        axes.scatter(*zip(*tested, strict=True), s=46, label="the same on test images", zorder=5, **marker)
    for point in front[:MAX_LABELS] if len(front[0].retention) <= MAX_BLOCKS else ():
        place = {"xytext": (7, -4), "textcoords": "offset points", "va": "top"}
        axes.annotate(label_of(point.retention), (point.average, point.accuracy), fontsize=8.5, color=INK, **place)
    _set_limits(axes, picture)
    legend = axes.legend(loc="lower right", fontsize=9, frameon=False, labelcolor=INK)
    legend.set_zorder(6)


def _set_limits(axes: Any, picture: ParetoPicture) -> None:
    """Everything drawn, with room for the labels."""
    heights = [accuracy for _, accuracy in picture.points] + [picture.unpruned]
    heights += [point.test for point in picture.front if point.test is not None]
    low, high = min(heights), max(heights)
    span = max(high - low, LEAST_RANGE)
    axes.set_ylim(high - 1.12 * span, high + 0.06 * span)
    axes.set_xlim(0, 1.03)
