"""pumice export: a trained model becomes a NIR file; a compiled program, files for SANA-FE."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.runtime.cli.common import check_output, console, read_model
from pumice.runtime.cli.convert import InputOption, SampleOption, convert_to_sanafe
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

if TYPE_CHECKING:
    from pumice.models.pruning.token_pruning import TokenPruning


def export_command(
    model: Annotated[
        str,
        typer.Argument(
            help="A zoo name, or the path of a checkpoint (.safetensors); of a compiled program (.pumice) with --to sanafe."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The .nir file to write; with --to sanafe the folder.")
    ],
    to: Annotated[str, typer.Option(help="nir, or sanafe: as `pumice convert --to sanafe`.")] = "nir",
    input: InputOption = None,
    sample: SampleOption = 0,
    retention: Annotated[
        str, typer.Option(help="Share of tokens each block keeps, e.g. 0.6,0.4; empty: no pruning.")
    ] = "",
    criterion: CriterionOption = "irtop-paper",
    window: WindowOption = 3,
    alpha: AlphaOption = 0.5,
    first_step: FirstStepOption = "both",
    shared: SharedOption = False,
    state: StateOption = "hold",
    silent: SilentOption = 0.0,
    seed: SeedOption = 0,
) -> None:
    """Write a trained model, with its token pruning, to a NIR file that any `nir.read` loads; or a program for SANA-FE."""
    if to == "sanafe":
        _check_program(model, retention)
        convert_to_sanafe(Path(model), output, input, sample)
        return
    if to != "nir" or model.endswith(".pumice"):
        raise InputError(
            f"--to {to}: export writes a model to nir, and a .pumice program to sanafe", "or pumice convert"
        )
    if input is not None:
        raise InputError("--input goes with --to sanafe: its network plays the sample", "leave it out")
    check_output(output, ".nir")
    network = read_model(model)
    if retention:
        rule = criterion_of(criterion, window, alpha, first_step, shared, silent, seed)
        network.pruning = token_pruning(parse_schedule(retention), rule, state)
    from pumice.models.nir.export import to_nir, write_nir

    graph = to_nir(network)
    write_nir(graph, output)
    console().print(f"{output}: {len(graph.nodes)} nodes, {len(graph.edges)} edges")


def _check_program(model: str, retention: str) -> None:
    """Raises InputError where --to sanafe is given anything but a compiled program."""
    if not model.endswith(".pumice"):
        raise InputError(
            f"{model}: SANA-FE takes mapped networks", "pumice compile it first, and give the .pumice file"
        )
    if retention:
        raise InputError("--retention goes with a model, and is compiled into a program", "leave it out")


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
    from pumice.models.pruning.token_pruning import TokenPruning

    return TokenPruning(retention, criterion, state)  # type: ignore[arg-type]
