"""pumice sweep: many design points of a model, as a table and Pareto fronts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pumice import __version__
from pumice.errors import InputError, RunError
from pumice.hwsim.energy import check_profile
from pumice.runtime.backends import BACKENDS, DEFAULT_BACKEND, make_backend
from pumice.runtime.cli import sweep_options as o
from pumice.runtime.cli.choice_images import SPLITS
from pumice.runtime.cli.common import check_output, console, data_facts, write_json
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.sweep.dask_workers import DaskWorkers
from pumice.runtime.sweep.evaluate import checkpoint_path, model_hash
from pumice.runtime.sweep.fronts import fronts
from pumice.runtime.sweep.grid import AXES, Grid, grid_of_file, grid_of_words
from pumice.runtime.sweep.picture import SweepPicture, draw_sweep
from pumice.runtime.sweep.plan import Plan, make_plan, run_plan
from pumice.runtime.sweep.points import Outcome, Settings
from pumice.runtime.sweep.store import Store
from pumice.runtime.sweep.table import check_parquet, rows, write_table
from pumice.runtime.sweep.workers import Processes, Workers

MOST_WORKERS = 8  # by default: each holds a model and a batch of samples


def sweep_command(
    model: o.Model,
    output: o.Output,
    retention: o.Retention = None,
    bits: o.Bits = None,
    density: o.Density = None,
    chip: o.Chips = None,
    mapping: o.Mappings = None,
    masks: o.Masks = None,
    grid: o.GridFile = None,
    data: o.Data = "",
    split: o.Split = "validation",
    samples: o.Samples = None,
    calibration: o.Calibration = None,
    test: o.Test = True,
    agreement: o.Agreement = 8,
    criterion: o.CriterionName = "irtop-paper",
    backend: Annotated[str, typer.Option(help=f"One of {', '.join(BACKENDS)}.")] = DEFAULT_BACKEND,
    workers: o.WorkerCount = None,
    scheduler: o.Scheduler = "",
    time_limit: o.TimeLimit = 600.0,
    worker_timeout: o.WorkerTimeout = 60.0,
    resume: o.Resume = False,
    profile: o.Profile = "loihi1_sanafe",
    picture: o.Picture = None,
    json: o.Json = None,
) -> None:
    """Measure accuracy, energy, latency and cores of every combination of the given values.

    Finished points are kept in a folder beside the table, NAME.points, whatever happens to workers or to this command; --resume
    computes the rest. Points are compared by validation or calibration images; test accuracy is a column of its own.
    """
    words = (retention, bits, density, chip, mapping, masks)
    tried = _grid(grid, {axis: said for axis, said in zip(AXES, words, strict=True) if said})
    check_output(output, ".parquet")
    for path, suffix in ((picture, ".png"), (json, ".json")):
        if path is not None:
            check_output(path, suffix)
    check_parquet()
    check_profile(profile)
    make_backend(backend)
    settings = _settings(model, data, split, samples, calibration, test, agreement, criterion, backend)
    plan = make_plan(tried, settings, time_limit, worker_timeout)
    found = _run(plan, output, resume, lambda: _workers(plan, workers, scheduler))
    accuracy = f"accuracy_{split}"
    best = fronts(list(found.values()), accuracy)
    write_json(json, {"settings": plan.header, "fronts": best, "points": [found[k].as_dict() for k in sorted(found)]})
    if picture is not None:
        draw_sweep(picture, SweepPicture(model, accuracy, profile, list(found.values())))
    _print(plan, found, best, profile)
    console().print(f"{output}: {len(found)} points")
    _check_failed(found)


def _grid(file: Path | None, words: dict[str, list[str]]) -> Grid:
    if file is not None and words:
        raise InputError(f"--grid {file} with --{next(iter(words))}", "say the grid in the file or in options")
    return grid_of_words(words) if file is None else grid_of_file(file)


def _settings(
    model: str,
    data: str,
    split: str,
    samples: int | None,
    calibration: int | None,
    test: bool,
    agreement: int,
    criterion: str,
    backend: str,
) -> Settings:
    if split not in SPLITS:
        raise InputError(f"--split {split!r}", "use calibration or validation; test images are for reporting only")
    described = data_facts(data or model)
    place = str(Path(model).resolve()) if model.endswith(".safetensors") else model
    shown = (described, split, samples, calibration, test, agreement, criterion, backend, __version__)
    return Settings(place, model_hash(checkpoint_path(place)), *shown)


def _workers(plan: Plan, count: int | None, scheduler: str) -> Workers:
    if scheduler:
        return DaskWorkers(scheduler, plan.patience_s)
    return Processes(min(os.cpu_count() or 1, MOST_WORKERS) if count is None else count)


def _run(plan: Plan, output: Path, resume: bool, start: Callable[[], Workers]) -> dict[int, Outcome]:
    """All outcomes. Whatever ends the sweep, the table then holds what is finished."""
    store = Store(output.with_suffix(".points"), plan.header)
    store.check(resume)
    kept = store.read()
    try:
        with progress_bar("sweeping") as progress:
            run_plan(plan, store, kept, start, progress)
    except KeyboardInterrupt:
        console(stderr=True).print(f"{len(store.read())}/{plan.grid.size} points are kept; --resume computes the rest")
        raise
    finally:
        found = store.read()
        if found:
            write_table(output, rows(plan.grid.points(), found, plan.header), plan.header)
    return found


def _print(plan: Plan, found: dict[int, Outcome], best: Mapping[str, Sequence[int]], profile: str) -> None:
    """The points of a front: of energy where it is known, else of cores."""
    objective = f"energy_nj_{profile}" if best[f"energy_nj_{profile}"] else "cores"
    names, points, out = ("point", *AXES, plan.settings.split, "test", "cores", "nJ"), plan.grid.points(), console()
    table = Table(*names, box=None)
    for index in best[objective]:
        point, result = vars(points[index]), found[index].result
        values = ["/".join(f"{ratio:g}" for ratio in point["retention"]), *(f"{point[axis]}" for axis in AXES[1:])]
        shares = (result.get(f"accuracy_{split}") for split in (plan.settings.split, "test"))
        said = ["" if share is None else f"{share:.2%}" for share in shares]
        price = result.get(f"energy_nj_{profile}")
        table.add_row(str(index), *values, *said, str(result["cores"]), "unknown" if price is None else f"{price:,.0f}")
    out.print(f"points that no other beats in accuracy and {objective}")
    out.print(table)


def _check_failed(found: dict[int, Outcome]) -> None:
    """Raises RunError where points are without a result that might have one."""
    refused = sum(outcome.kind == "refused" for outcome in found.values())
    if refused:
        console().print(f"{refused} points cannot be compiled or run; the column `error` says why")
    failed = [outcome for _, outcome in sorted(found.items()) if not outcome.final]
    if failed:
        first = f"the first is point {failed[0].index}: {failed[0].error}"
        raise RunError(f"{len(failed)}/{len(found)} points failed; {first}", "--resume computes these again")
