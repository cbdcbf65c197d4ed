"""pumice energy: what a model's forward pass costs, layer by layer, by every definition in use; and papers' tables again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pumice.errors import BackendUnavailable, InputError
from pumice.files import write_atomically
from pumice.hwsim.scoring import Criterion
from pumice.runtime import energy_report, paper_data, paper_report
from pumice.runtime.cli.common import DIGITS, console, read_model, read_official, read_samples, write_json
from pumice.runtime.cli.export import parse_schedule, token_pruning

BATCH = 60


def energy_command(
    model: Annotated[
        str, typer.Argument(help="A zoo name, a checkpoint of ours, or with --family an official one.")
    ] = "",
    data: Annotated[
        str, typer.Option(help="Samples [samples, …] in a .npy file; by default the model's own data set.")
    ] = "",
    family: Annotated[
        str, typer.Option(help="The family of an official checkpoint, e.g. sdtv1 or qkformer_cifar.")
    ] = "",
    config: Annotated[Path | None, typer.Option(help="Its constructor's arguments, as a JSON object.")] = None,
    retention: Annotated[str, typer.Option(help="Prune tokens: share that each block keeps, e.g. 0.6,0.4.")] = "",
    samples: Annotated[int | None, typer.Option(help="Use only the first so many samples.")] = None,
    table: Annotated[
        str, typer.Option(help="Instead of a model: a paper's table, computed again beside what it printed.")
    ] = "",
    json: Annotated[Path | None, typer.Option(help="Also write everything, as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the layers, as CSV.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Also write the table, as LaTeX.")] = None,
) -> None:
    """Count MACs, ACs and SynOps of a float model per layer, and price them by the 45 nm convention."""
    _check_choice(model, table)
    if table:
        _check_unused({"--family": family, "--config": config, "--retention": retention, "--samples": samples})
        _paper_table(table, json, csv, latex)
        return
    network = read_official(model, family, config) if family else read_model(model)
    if retention:
        network.pruning = token_pruning(parse_schedule(retention), Criterion(), "hold")  # type: ignore[assignment]
    import torch

    from pumice.models.profiling.profiler import profile

    inputs = torch.from_numpy(read_samples(data or (DIGITS if family else ""), model=model).inputs[:samples]).float()
    found = profile(network, torch.split(inputs, BATCH))
    totals = energy_report.energy_dict(found)
    prices = totals["energy_nj"]["horowitz45"]
    _print_table(energy_report.COLUMNS, [energy_report.rows(found)])
    out = console()
    out.print(f"per sample, mean of {found.samples}; {found.parameters:,} parameters")
    for line in energy_report.notes(found):
        out.print(line)
    out.print(f"horowitz45: {prices['events']:,.1f} nJ by counted operations, {prices['eq24']:,.1f} nJ by Eq. 24")
    write_json(json, totals)
    _write(csv, energy_report.as_csv(found))
    _write(latex, energy_report.as_latex(found))


def _check_choice(model: str, table: str) -> None:
    if bool(model) == bool(table):
        said = "both a model and --table" if model else "neither a model nor --table"
        raise InputError(f"energy: given {said}", f"give one; tables: {', '.join(paper_data.table_names())}")


def _check_unused(options: dict[str, object]) -> None:
    for name, value in options.items():
        if value:
            raise InputError(f"energy: {name} has no effect on a table", "leave it out, or give a model")


def _paper_table(name: str, json: Path | None, csv: Path | None, latex: Path | None) -> None:
    printed = paper_data.read_table(name)
    try:
        from pumice.runtime.paper_tables import compute

        tables = compute(printed)
    except ImportError as error:
        raise BackendUnavailable("this table needs PyTorch", "pip install 'pumice[torch]'") from error
    out = console()
    out.print(f"{printed.title}. Printed: {printed.sources['figures']}; {printed.sources['schedules']}.")
    _print_table(paper_report.COLUMNS, paper_report.rows(tables))
    for line in (*paper_report.LEGEND, "", *paper_report.notes(tables)):
        out.print(line)
    write_json(json, paper_report.as_dict(printed, tables))
    _write(csv, paper_report.as_csv(tables))
    _write(latex, paper_report.as_latex(tables))


def _print_table(columns: tuple[str, ...], groups: list[list[tuple[str, ...]]]) -> None:
    table = Table(*columns, box=None)
    for rows in groups:
        for row in rows:
            table.add_row(*row)
    console().print(table)


def _write(path: Path | None, text: str) -> None:
    if path is not None:
        write_atomically(path, text.encode())
