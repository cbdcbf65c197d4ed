"""pumice convert: a compiled program in the format of another tool."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.exporting.netx import netx_bytes, netx_file
from pumice.compiler.exporting.nir_program import DT, nir_bytes, nir_program
from pumice.compiler.exporting.whole_biases import whole_biases
from pumice.compiler.int_nodes import GradedInput
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.runtime.cli.common import check_output, console, read_array
from pumice.runtime.sanafe.files import NAMES, write_sanafe

SUFFIXES = {"nir": ".nir", "netx": ".net", "sanafe": ""}  # SANA-FE takes several files, in a folder


InputOption = Annotated[
    Path | None, typer.Option(help="sanafe: a .npy array of samples, of which the network's input plays one.")
]
SampleOption = Annotated[int, typer.Option(help="sanafe: which of them, from 0.")]


def convert_command(
    program: Annotated[Path, typer.Argument(help="The .pumice file.")],
    to: Annotated[
        str,
        typer.Option(
            help="nir: a NIR graph of integers; netx: lava-dl's HDF5, of a chain; sanafe: chip and mapped network."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write: .nir, or .net for netx; a folder for sanafe.")
    ],
    dt: Annotated[
        float | None, typer.Option(help=f"nir: seconds per timestep that the file says; {DT:g} if left out.")
    ] = None,
    round_biases: Annotated[
        Path | None,
        typer.Option(
            help="netx: round biases to whole currents, the only ones it has, and write the program that this makes, "
            "a .pumice file: the spikes are then that program's."
        ),
    ] = None,
    input: InputOption = None,
    sample: SampleOption = 0,
) -> None:
    """Write a program for another tool, whole numbers and all; refuse what its format cannot say."""
    _check(to, output, dt, round_biases)
    if to == "sanafe":
        convert_to_sanafe(program, output, input, sample)
        return
    if input is not None:
        raise InputError("--input goes with --to sanafe: its network plays the sample", "leave it out")
    if round_biases is not None and round_biases.resolve() == program.resolve():
        raise InputError(f"{round_biases}: is the program itself", "give the rounded one another name")
    given = read_artifact(program)
    converted = given if round_biases is None else whole_biases(given)
    content, lines = _netx(converted) if to == "netx" else _nir(converted, DT if dt is None else dt)
    if round_biases is not None:
        write_artifact(converted, round_biases)
    write_atomically(output, content)
    out = console()
    for change in converted.graph.log[len(given.graph.log) :]:
        out.print(change.text)
    for line in lines:
        out.print(line)
    out.print(f"{output}: {len(content):,} bytes; feed it {_feed(converted)}")


def _check(to: str, output: Path, dt: float | None, round_biases: Path | None) -> None:
    """Raises InputError for options that do not go together, before any work."""
    if to not in SUFFIXES:
        raise InputError(f"--to {to}: no such format", f"choose {' or '.join(SUFFIXES)}")
    if to != "sanafe":
        check_output(output, SUFFIXES[to])
    if to != "nir" and dt is not None:
        raise InputError(f"--dt goes with --to nir: {to} counts in timesteps", "leave it out")
    if round_biases is None:
        return
    if to != "netx":
        raise InputError(f"--round-biases goes with --to netx: {to} holds every bias", "leave it out")
    check_output(round_biases, ".pumice")


def convert_to_sanafe(program: Path, output: Path, input: Path | None, sample: int) -> None:
    """Write the files for SANA-FE and say what they are."""
    samples = None if input is None else read_array(input)
    plan = write_sanafe(read_artifact(program), output, samples, sample)
    out = console()
    late = [p.group.neurons.source for p in plan.populations.values() if p.soma.late]
    for name in late:
        out.print(f"{name}: membranes must be set to 0 when its sample begins, as docs/sanafe.md shows")
    played = "no input spikes" if samples is None else f"sample {sample} of {len(samples)}"
    out.print(f"{output}: {', '.join(NAMES)}; {played}; run it for {plan.steps} steps")


def _netx(program: Program) -> tuple[bytes, Iterator[str]]:
    file = netx_file(program)
    facts = file.attributes
    how = (
        f"lava-dl: Network(FILE, input_message_bits={facts['input_message_bits']}, reset_interval="
        f"{facts['reset_interval']}, reset_offset={facts['reset_offset']}); output {facts['latency']} steps late"
    )
    return netx_bytes(file), iter((*file.notes, how))


def _nir(program: Program, dt: float) -> tuple[bytes, Iterator[str]]:
    found = nir_program(program, dt)
    exact = "every layer fires in float as on the chip, within a sample"
    lines = [f"{name}: float may differ from the chip: {why}" for name, why in found.rounded.items()] or [exact]
    lines += [
        f"{name}: {said}: plain NIR does not say it, the file's metadata does" for name, said in found.beyond.items()
    ]
    return nir_bytes(found.graph), iter(lines)


def _feed(program: Program) -> str:
    """What goes into the network, in the units of the file."""
    node = next(n for n in program.graph.nodes.values() if isinstance(n, GradedInput))
    if node.out.low == 0 and node.out.high == 1 and node.scale == 1:
        return "spikes, 0 and 1"
    return f"clip(rint(x * {node.scale:.17g}), {node.out.low}, {node.out.high}) for samples x"
