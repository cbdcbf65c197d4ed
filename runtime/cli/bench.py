"""pumice bench: executors side by side in one run."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from pumice import __version__
from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.cli.common import console, write_json
from pumice.runtime.cli.progress import progress_bar

RESULTS = Path("bench/results")


def bench_command(
    quick: Annotated[
        bool, typer.Option("--quick", help="The two small models and fewer repeats: within ten minutes on two cores.")
    ] = False,
    threads: Annotated[
        int,
        typer.Option(help="Of every executor and library alike; the run is also held to so many processors.", min=1),
    ] = 2,
    output: Annotated[
        Path | None,
        typer.Option(
            help=f"Folder for the JSON and the plot, named by the machine's processor; {RESULTS} where there is one."
        ),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file, too.")] = None,
) -> None:
    """Measure fast, torch, float, reference and lava side by side, in rounds, each output held against the others bit for bit.

    Of the headline ratios in `--json F` (`ratios`, medians over rounds): `fast_over_float` is images/s of fast over those of the
    PyTorch model, Spikformer-4-384, batch 8, unpruned. `fast_over_lava` is seconds an image of lava, its processes started, over
    those of fast, zoo model. `retention_half_speedup` and `density_tenth_speedup` are thread seconds of fast in the transformer
    blocks, unpruned over pruned (half of the tokens, static masks; a tenth of the weights); the same of the whole network stand
    beside them in `spreads`, as `…_network`.
    """
    folder = RESULTS if output is None and RESULTS.is_dir() else output
    _check(folder, json, threads)
    try:
        from pumice.runtime.bench.machine import file_name, machine
        from pumice.runtime.bench.plans import full_plan, quick_plan
        from pumice.runtime.bench.report import report
        from pumice.runtime.bench.run import run_bench
    except ImportError as error:
        raise BackendUnavailable("the benchmark needs PyTorch and numba", "pip install 'pumice[torch,fast]'") from error
    plan, facts, before, began = quick_plan() if quick else full_plan(), machine(), os.getloadavg(), time.perf_counter()
    with progress_bar("measuring") as progress:
        found = run_bench(plan, threads, progress)
    said = {
        "pumice": __version__,
        "command": f"pumice bench{' --quick' * quick} --threads {threads}",
        "machine": facts,
        "threads": threads,
        "load_average": {"before": before[0], "after": os.getloadavg()[0]},
        "took_s": time.perf_counter() - began,
        **report(plan, found),
    }
    _write(folder, json, file_name(facts, threads) + "-quick" * quick, said)


def _check(folder: Path | None, json: Path | None, threads: int) -> None:
    """Before minutes of work: there is a place for the results, and there are so many processors."""
    from pumice.runtime.bench.machine import usable_cpus

    if threads > len(usable_cpus()):
        raise InputError(f"--threads {threads}/{len(usable_cpus())} processors", "give no more than there are")
    places = [*([folder] if folder else []), *([json.parent] if json else [])]
    if not places:
        raise InputError(
            f"there is no folder {RESULTS} here to write results to", "give --json FILE or --output FOLDER"
        )
    for place in places:
        if not place.is_dir():
            raise InputError(f"the folder {place} does not exist", "create it first, or choose another")


def _write(folder: Path | None, json: Path | None, name: str, said: dict[str, Any]) -> None:
    from pumice.runtime.bench.picture import draw_bench
    from pumice.runtime.bench.text import tables

    out: Console = console()
    write_json(json, said)
    if folder is not None:
        write_json(folder / f"{name}.json", said)
        draw_bench(folder / f"{name}.png", said)
    for table in tables(said):
        out.print(table)
    where = f"{folder / name}.json and .png" if folder else str(json)
    out.print(f"{where}: measured in {said['took_s']:.0f} s")
