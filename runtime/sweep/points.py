"""A point of a sweep, what all points share, and what becomes of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Any, Literal

from pumice.hwsim.spec import ChipSpec

Ratios = tuple[float, ...]
Kind = Literal["refused", "missing", "time limit", "worker died", "internal"]
FINAL: tuple[Kind | None, ...] = (None, "refused")  # what would come out again


@dataclass(frozen=True)
class Point:
    """One combination of the grid's values, see `Grid`; index: its place in the grid."""

    index: int
    retention: Ratios
    bits: int
    density: float
    chip: str
    mapping: str
    masks: str


@dataclass(frozen=True)
class Settings:
    """What all points have in common and what decides their results beside the grid.

    model: a zoo name, or the absolute path of a checkpoint; model_hash: SHA-256 of the file. data: description of the data set,
    see `models.training.datasets`. split: the images that points are compared by, the first `samples` of them (None: all).
    calibration: how many images scales are chosen with (None: all). test: whether test accuracy is measured as well.
    agreement: on how many images spikes are compared with the float model's. version: of Pumice.
    """

    model: str
    model_hash: str
    data: Mapping[str, Any]
    split: str
    samples: int | None
    calibration: int | None
    test: bool
    agreement: int
    criterion: str
    backend: str
    version: str

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Task:
    """Points that share a quantized network: they differ in masks and mapping alone. limit_s: for each of them."""

    settings: Settings
    chip: ChipSpec
    points: tuple[Point, ...]
    limit_s: float


@dataclass(frozen=True)
class Outcome:
    """What became of a point. result: its values, the same wherever it runs, {} where it failed; error, kind: why, then. seconds,
    worker: how long it took, and where."""

    index: int
    result: Mapping[str, Any]
    error: str | None = None
    kind: Kind | None = None
    seconds: float = 0.0
    worker: str = ""

    @property
    def final(self) -> bool:
        """Whether the point would come out the same again: it has a result, or it cannot have one."""
        return self.kind in FINAL

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def tasks_of(points: Iterable[Point], settings: Settings, chips: Mapping[str, ChipSpec], limit_s: float) -> list[Task]:
    """The points as tasks, in the grid's order of their first points."""
    found = [list(same) for _, same in groupby(sorted(points, key=_shared), _shared)]
    groups = sorted(found, key=lambda group: group[0].index)
    return [Task(settings, chips[group[0].chip], tuple(group), limit_s) for group in groups]


def _shared(point: Point) -> tuple[Any, ...]:
    return point.retention, point.bits, point.density, point.chip
