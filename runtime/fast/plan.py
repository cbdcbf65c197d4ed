"""What is decided once for a program: layouts, laid-out weights, and which synapses and neurons are one kernel."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.bounds import channel_bounds
from pumice.compiler.ir import Graph, Node, of_feedback, sole
from pumice.hwsim import arith
from pumice.runtime.fast.bit_plan import BitLayer
from pumice.runtime.fast.synapse_plan import SynapsePlan, plan_synapse

Ints = NDArray[np.int64]
BYTE = 127  # the most that a count may be to be a weight


@dataclass(frozen=True, eq=False)
class Plan:
    """border: columns and rows between maps. synapses: those that kernels compute. fused: of a layer of neurons, the synapse
    that is computed with it; of the second product of attention, the first where (q kᵀ) v may be computed as q (kᵀ v). biases:
    of LIF layers that kernels compute, [C]. last: after which node each value is not needed any more. bits: of fused layers that
    were met, those that may be computed bit by bit."""

    graph: Graph
    border: int
    synapses: Mapping[str, SynapsePlan]
    fused: Mapping[str, str]
    biases: Mapping[str, NDArray[np.int32]]
    last: Mapping[str, str]
    bits: dict[str, BitLayer | None] = field(default_factory=dict)

    def reads(self, node: Node) -> tuple[str, ...]:
        """The nodes whose values are at hand when a node is computed, those of a synapse that is computed with it among them."""
        return read_by(node, self.graph, self.fused)


def read_by(node: Node, graph: Graph, fused: Mapping[str, str]) -> tuple[str, ...]:
    """See `Plan.reads`."""
    with_it = graph.nodes[fused[node.name]].inputs if node.name in fused else ()
    return (*node.inputs, *with_it)


def plan_of(graph: Graph) -> Plan:
    """The plan of a balanced graph without cycles."""
    border = max((_border(node) for node in graph.nodes.values()), default=0)
    synapses: dict[str, SynapsePlan] = {}
    for node in graph.nodes.values():
        if isinstance(node, i.Synapse):
            made = plan_synapse(node, graph.nodes[node.inputs[0]].out, border)
            synapses |= {node.name: made} if made else {}
    readers = graph.consumers()
    biases = {
        node.name: _biases(node) for node in graph.nodes.values() if isinstance(node, i.IntLif) and _plain(node, graph)
    }
    fused = {
        name: source
        for name in biases
        if (source := graph.nodes[name].inputs[0]) in synapses and sole(source, readers) is graph.nodes[name]
    }
    fused |= {node.name: node.inputs[0] for node in graph.nodes.values() if _turnable(node, graph, readers)}
    return Plan(graph, border, synapses, fused, biases, _last(graph, fused))


def _biases(node: i.IntLif) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]), np.int32)


def _turnable(node: Node, graph: Graph, readers: Mapping[str, list[Node]]) -> bool:
    """Whether a product of scores and values is the same integers, and fewer operations, as queries times context: the scores
    are of spikes, exact, and nobody else reads them."""
    if not isinstance(node, i.SpikeMatmul) or node.pattern != "scores-values":
        return False
    scores, values = (graph.nodes[name] for name in node.inputs)
    if not isinstance(scores, i.SpikeMatmul) or scores.shift or sole(scores.name, readers) is not node:
        return False
    operands = [graph.nodes[name].out for name in scores.inputs]
    binary = all((out.low, out.high) == (0, 1) for out in (*operands, values.out))
    tokens, inner, width = operands[0].shape[1], operands[0].shape[0] // scores.heads, values.out.shape[0] // node.heads
    exact = i.largest_sum(scores, *operands) <= scores.out.high and tokens <= BYTE
    return binary and exact and inner * width <= 2 * tokens * tokens


def has_cycles(graph: Graph) -> bool:
    """Whether values of earlier steps come back, so that steps cannot be computed together."""
    return any(isinstance(node, i.Past | i.Feedback) or of_feedback(node) for node in graph.nodes.values())


def _border(node: Node) -> int:
    """The columns that a convolution needs between the rows of its maps."""
    if not isinstance(node, i.Synapse) or node.stride != (1, 1) or len(node.out.shape) < 3:
        return 0
    return max(node.padding)


def _plain(node: Node, graph: Graph) -> bool:
    """Whether neurons are what `hwsim.kernels.lif_rows` computes, their numbers within 32 bits."""
    if not isinstance(node, i.IntLif) or node.reset != "hard" or node.inclusive:
        return False
    low, high = channel_bounds(node.inputs[0], graph)
    reach = max(-int(low.min(initial=0)), int(high.max(initial=0)))
    return reach < arith.ACTIVATION_LIMIT and int(np.abs(node.bias).max(initial=0)) < 1 << 29


def _last(graph: Graph, fused: Mapping[str, str]) -> dict[str, str]:
    last: dict[str, str] = {}
    for node in graph.nodes.values():
        last |= dict.fromkeys((node.name, *read_by(node, graph, fused)), node.name)
    return last
