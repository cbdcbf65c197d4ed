"""pumice export: a trained model becomes a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.runtime.cli.common import check_output, console, read_model

if TYPE_CHECKING:
    from pumice.models.token_pruning import TokenPruning


def export_command(
    model: Annotated[str, typer.Argument(help="A zoo name, or the path of a checkpoint (.safetensors).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .nir file to write.")],
    retention: Annotated[
        str, typer.Option(help="Share of tokens each block keeps, e.g. 0.6,0.4; empty: no pruning.")
    ] = "",
    criterion: Annotated[str, typer.Option(help="irtop-paper, irtop-official, firing-rate or random.")] = "irtop-paper",
    window: Annotated[int, typer.Option(help="Side of the criterion's spatial window, odd.")] = 3,
    alpha: Annotated[float, typer.Option(help="Weight of the spatial score; 0.5 is Eq. 13's plain sum.")] = 0.5,
    first_step: Annotated[str, typer.Option(help="Scores at t=1: both, or spatial only.")] = "both",
    shared: Annotated[bool, typer.Option("--shared", help="One mask for all timesteps, as the official code.")] = False,
    state: Annotated[str, typer.Option(help="What gated neurons do with their membrane: hold or decay.")] = "hold",
    silent: Annotated[float, typer.Option(help="Spatial score of a token without a spike.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Seed of the random criterion.")] = 0,
) -> None:
    """Write a trained model, with its token pruning, to a NIR file that any `nir.read` loads."""
    check_output(output, ".nir")
    network = read_model(model)
    if retention:
        try:
            rule = Criterion(criterion, window, alpha, first_step, not shared, silent, seed)  # type: ignore[arg-type]
        except ValueError as error:
            raise InputError(str(error), "see `pumice export --help`") from error
        network.pruning = token_pruning(parse_schedule(retention), rule, state)
    from pumice.models.nir_export import to_nir, write_nir

    graph = to_nir(network)
    write_nir(graph, output)
    console().print(f"{output}: {len(graph.nodes)} nodes, {len(graph.edges)} edges")


def parse_schedule(text: str) -> tuple[float, ...]:
    """ "0.6,0.4" as numbers. Raises InputError naming the first that is none."""
    numbers = []
    for part in text.split(","):
        try:
            numbers.append(float(part))
        except ValueError as error:
            raise InputError(f"retention {part!r} is not a number", "give one per block, e.g. 0.6,0.4") from error
    return tuple(numbers)


def token_pruning(retention: tuple[float, ...], criterion: Criterion, state: str) -> TokenPruning:
    """The pruning of these options."""
    from pumice.models.token_pruning import TokenPruning

    return TokenPruning(retention, criterion, state)  # type: ignore[arg-type]
