"""pumice explain: how a NIR file's parameters become integers, with the numbers, and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from pumice.compiler.explaining.explain import explain_nir
from pumice.compiler.explaining.explanation import Explanation
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import Reading
from pumice.compiler.options import CompileOptions
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli.common import console, read_samples, write_json
from pumice.runtime.cli.compile_options import Chip, Factors, InputBits, Network, Signs, Synapses, WeightBits
from pumice.runtime.cli.progress import progress_bar
from pumice.runtime.cli.reading_options import takes_reading
from pumice.runtime.explain_report import exact_line, explain_dict, network_table, node_lines


@takes_reading
def explain_command(
    network: Network,
    calibration: Annotated[
        str,
        typer.Option(
            help="Samples to choose scales with, and to measure on: a .npy array [samples, …], `digits`, or a zoo model whose "
            "data set to use."
        ),
    ],
    node: Annotated[str, typer.Option(help="Only this node, with its formulas; without it, a table of all.")] = "",
    chip: Chip = "loihi2",
    weight_bits: WeightBits = 8,
    signs: Signs = "auto",
    synapses: Synapses = 0,
    input_bits: InputBits = 8,
    factors: Factors = "auto",
    json: Annotated[Path | None, typer.Option(help="Also write everything, with the numbers whole, as JSON.")] = None,
    reading: Reading | None = None,
) -> None:
    """Show how float parameters become integers, what was rounded, clipped or shifted, and what it costs on calibration data."""
    finer = {"signs": signs, "synapses": synapses, "factors": factors}
    options = CompileOptions(weight_bits, input_bits, reading=reading, **finer)  # type: ignore[arg-type]
    spec = load_chip(chip)
    samples = read_samples(calibration, "calibration").inputs
    with progress_bar("quantizing") as progress:
        found = explain_nir(read_nir(network), samples, spec, options, progress, node)
    write_json(json, explain_dict(found, spec, options))
    if node:
        _print_node(found[0])
    else:
        _print_network(found)


def _print_node(one: Explanation) -> None:
    out = console()
    for line in node_lines(one):
        out.print(line, soft_wrap=True)


def _print_network(found: Sequence[Explanation]) -> None:
    out = console()
    out.print(network_table(found))
    out.print(
        "errors: of each node alone on the float network's input, in float units; alike: while it has sent the same"
    )
    out.print(exact_line(found))
