"""What a sweep does, checked before any of it is done; and doing it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pumice.errors import InputError
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.progress import Progress, no_progress
from pumice.runtime.sweep.drive import run_tasks
from pumice.runtime.sweep.evaluate import checkpoint_path, criterion
from pumice.runtime.sweep.grid import Grid
from pumice.runtime.sweep.points import Outcome, Settings, tasks_of
from pumice.runtime.sweep.store import Store
from pumice.runtime.sweep.workers import Workers


@dataclass(frozen=True, eq=False)
class Plan:
    """A sweep. chips: of the grid, by the names there. limit_s: seconds for a point. patience_s: for how long there may be no
    worker."""

    grid: Grid
    settings: Settings
    chips: Mapping[str, ChipSpec]
    limit_s: float
    patience_s: float

    @property
    def header(self) -> dict[str, Any]:
        """What the results depend on: points of equal headers are the same."""
        return {
            **asdict(self.settings),
            **{f"grid_{axis}": values for axis, values in self.grid.as_dict().items()},
            "chips": {name: chip.digest() for name, chip in self.chips.items()},
        }


def make_plan(grid: Grid, settings: Settings, limit_s: float, patience_s: float) -> Plan:
    """A sweep that makes sense. Raises InputError for a schedule that does not fit the model, an unknown chip or criterion, and
    numbers out of range."""
    for name, value, least in (
        *(("--samples", settings.samples, 1), ("--calibration", settings.calibration, 1)),
        ("--agreement", settings.agreement, 0),
    ):
        if value is not None and value < least:
            raise InputError(f"{name} {value}", f"give {least} or more")
    for name, seconds in (("--time-limit", limit_s), ("--worker-timeout", patience_s)):
        if not 0 < seconds < 1e6:
            raise InputError(f"{name} {seconds}", "give seconds, more than 0")
    _check_schedules(grid, settings)
    return Plan(grid, settings, {name: load_chip(name) for name in grid.chip}, limit_s, patience_s)


def _check_schedules(grid: Grid, settings: Settings) -> None:
    from pumice.models.checkpoints import load_checkpoint
    from pumice.models.sparse_spikformer import SparseSpikformer
    from pumice.runtime.demo_models import demo_models

    rule, model = criterion(settings.criterion), load_checkpoint(checkpoint_path(settings.model))
    if isinstance(model, SparseSpikformer) and grid.retention != ((1.0,),):
        raise InputError(f"{settings.model} selects its tokens itself", "leave out --retention")
    for ratios in grid.retention:
        depth = len(ratios) if len(ratios) > 1 else model.depth
        if depth != model.depth:
            shown = "/".join(f"{ratio:g}" for ratio in ratios)
            raise InputError(
                f"--retention {shown}: {depth} ratios, the model has {model.depth} blocks", "or give one for all"
            )
        demo_models(model, ratios, rule)
    if "live" in grid.masks and not rule.causal and grid.retention != ((1.0,),):
        hint = "sweep --masks static or given"
        raise InputError(f"--criterion {settings.criterion} looks at all timesteps, so no chip can score it live", hint)


def run_plan(
    plan: Plan,
    store: Store,
    kept: Mapping[int, Outcome],
    start: Callable[[], Workers],
    progress: Progress = no_progress,
) -> None:
    """Computes the points that are not among the final ones of `kept`, and stores each task's as it ends. start: gets the
    workers, before anything is written. Raises PumiceError as `run_tasks` does; what was stored stays."""
    points = plan.grid.points()
    rest = [point for point in points if point.index not in kept or not kept[point.index].final]
    done = len(points) - len(rest)
    if not rest:
        return
    workers = start()
    try:
        store.make()
        progress(done, len(points))
        for outcomes in run_tasks(tasks_of(rest, plan.settings, plan.chips, plan.limit_s), workers, plan.patience_s):
            for outcome in outcomes:
                store.write(outcome)
            done += len(outcomes)
            progress(done, len(points))
    finally:
        workers.close()
