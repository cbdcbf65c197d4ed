"""The default pipeline: one readable list. Every pass is followed by the rules of the stage it reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.float_nodes import Input
from pumice.compiler.importing.checks import check_lowered
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nested import flatten
from pumice.compiler.importing.nir_file import source_digest
from pumice.compiler.int_nodes import GradedInput
from pumice.compiler.ir import Change, Graph, Node
from pumice.compiler.mapping.fit import fit_changes
from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import BalanceDelays
from pumice.compiler.passes.fold_batchnorm import FoldBatchNorm
from pumice.compiler.passes.lower_attention import LowerAttention
from pumice.compiler.passes.lowering.lower_general import LowerGeneral
from pumice.compiler.passes.materialize_token_masks import MaterializeTokenMasks, static_masks
from pumice.compiler.passes.merge_factors import MergeFactors
from pumice.compiler.passes.quantize import Quantize
from pumice.compiler.passes.split_fan_in import SplitFanIn
from pumice.compiler.program import Program
from pumice.compiler.spike_rates import Rates, measure_rates
from pumice.compiler.verify import verify
from pumice.errors import InputError
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress


class Pass(Protocol):
    """A frozen dataclass whose fields are its options."""

    name: ClassVar[str]

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph: ...


RATE_SAMPLES = 8  # calibration samples on which spike rates are measured, for placement

Watcher = Callable[[str, Graph], None]
Measure = Callable[
    [Graph, NDArray[Any]], Rates
]  # spike rates of a balanced graph on samples [B, …], as `measure_rates`


def unwatched(name: str, graph: Graph) -> None:
    """For callers that do not look between passes."""


Chooser = Callable[[Graph], tuple[frozenset[str] | None, tuple[Node, ...]]]  # `wanted` and `given` of `Quantize`


def whole(folded: Graph) -> tuple[None, tuple[Node, ...]]:
    """To quantize all of a network."""
    return None, ()


@dataclass(frozen=True, eq=False)
class Quantized:
    """A network after quantization, before anything about masks is decided: variants of a program share it."""

    folded: Graph
    graph: Graph
    calibration: NDArray[Any]
    source_hash: str


def compile_nir(
    network: nir.NIRGraph,
    calibration: NDArray[Any],
    chip: ChipSpec,
    options: CompileOptions,
    watch: Watcher = unwatched,
    progress: Progress = no_progress,
    measure: Measure = measure_rates,
) -> Program:
    """A placed integer program from a NIR graph. calibration: samples [B, …] as the network takes them.

    `watch(pass name, graph)` is called after each pass; `progress` is told how far quantization is, the longest of them.
    measure: who measures rates sooner than a plain walk does, with the same numbers. Raises PumiceError for what cannot be
    compiled.
    """
    return finish(quantize(network, calibration, chip, options, watch, progress), chip, options, watch, measure)


def quantize(
    network: nir.NIRGraph,
    calibration: NDArray[Any],
    chip: ChipSpec,
    options: CompileOptions,
    watch: Watcher = unwatched,
    progress: Progress = no_progress,
    choose: Chooser = whole,
) -> Quantized:
    """The first half of `compile_nir`: from NIR to integers. choose: which of the folded graph's nodes to quantize."""
    imported = import_nir(network, options.reading)
    check_lowered(imported)
    if options.reading is not None:
        imported = with_timesteps(imported, network, calibration)
    folded, grid = fold(imported, calibration, chip, options, watch), options.weights
    wanted, given = choose(folded)
    finer = (grid.signs, grid.synapses)
    integers = Quantize(calibration, grid.bits, options.input_bits, *finer, progress, wanted, given)
    return Quantized(folded, run_passes(folded, [integers], chip, watch), calibration, source_digest(network))


def fold(
    imported: Graph, calibration: NDArray[Any], chip: ChipSpec, options: CompileOptions, watch: Watcher = unwatched
) -> Graph:
    """The passes before `quantize`: a float graph in which each node will be synapses, neurons, or what moves spikes about."""
    lowered = LowerGeneral()(imported, chip)
    verify(lowered, chip, "import-nir")
    check_samples(lowered, calibration, "calibration data")
    return run_passes(lowered, [FoldBatchNorm(), MergeFactors(calibration, options.factors)], chip, watch)


def with_timesteps(graph: Graph, network: nir.NIRGraph, calibration: NDArray[Any]) -> Graph:
    """A file of another framework does not say how long a sample is: as long as those of the calibration data, [B, T, …]."""
    node = next(n for n in graph.nodes.values() if isinstance(n, Input))
    entry = flatten(network).entries[node.name]
    if (entry and "timesteps" in entry.attributes) or calibration.ndim != len(node.out.shape) + 2:
        return graph
    steps = int(calibration.shape[1])
    change = Change("import-nir", node.name, f"{node.name}: {steps} timesteps a sample, as the calibration data has")
    return replace(graph, timesteps=max(steps, 1), log=(*graph.log, change))


def finish(
    network: Quantized,
    chip: ChipSpec,
    options: CompileOptions,
    watch: Watcher = unwatched,
    measure: Measure = measure_rates,
) -> Program:
    """The second half of `compile_nir`: masks, attention, delays, cores."""
    graph = balanced(network, chip, options, watch)
    rates = measure(graph, network.calibration[:RATE_SAMPLES])
    mapped = map_network(graph, chip, rates, options.mapping)
    graph = replace(graph, log=(*graph.log, *fit_changes(network_of(graph, chip), mapped.mapping)))
    return Program(graph, mapped.mapping, chip, options, network.source_hash)


def balanced(network: Quantized, chip: ChipSpec, options: CompileOptions, watch: Watcher = unwatched) -> Graph:
    """The graph that is cut into cores: masks, attention, delays."""
    masks = static_masks(network.folded, network.calibration) if options.masks == "static" else {}
    passes: list[Pass] = [
        MaterializeTokenMasks(options.masks, masks),
        LowerAttention(options.attention_order),
        SplitFanIn(),
        BalanceDelays(),
    ]
    return run_passes(network.graph, passes, chip, watch)


def run_passes(graph: Graph, passes: Sequence[Pass], chip: ChipSpec, watch: Watcher = unwatched) -> Graph:
    """`graph` after `passes`, verified after each."""
    for one in passes:
        graph = one(graph, chip)
        verify(graph, chip, one.name)
        watch(one.name, graph)
    return graph


def check_samples(graph: Graph, samples: NDArray[Any], what: str) -> None:
    """Raises InputError where samples do not have the network's input shape, or are not finite numbers."""
    node = next(n for n in graph.nodes.values() if isinstance(n, Input | GradedInput))
    wanted = node.out.shape if graph.encoding == "repeat" else (graph.timesteps, *node.out.shape)
    if samples.ndim != len(wanted) + 1 or samples.shape[1:] != wanted or samples.shape[0] == 0:
        raise InputError(
            f"{what}: shape {samples.shape}, the network's {node.name!r} takes [samples, {', '.join(map(str, wanted))}]",
            "reshape the array, or export the model for this input",
        )
    if samples.dtype.kind not in "fiub" or not np.isfinite(samples).all():
        raise InputError(f"{what}: dtype {samples.dtype} with non-finite or non-numeric values", "give finite numbers")
