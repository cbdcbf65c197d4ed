"""The options of `pumice sweep`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, get_args

import typer

from pumice.compiler.options import MappingMethod, MaskMode

Model = Annotated[str, typer.Argument(help="A zoo name, or the path of a checkpoint (.safetensors).")]
Output = Annotated[Path, typer.Option("--output", "-o", help="The .parquet file to write.")]
Retention = Annotated[
    list[str] | None,
    typer.Option(
        help="Shares of tokens that blocks keep, e.g. 1,0.75,0.5; of a schedule per block 0.6/0.4. Repeatable."
    ),
]
Bits = Annotated[list[str] | None, typer.Option(help="Bits of a weight, 2 to 8, e.g. 8,6,4.")]
Density = Annotated[
    list[str] | None,
    typer.Option(help="Shares of the blocks' weights kept, the largest, without fine-tuning, e.g. 1,0.5,0.1."),
]
Chips = Annotated[list[str] | None, typer.Option("--chip", help="loihi2, loihi1, or paths of chips' .toml files.")]
Mappings = Annotated[list[str] | None, typer.Option("--mapping", help=f"Of {', '.join(get_args(MappingMethod))}.")]
Masks = Annotated[list[str] | None, typer.Option(help=f"Routing masks, of {', '.join(get_args(MaskMode))}.")]
GridFile = Annotated[Path | None, typer.Option(help="The same lists in a .toml or .json file, e.g. bits = [8, 6].")]
Data = Annotated[str, typer.Option(help="Data set: `digits` or a zoo model's; by default the model's own.")]
Split = Annotated[str, typer.Option(help="Images that points are compared by: calibration or validation.")]
Samples = Annotated[int | None, typer.Option(help="Only the first so many of them.")]
Calibration = Annotated[int | None, typer.Option(help="Choose scales with the first so many calibration images.")]
Test = Annotated[bool, typer.Option("--test/--no-test", help="Also report accuracy on test images.")]
Agreement = Annotated[int, typer.Option(help="On so many images compare spikes with the float model's; 0: do not.")]
CriterionName = Annotated[str, typer.Option("--criterion", help="irtop-paper, irtop-official, firing-rate or random.")]
WorkerCount = Annotated[int | None, typer.Option("--workers", help="Processes of this machine; by default its cores.")]
Scheduler = Annotated[str, typer.Option(help="Run on a Dask cluster instead: its scheduler's address.")]
TimeLimit = Annotated[float, typer.Option(help="Seconds that a point may take.")]
WorkerTimeout = Annotated[float, typer.Option(help="Seconds that a cluster may be without workers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Keep the finished points of the same sweep, compute the rest.")]
Profile = Annotated[str, typer.Option(help="Whose energy and latency the picture and the summary show.")]
Picture = Annotated[Path | None, typer.Option(help="Also draw the fronts, as a .png file.")]
Json = Annotated[Path | None, typer.Option(help="Also write fronts and points, as JSON.")]
