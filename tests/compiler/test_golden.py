"""The integer program of a tiny network, as text. Refresh with `pytest --update-golden` and read the difference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mapped import on_cores
from networks import TinySpikformer

from pumice.compiler.program import Program
from pumice.compiler.text import graph_text


def test_the_program_of_a_tiny_spikformer(compiled: Callable[..., Program], golden: Callable[[str, str], None]) -> None:
    program = compiled(TinySpikformer(pool=True, size=6), masks="static")
    golden("tiny_spikformer.txt", graph_text(program.graph))


def test_its_placement(compiled: Callable[..., Program], golden: Callable[[str, str], None]) -> None:
    program = compiled(TinySpikformer(pool=True, size=6), masks="static")
    mapping = on_cores(program.graph, replace(program.chip, neurons_per_core=200)).mapping
    lines = [
        f"chip {site.chip} tile ({site.x}, {site.y}) core {site.core}: "
        f"{part.group} channels {part.channels} positions {part.positions}, {part.words} words, {part.input_axons} axons"
        for slices, site in zip(mapping.cores, mapping.sites, strict=True)
        for part in slices
    ]
    golden("tiny_spikformer_placement.txt", "\n".join(lines) + "\n")
