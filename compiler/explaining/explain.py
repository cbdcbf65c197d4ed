"""Quantization that explains itself: for every integer node, its formulas with their numbers, what was lost, what it costs."""

from __future__ import annotations

from functools import partial
from typing import Any

import nir
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.explaining.explanation import Explanation
from pumice.compiler.explaining.names import PRODUCTS, named
from pumice.compiler.explaining.pages import explained
from pumice.compiler.explaining.runs import Look
from pumice.compiler.explaining.single import needed_for
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, quantize, whole
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress

MADE_WITH_THEIR_NEURONS = (*PRODUCTS, i.OneToOne)


def explain_nir(
    network: nir.NIRGraph,
    calibration: NDArray[Any],
    chip: ChipSpec,
    options: CompileOptions,
    progress: Progress = no_progress,
    only: str = "",
) -> tuple[Explanation, ...]:
    """Every node of a network as `compile_nir` would quantize it, in the network's order; arguments as there. only: as in
    `explain`; nothing is quantized then but what that node needs.

    Raises PumiceError for what cannot be compiled."""
    choose = partial(needed_for, only) if only else whole
    quantized = quantize(network, calibration, chip, options, progress=progress, choose=choose)
    return explain(quantized, chip, options.weight_bits, only)


def explain(network: Quantized, chip: ChipSpec, weight_bits: int, only: str = "") -> tuple[Explanation, ...]:
    """Every node of a quantized network, in its order; `only` the one that a name leads to: of an integer node, or of a node of
    the user's that became part of one. Errors are measured on the calibration data, with every token routed.

    Raises InputError where the name leads nowhere."""
    nodes = [n for n in network.graph.nodes.values() if not isinstance(n, MADE_WITH_THEIR_NEURONS)]
    chosen = [named(only, nodes, network)] if only else nodes
    values = evaluate(network.folded, network.calibration, gated=False).values
    look = Look(network.folded, network.graph, values, chip, weight_bits)
    return tuple(explained(node, look) for node in chosen)
