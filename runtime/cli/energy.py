"""pumice energy: what a model's forward pass costs, layer by layer, by every definition in use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from pumice.files import write_atomically
from pumice.hwsim.scoring import Criterion
from pumice.runtime import energy_report
from pumice.runtime.cli.common import console, read_model, read_official, read_samples, write_json
from pumice.runtime.cli.export import parse_schedule, token_pruning

BATCH = 60


def energy_command(
    model: Annotated[str, typer.Argument(help="A zoo name, a checkpoint of ours, or with --family an official one.")],
    data: Annotated[str, typer.Option(help="Samples [samples, …] in a .npy file, or `digits`.")] = "digits",
    family: Annotated[
        str, typer.Option(help="The family of an official checkpoint, e.g. sdtv1 or qkformer_cifar.")
    ] = "",
    config: Annotated[Path | None, typer.Option(help="Its constructor's arguments, as a JSON object.")] = None,
    retention: Annotated[str, typer.Option(help="Prune tokens: share that each block keeps, e.g. 0.6,0.4.")] = "",
    samples: Annotated[int | None, typer.Option(help="Use only the first so many samples.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write everything, as JSON.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the layers, as CSV.")] = None,
    latex: Annotated[Path | None, typer.Option(help="Also write the table, as LaTeX.")] = None,
) -> None:
    """Count MACs, ACs and SynOps of a float model per layer, and price them by the 45 nm convention."""
    network = read_official(model, family, config) if family else read_model(model)
    if retention:
        network.pruning = token_pruning(parse_schedule(retention), Criterion(), "hold")  # type: ignore[assignment]
    import torch

    from pumice.models.profiling import profile

    inputs = torch.from_numpy(read_samples(data).inputs[:samples]).float()
    found = profile(network, torch.split(inputs, BATCH))
    out = console()
    table = Table(*energy_report.COLUMNS, box=None)
    for row in energy_report.rows(found):
        table.add_row(*row)
    out.print(table)
    totals = energy_report.energy_dict(found)
    prices = totals["energy_nj"]["horowitz45"]
    out.print(f"per sample, mean of {found.samples}; {found.parameters:,} parameters")
    out.print(f"horowitz45: {prices['events']:,.1f} nJ by counted operations, {prices['eq24']:,.1f} nJ by Eq. 24")
    write_json(json, totals)
    for path, text in ((csv, energy_report.as_csv(found)), (latex, energy_report.as_latex(found))):
        if path is not None:
            write_atomically(path, text.encode())
