"""The options that say how a network becomes integers: the same words and help in every command that compiles one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from pumice.compiler.options import MappingMethod

Network = Annotated[Path, typer.Argument(help="The .nir file.")]
Chip = Annotated[str, typer.Option(help="loihi2, loihi1, or the path of a chip's .toml file.")]
WeightBits = Annotated[int, typer.Option(help="Bits of a weight, 2 to 8.")]
Signs = Annotated[
    str, typer.Option(help="Weights with their signs: mixed; or lists by sign, twice as fine: split; or auto.")
]
Synapses = Annotated[int, typer.Option(help="8-bit synapses that may carry one weight, 1 to 4; 0: auto.")]
InputBits = Annotated[int, typer.Option(help="Bits of a real-valued input.")]
Factors = Annotated[str, typer.Option(help="Low-rank pairs: auto, keep as two layers, or merge into one.")]
MappingName = Annotated[str, typer.Option(help=f"How neurons are put on cores: {', '.join(get_args(MappingMethod))}.")]
MaxChips = Annotated[
    int | None, typer.Option(help="Take up to so many chips; by default as many as the chip's file says.")
]
