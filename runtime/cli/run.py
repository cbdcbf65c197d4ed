"""pumice run: a program, or a model, on a backend."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from pumice.compiler.artifact import read_artifact
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.runtime.backends import BACKENDS, make_backend
from pumice.runtime.cli import reading_options as r
from pumice.runtime.cli.common import check_output, console, read_array, read_samples, write_json
from pumice.runtime.cli.float_arrays import float_arrays
from pumice.runtime.cli.progress import progress_bar


def run_command(
    program: Annotated[Path, typer.Argument(help="A .pumice artifact; for `float`, the .nir file.")],
    input: Annotated[
        str,
        typer.Option(
            help="Samples [samples, …] in a .npy file, or `digits`. Of a NIR graph on `float`: [T, …] or [samples, T, …]; "
            "with several inputs an .npz with one array for each."
        ),
    ],
    output: Annotated[
        Path, typer.Option(help="The .npz file to write: `output`, `logits`, with --record every layer's spikes.")
    ],
    backend: Annotated[str, typer.Option(help=f"One of {', '.join(BACKENDS)}, float.")] = "reference",
    masks: Annotated[Path | None, typer.Option(help="Routing schedule [samples, blocks, T, N] in a .npy file.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Also store every layer's spikes.")] = False,
    json: Annotated[
        Path | None, typer.Option(help="Also write counts, as JSON; of a NIR graph what was assumed.")
    ] = None,
    from_: r.From = None,
    dt: r.Dt = None,
    decay: r.Decay = None,
    gain: r.Gain = None,
    if_gain: r.IfGain = None,
    comparator: r.Comparator = None,
    reset: r.Reset = None,
    reset_at: r.ResetAt = None,
    v_reset: r.VReset = None,
    spikes: r.Spikes = None,
    floor: r.Floor = None,
    start: r.Start = None,
    leaky_current: r.LeakyCurrent = None,
    recurrence: r.Recurrence = None,
) -> None:
    """Run samples and write what came out.

    With `--backend float`, a file of our own exporter runs as the torch model it names; any other NIR file, and with `--from`
    or another option of a reading every file, runs as the graph it holds, in float64.
    """
    check_output(output, ".npz")
    reading = r.chosen_reading(
        from_,
        dt=dt,
        decay=decay,
        gain=gain,
        if_gain=if_gain,
        comparator=comparator,
        reset=reset,
        reset_at=reset_at,
        v_reset=v_reset,
        spikes=spikes,
        floor=floor,
        start=start,
        leaky_current=leaky_current,
        recurrence=recurrence,
    )
    schedule = None if masks is None else read_array(masks).astype(np.bool_)
    out = console()
    if backend == "float":
        found = float_arrays(program, input, schedule, record, reading, from_ is not None)
        if json is not None and found.reading is None:
            raise InputError("the float backend does not count", "leave out --json")
        if found.reading is not None:
            write_json(json, {"reading": found.reading.as_dict(), "log": found.log})
        for line in found.log:
            out.print(line)
        arrays, samples = found.arrays, found.samples
    else:
        if reading is not None:
            raise InputError(
                f"--from and its options say what a NIR file means; {backend} runs programs", "leave them out"
            )
        given = read_samples(input).inputs
        with progress_bar(f"running on {backend}") as progress:
            result = make_backend(backend, progress).run(read_artifact(program), given, schedule, record)
        arrays, samples = {"output": result.outputs, "logits": result.logits, **result.spikes}, len(given)
        if json is not None and result.counts is None:
            raise InputError(f"the {backend} backend does not count", "leave out --json, or use --backend reference")
        if result.counts is not None:
            write_json(
                json,
                {name: result.counts.per_sample(name) for name in ("events", "synops", "macs", "spikes", "messages")},
            )
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    write_atomically(output, buffer.getvalue())
    layers = len(arrays) - ("output" in arrays) - ("logits" in arrays)
    out.print(f"{output}: {samples} samples, {layers} layers recorded" if record else f"{output}: {samples} samples")
