"""Spike rates for the compiler, of large networks by the kernels."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler import spike_rates
from pumice.compiler.ir import Graph
from pumice.compiler.spike_rates import Rates, all_routed, carried
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.plan import has_cycles, plan_of
from pumice.runtime.tally import Wanted

LARGE = 1 << 34  # products below which the plain walk is done before the kernels are loaded
LAID = 1  # samples that the plain walk is through while weights are laid out for the kernels


def measure_rates(graph: Graph, samples: NDArray[Any]) -> Rates:
    """As `compiler.spike_rates.measure_rates`, and sooner done; without numba it is that function that measures."""
    if products(graph) * (len(samples) - LAID) < LARGE or has_cycles(graph):
        return spike_rates.measure_rates(graph, samples)
    try:
        return rates_by_kernels(graph, samples)
    except ImportError:
        return spike_rates.measure_rates(graph, samples)


def products(graph: Graph) -> int:
    """Synapses of a graph, each as often as its weight is used for a sample."""
    synapses = [node for node in graph.nodes.values() if isinstance(node, i.Synapse)]
    return graph.timesteps * sum(node.weight.size * prod(node.out.shape[1:]) for node in synapses)


def rates_by_kernels(graph: Graph, samples: NDArray[Any]) -> Rates:
    """Rates of a graph without cycles. Raises ImportError without numba."""
    from pumice.runtime.fast.backend import batch_size
    from pumice.runtime.fast.engine import run_batch

    plan, memory, names = plan_of(graph), Memory(), tuple(dict.fromkeys(carried(graph)))
    noted, length = Wanted(names, (), (), (), (), ()), batch_size(plan)
    totals: dict[str, Any] = {}
    for start in range(0, len(samples), length):
        few = samples[start : start + length]
        ran = run_batch(plan, few, all_routed(graph, len(few)), memory, noted, False)
        for name, events in ran.tally.events.items() if ran.tally else ():
            totals[name] = totals.get(name, 0) + events.sum(axis=0).astype(np.float32)
    return {name: totals[name] / len(samples) for name in names}
