"""The options of `pumice prune tokens` that no other command has."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A zoo name, or the path of a checkpoint (.safetensors).")]
Search = Annotated[bool, typer.Option("--search", help="Search for schedules; what happens without --schedule.")]
Schedule = Annotated[str, typer.Option(help="Evaluate this one: share of tokens each block keeps, e.g. 0.6,0.4.")]
TableName = Annotated[str, typer.Option(help="Evaluate a schedule of TP-Spikformer's Tables 7 and 8, e.g. sdtv1-0.65.")]
Ratios = Annotated[str, typer.Option(help="Search: the shares that a block may keep.")]
Targets = Annotated[
    str,
    typer.Option(help="Search: only schedules whose mean is near one of these, e.g. 0.65,0.5; choose one for each."),
]
Tolerance = Annotated[float, typer.Option(help="Search: how near to its target a mean must be.")]
Budget = Annotated[int, typer.Option(help="Search: how many schedules to evaluate at most.")]
Data = Annotated[
    str,
    typer.Option(help="Images [samples, …] in a .npy file, `digits`, or a zoo model's name; empty: the model's own."),
]
Labels = Annotated[Path | None, typer.Option(help="Labels [samples] of --data FILE.npy, in a .npy file.")]
Split = Annotated[str, typer.Option(help="Images of a data set to choose by: calibration or validation.")]
Picture = Annotated[Path | None, typer.Option(help="Also draw accuracy over tokens kept, as a .png.")]
Json = Annotated[Path | None, typer.Option(help="Also write every schedule evaluated, as JSON.")]
