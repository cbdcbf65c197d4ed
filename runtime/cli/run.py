"""pumice run: a program, or a model, on a backend."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from pumice.compiler.artifact import read_artifact
from pumice.compiler.nir_file import read_nir
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.runtime.backends import BACKENDS, make_backend
from pumice.runtime.cli.common import check_output, console, read_array, read_samples, write_json
from pumice.runtime.cli.progress import progress_bar


def run_command(
    program: Annotated[Path, typer.Argument(help="A .pumice artifact; for `float`, the .nir file.")],
    input: Annotated[str, typer.Option(help="Samples [samples, …] in a .npy file, or `digits`.")],
    output: Annotated[
        Path, typer.Option(help="The .npz file to write: `output`, `logits`, with --record every layer's spikes.")
    ],
    backend: Annotated[str, typer.Option(help=f"One of {', '.join(BACKENDS)}, float.")] = "reference",
    masks: Annotated[Path | None, typer.Option(help="Routing schedule [samples, blocks, T, N] in a .npy file.")] = None,
    record: Annotated[bool, typer.Option("--record", help="Also store every layer's spikes.")] = False,
    json: Annotated[Path | None, typer.Option(help="Also write counts, as JSON.")] = None,
) -> None:
    """Run samples and write what came out."""
    check_output(output, ".npz")
    samples = read_samples(input).inputs
    schedule = None if masks is None else read_array(masks).astype(np.bool_)
    if backend == "float":
        if json is not None:
            raise InputError("the float backend does not count", "leave out --json")
        arrays = _float_arrays(program, samples, schedule, record)
    else:
        with progress_bar(f"running on {backend}") as progress:
            result = make_backend(backend, progress).run(read_artifact(program), samples, schedule, record)
        arrays = {"output": result.outputs, "logits": result.logits, **result.spikes}
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
    console().print(
        f"{output}: {len(samples)} samples, {len(arrays) - 2} layers recorded"
        if record
        else f"{output}: {len(samples)} samples"
    )


def _float_arrays(
    path: Path, samples: NDArray[np.float64], masks: NDArray[np.bool_] | None, record: bool
) -> dict[str, NDArray[np.generic]]:
    from pumice.runtime.float_model import run_float, torch_device

    if path.suffix != ".nir":
        raise InputError(f"{path}: the float backend runs the model, not an artifact", "give the .nir file")
    torch_device()
    from pumice.models.nir.read import from_nir

    result = run_float(from_nir(read_nir(path)), samples, masks, record)
    return {"output": result.logits, "logits": result.logits, **result.spikes}
