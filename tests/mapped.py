"""Balanced graphs on cores: as if all neurons were silent, or with how often they spike."""

from __future__ import annotations

from functools import cache

from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.compiler.spike_rates import Rates, measure_rates
from pumice.hwsim.spec import ChipSpec, load_chip


def on_cores(graph: Graph, chip: ChipSpec, options: CompileOptions | None = None, source_hash: str = "") -> Program:
    """A program of a balanced graph, mapped as if every neuron were silent."""
    options = options or CompileOptions()
    return Program(graph, map_network(graph, chip, {}, options.mapping).mapping, chip, options, source_hash)


@cache
def measured_spikformer() -> tuple[Program, Rates]:
    """A tiny Spikformer, and the spike rates of its neurons."""
    config = TinySpikformer()
    samples = images(config, 4)
    program = compile_nir(tiny_spikformer(config), samples, load_chip("loihi2"), CompileOptions())
    return program, measure_rates(program.graph, samples)
