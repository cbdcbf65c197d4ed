"""Balanced graphs on cores, for tests that do not measure how often neurons spike."""

from __future__ import annotations

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.options import CompileOptions
from pumice.compiler.program import Program
from pumice.hwsim.spec import ChipSpec


def on_cores(graph: Graph, chip: ChipSpec, options: CompileOptions | None = None, source_hash: str = "") -> Program:
    """A program of a balanced graph, mapped as if every neuron were silent."""
    options = options or CompileOptions()
    return Program(graph, map_network(graph, chip, {}, options.mapping).mapping, chip, options, source_hash)
