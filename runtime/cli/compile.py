"""pumice compile: a NIR file becomes a placed integer program."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pumice.compiler.artifact import write_artifact
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import Reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli.common import check_output, console, read_samples, write_json
from pumice.runtime.cli.compile_options import (
    Chip,
    Factors,
    InputBits,
    MappingName,
    MaxChips,
    Network,
    Signs,
    Synapses,
    WeightBits,
)
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.cli.reading_options import takes_reading
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.mapping_source import limited
from pumice.runtime.report import report_dict


@takes_reading
def compile_command(
    network: Network,
    output: Annotated[Path, typer.Option("--output", "-o", help="The .pumice file to write.")],
    calibration: Annotated[
        str,
        typer.Option(
            help="Samples to choose scales with: a .npy array [samples, …], `digits`, or a zoo model whose data set to use."
        ),
    ],
    chip: Chip = "loihi2",
    masks: Annotated[str, typer.Option(help="Routing masks: static, live, given or off.")] = "live",
    weight_bits: WeightBits = 8,
    signs: Signs = "auto",
    synapses: Synapses = 0,
    input_bits: InputBits = 8,
    attention_order: Annotated[str, typer.Option(help="auto, scores for (q kᵀ) v, context for q (kᵀ v).")] = "auto",
    factors: Factors = "auto",
    mapping: MappingName = "pumice",
    max_chips: MaxChips = None,
    json: Annotated[Path | None, typer.Option(help="Also write the report, as JSON.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not print what each pass did.")] = False,
    reading: Reading | None = None,
) -> None:
    """Fold, quantize, mask, lower and place a network; write the artifact."""
    check_output(output, ".pumice")
    finer = {"signs": signs, "synapses": synapses, "mapping": mapping}
    options = CompileOptions(weight_bits, input_bits, masks, attention_order, factors, reading, **finer)  # type: ignore[arg-type]
    spec = limited(load_chip(chip), max_chips)
    samples = read_samples(calibration, "calibration").inputs
    with progress_bar("quantizing") as progress:
        program = compile_nir(read_nir(network), samples, spec, options, progress=progress, measure=measure_rates)
    write_artifact(program, output)
    write_json(json, report_dict(program))
    _print(program, output, quiet)


def _print(program: Program, output: Path, quiet: bool) -> None:
    out = console()
    for change in () if quiet else program.graph.log:
        out.print(f"{change.by:24}{change.text}")
    cores = len(program.mapping.cores)
    where = f"{cores} cores on {program.mapping.chips} chip(s) of {program.chip.name}"
    out.print(f"{output}: {where}, {latency_steps(program.graph)} steps per sample")
