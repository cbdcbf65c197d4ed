"""What `pumice map` maps: a balanced graph with measured spike rates, from a network or from an artifact."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import nir
from numpy.typing import NDArray

from pumice.compiler.ir import Graph
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import RATE_SAMPLES, balanced, check_samples, quantize
from pumice.compiler.program import CoreMapping, Program
from pumice.compiler.spike_rates import Rates
from pumice.compiler.verify import verify
from pumice.errors import InputError
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress
from pumice.runtime.fast.rates import measure_rates


@dataclass(frozen=True)
class Stages:
    """seconds: of each stage, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what is done inside."""
        started = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - started


@dataclass(frozen=True, eq=False)
class ToMap:
    """A balanced graph, how often its neurons send, and where it comes from."""

    graph: Graph
    rates: Rates
    chip: ChipSpec
    options: CompileOptions
    source_hash: str

    def program(self, mapping: CoreMapping) -> Program:
        """The graph on cores."""
        return Program(self.graph, mapping, self.chip, self.options, self.source_hash)


def network_to_map(
    network: nir.NIRGraph,
    samples: NDArray[Any],
    chip: ChipSpec,
    options: CompileOptions,
    stages: Stages,
    progress: Progress = no_progress,
) -> tuple[Graph, str]:
    """A network's balanced graph, as `compile_nir` has it before it cuts it into cores, and the hash of its source. samples:
    [B, …], to choose scales with."""
    with stages.stage("quantize"):
        quantized = quantize(network, samples, chip, options, progress=progress)
    with stages.stage("balance"):
        return balanced(quantized, chip, options), quantized.source_hash


def measured(
    graph: Graph, samples: NDArray[Any], chip: ChipSpec, options: CompileOptions, source_hash: str, stages: Stages
) -> ToMap:
    """A balanced graph with its spike rates on samples [B, …]. Raises VerifyError where it is not legal for the chip, InputError
    for samples of another shape than its input."""
    verify(graph, chip, "mapping")
    check_samples(graph, samples, "calibration data")
    with stages.stage("rates"):
        rates = measure_rates(graph, samples[:RATE_SAMPLES])
    return ToMap(graph, rates, chip, options, source_hash)


def limited(chip: ChipSpec, max_chips: int | None) -> ChipSpec:
    """A chip of which a system has up to `max_chips`; None: as many as the chip's file says."""
    if max_chips is None:
        return chip
    if max_chips < 1:
        raise InputError(f"--max-chips {max_chips}", "allow 1 or more")
    return replace(chip, max_chips=max_chips)
