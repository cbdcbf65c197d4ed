"""pumice run: a program, or a model, on a backend."""

from __future__ import annotations

import io
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from pumice.compiler.artifact import read_artifact
from pumice.compiler.importing.readings import Reading
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.runtime.backends import BACKENDS, make_backend
from pumice.runtime.cli.common import check_output, console, read_array, read_samples, read_source, write_json
from pumice.runtime.cli.float_arrays import RunArrays, float_arrays
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.cli.reading_options import From, takes_reading
from pumice.runtime.latency_report import latency_text, run_facts
from pumice.runtime.recording import ends_of
from pumice.runtime.sample_sources import SampleSource
from pumice.runtime.streaming import MakeBackend, stream


@takes_reading
def run_command(
    program: Annotated[Path, typer.Argument(help="A .pumice artifact; for `float`, the .nir file.")],
    output: Annotated[
        Path, typer.Option(help="The .npz file to write: `output`, `logits`, with --record every layer's spikes.")
    ],
    input: Annotated[
        str,
        typer.Option(
            help="Samples [samples, …] in a .npy file, or `digits`. Of a NIR graph on `float`: [T, …] or [samples, T, …]; "
            "with several inputs an .npz with one array for each."
        ),
    ] = "",
    data: Annotated[
        str,
        typer.Option(
            help="Instead of --input, a data set of any size, streamed: a .npy file, a folder of .npy and .npz files (arrays "
            "`inputs`, `labels`), `digits`, or a zoo model whose test samples to use."
        ),
    ] = "",
    labels: Annotated[Path | None, typer.Option(help="Labels [samples] of --data FILE.npy, in a .npy file.")] = None,
    backend: Annotated[str, typer.Option(help=f"One of {', '.join(BACKENDS)}, float.")] = "reference",
    masks: Annotated[Path | None, typer.Option(help="Routing schedule [samples, blocks, T, N] in a .npy file.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Also store every layer's spikes.")] = False,
    per_core: Annotated[
        bool,
        typer.Option(
            "--per-core",
            help="Run the program as it is mapped, core by core; on lava with one Lava Process for each core.",
        ),
    ] = False,
    device: Annotated[
        str,
        typer.Option(help="Of `--backend torch`: cpu, cuda, cuda:NUMBER; auto takes a GPU where there is one."),
    ] = "auto",
    json: Annotated[
        Path | None,
        typer.Option(
            help="Also write counts, energy, the latency model and the busiest links, as JSON; of a NIR graph what was assumed."
        ),
    ] = None,
    from_: From = None,
    reading: Reading | None = None,
) -> None:
    """Run samples and write what came out.

    With `--backend float`, a file of our own exporter runs as the torch model it names; any other NIR file, and with `--from`
    or another option of a reading every file, runs as the graph it holds, in float64.
    """
    check_output(output, ".npz")
    if bool(input) == bool(data):
        raise InputError("pumice run takes --input or --data", "give exactly one of the two")
    if data:
        refused = {"--backend float": backend == "float", "--record": record, "--masks": masks is not None}
        _check_streamed([name for name, given in refused.items() if given], reading)
        source = read_source(data, labels)
        _run_streamed(program, source, output, json, lambda progress: make_backend(backend, progress, per_core, device))
        return
    if labels is not None:
        raise InputError(f"--labels {labels} with --input", "labels go with --data FILE.npy")
    schedule = None if masks is None else read_array(masks).astype(np.bool_)
    if backend == "float" and per_core:
        raise InputError("--per-core: a model that runs in float is on no cores", "use --backend reference or lava")
    if backend == "float" and device != "auto":
        raise InputError(f"--device {device}: the float backend takes none", "leave it out, or use --backend torch")
    if backend == "float":
        found = float_arrays(program, input, schedule, record, reading, named=from_ is not None)
    else:
        found = _program_arrays(program, input, schedule, record, backend, reading, per_core, device)
    if json is not None and found.facts is None:
        other = "" if backend == "float" else ", or use --backend reference" + " without --per-core" * per_core
        how = f"the {backend} backend" + " core by core" * per_core
        raise InputError(f"{how} does not count", f"leave out --json{other}")
    write_json(json, found.facts)
    _write(output, found, record)


def _program_arrays(
    program: Path,
    where: str,
    masks: NDArray[np.bool_] | None,
    record: bool,
    backend: str,
    reading: Reading | None,
    per_core: bool,
    device: str,
) -> RunArrays:
    """Runs an artifact, which holds its reading."""
    if reading is not None:
        raise InputError(f"--from and its options say what a NIR file means; {backend} runs programs", "leave them out")
    given = read_samples(where).inputs
    with progress_bar(f"running on {backend}") as progress:
        made = read_artifact(program)
        result = make_backend(backend, progress, per_core, device).run(made, given, masks, record)
    ends = ends_of(made.graph, result)
    facts = None if result.counts is None else run_facts(made, result.counts)
    return RunArrays({**ends, **result.spikes}, len(given), _said(facts), facts, outputs=tuple(ends))


def _check_streamed(refused: list[str], reading: Reading | None) -> None:
    """Raises InputError for what a run of a data set does not do."""
    if reading is not None:
        raise InputError("--from and its options say what a NIR file means; --data runs programs", "leave them out")
    if refused:
        raise InputError(f"{refused[0]} does not go with --data, which keeps no more than a chunk", "use --input")


def _run_streamed(program: Path, source: SampleSource, output: Path, json: Path | None, make: MakeBackend) -> None:
    """Runs an artifact on a data set."""
    made, started = read_artifact(program), time.perf_counter()
    with progress_bar("running the data set") as progress:
        found = stream(made, source, make, output, json is not None, progress)
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {} if found.counts is None else run_facts(made, found.counts)
    write_json(json, facts | {"samples": found.samples, "accuracy": found.accuracy, "seconds": seconds})
    for line in _said(facts or None):
        console().print(line)
    said = "" if found.accuracy is None else f", {found.accuracy:.2%} right"
    console().print(f"{output}: {found.samples} samples{said}, {found.samples / seconds:,.0f} a second")


def _said(facts: dict[str, Any] | None) -> tuple[str, ...]:
    """What a run's figures say about time, for people."""
    if facts is None:
        return ()
    reports = {name: report for name, report in facts["latency_model"].items() if report["slowest"] is not None}
    return tuple(f"latency model, {name}: {latency_text(report)}" for name, report in reports.items())


def _write(output: Path, found: RunArrays, record: bool) -> None:
    out, arrays = console(), found.arrays
    for line in found.log:
        out.print(line)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(output, buffer.getvalue())
    layers = len(set(arrays) - set(found.outputs))
    out.print(f"{output}: {found.samples} samples" + (f", {layers} layers recorded" if record else ""))
