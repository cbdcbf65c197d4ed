"""pumice prune tokens: a model's accuracy under token pruning schedules, and the search for good ones."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from rich.table import Table

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.runtime.cli import token_options as o
from pumice.runtime.cli.choice_images import SPLITS, ChoiceImages, choice_images
from pumice.runtime.cli.common import check_output, console, read_model, write_json
from pumice.runtime.cli.export import parse_schedule
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.cli.pruning_options import (
    AlphaOption,
    CriterionOption,
    FirstStepOption,
    SeedOption,
    SharedOption,
    SilentOption,
    StateOption,
    WindowOption,
    criterion_of,
)
from pumice.runtime.pareto_picture import draw_pareto
from pumice.runtime.schedule_report import TokenReport

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork
    from pumice.models.neuron import GateState
    from pumice.models.pruning.schedule_search import SearchResult
    from pumice.models.pruning.schedule_space import Ratios, SearchSpace
    from pumice.models.training.digits import Samples

COLUMNS = ("front", "schedule", "mean ratio", "tokens kept", "accuracy", "loss", "test accuracy")


def tokens_command(
    model: o.Model,
    search: o.Search = False,
    schedule: o.Schedule = "",
    table: o.TableName = "",
    ratios: o.Ratios = "1,0.75,0.5,0.25",
    targets: o.Targets = "",
    tolerance: o.Tolerance = 0.02,
    budget: o.Budget = 256,
    data: o.Data = "",
    labels: o.Labels = None,
    split: o.Split = SPLITS[0],
    criterion: CriterionOption = "irtop-paper",
    window: WindowOption = 3,
    alpha: AlphaOption = 0.5,
    first_step: FirstStepOption = "both",
    shared: SharedOption = False,
    state: StateOption = "hold",
    silent: SilentOption = 0.0,
    seed: SeedOption = 0,
    picture: o.Picture = None,
    json: o.Json = None,
) -> None:
    """Measure a model's accuracy under token pruning without fine-tuning, for one schedule or a search over many.

    Schedules are chosen by calibration or validation images; test images are shown to the chosen ones alone, to report.
    """
    _check(search, schedule, table, picture)
    rule = criterion_of(criterion, window, alpha, first_step, shared, silent, seed)
    network = read_model(model)
    retention = _given(schedule, table)
    space = _space(ratios, targets, tolerance, budget, seed) if retention is None else None
    images = choice_images(model, data, labels, split)
    _write(_report(model, network, images, retention, space, rule, state), picture, json)


def _report(
    model: str,
    network: SpikingNetwork,
    images: ChoiceImages,
    retention: Ratios | None,
    space: SearchSpace | None,
    rule: Criterion,
    state: str,
) -> TokenReport:
    start = time.perf_counter()
    found = _measured(network, images.chosen_by, retention, space, rule, state)
    seconds = time.perf_counter() - start
    report = TokenReport(model, rule, state, images.words, space, found, {}, seconds)
    return replace(report, tests=_tests(network, images.test, report))


def _write(report: TokenReport, picture: Path | None, json: Path | None) -> None:
    _print(report)
    write_json(json, report.as_dict())
    if picture is not None:
        draw_pareto(picture, report.picture())


def _given(schedule: str, table: str) -> Ratios | None:
    """The schedule to evaluate; None to search."""
    if schedule:
        return parse_schedule(schedule)
    if not table:
        return None
    from pumice.models.pruning.schedules import schedule_named

    return schedule_named(table).retention


def _space(ratios: str, targets: str, tolerance: float, budget: int, seed: int) -> SearchSpace:
    from pumice.models.pruning.schedule_space import SearchSpace

    return SearchSpace(parse_schedule(ratios), parse_schedule(targets) if targets else (), tolerance, budget, seed)


def _measured(
    network: SpikingNetwork,
    samples: Samples,
    given: Ratios | None,
    space: SearchSpace | None,
    rule: Criterion,
    state: str,
) -> SearchResult:
    from pumice.models.pruning.schedule_evaluation import evaluate_schedule
    from pumice.models.pruning.schedule_search import SearchResult, search

    gate = cast("GateState", state)  # checked where it is used
    if space is not None:
        with progress_bar("searching schedules") as progress:
            return search(network, samples, space, rule, gate, progress)
    point = evaluate_schedule(network, samples, given, rule, gate)
    return SearchResult(evaluate_schedule(network, samples, None, rule, gate), (point,), 1, True)


def _tests(network: SpikingNetwork, samples: Samples | None, report: TokenReport) -> dict[Ratios, float]:
    """Test accuracy of the schedules shown and of the unpruned network, which are chosen by then."""
    from pumice.models.pruning.schedule_evaluation import evaluate_schedule

    if samples is None:
        return {}
    state, found = cast("GateState", report.state), {}
    with progress_bar("test images") as progress:
        for done, point in enumerate(report.shown):
            found[point.retention] = evaluate_schedule(
                network, samples, point.retention, report.criterion, state
            ).accuracy
            progress(done + 1, len(report.shown))
    unpruned = report.result.unpruned.retention
    return {unpruned: evaluate_schedule(network, samples, None, report.criterion, state).accuracy} | found


def _check(search: bool, schedule: str, table: str, picture: Path | None) -> None:
    named = [name for name, given in (("--search", search), ("--schedule", schedule), ("--table", table)) if given]
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)} at once", "evaluate one schedule, or search for some")
    if picture is not None:
        check_output(picture, ".png")


def _print(report: TokenReport) -> None:
    table = Table(*COLUMNS, box=None)
    for row in report.rows():
        table.add_row(*row)
    out = console()
    out.print(table)
    out.print(report.summary())
    for target, point in report.chosen.items():
        ratios = ",".join(map(str, point.retention))
        out.print(f"for an average of {target:g}: --retention {ratios} ({point.accuracy:.2%})")
