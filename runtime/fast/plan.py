"""What is decided once for a program: layouts, laid-out weights, and which synapses and neurons are one kernel."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.bounds import channel_bounds
from pumice.compiler.groups import origin
from pumice.compiler.ir import Graph, Node, of_feedback, sole
from pumice.hwsim import arith
from pumice.runtime.fast.attention_plan import Attention, attention_of, turnable
from pumice.runtime.fast.bit_plan import BitLayer
from pumice.runtime.fast.lanes import Held, Packing
from pumice.runtime.fast.synapse_plan import SynapsePlan, plan_synapse
from pumice.runtime.tally import mask_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Turn:
    """A node to compute, and whose values nobody reads any more then."""

    node: Node
    done: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """border: columns and rows between maps. synapses: those that kernels compute. fused: of a layer of neurons, the synapse
    that is computed with it; of the second product of attention, the first where (q kᵀ) v may be computed as q (kᵀ v).
    attention: what a layer of neurons computes itself where nobody counts. biases: of LIF layers that kernels compute, [C];
    bounded: those that cannot saturate. needless: token gates all of whose readers compute routed tokens only. last: after
    which node each value is not needed any more. static: of static masks, by name and samples, their lanes and how these are
    packed, once made. bits: of fused layers that were met, those that may be computed bit by bit."""

    graph: Graph
    border: int
    synapses: Mapping[str, SynapsePlan]
    fused: Mapping[str, str]
    attention: Mapping[str, Attention]
    biases: Mapping[str, NDArray[np.int32]]
    bounded: frozenset[str]
    needless: frozenset[str]
    last: Mapping[str, str]
    static: dict[tuple[str, int], tuple[Held, Packing | None]] = field(default_factory=dict)
    bits: dict[str, BitLayer | None] = field(default_factory=dict)

    def is_later(self, node: Node, counted: bool) -> bool:
        """Whether a node is computed with its only reader. Counts need both products of attention by themselves."""
        return node.name in self.later and not (counted and isinstance(node, i.SpikeMatmul))

    @cached_property
    def turns(self) -> Mapping[bool, tuple[Turn, ...]]:
        """What is done in turn, counted or not."""
        return {counted: tuple(self._turns(counted)) for counted in (False, True)}

    def _turns(self, counted: bool) -> Iterator[Turn]:
        done: dict[str, tuple[str, ...]] = {}
        for name, last in self.last.items():
            done[last] = (*done.get(last, ()), name)
        for node in self.graph.nodes.values():
            if not self.is_later(node, counted):
                yield Turn(node, done.get(node.name, ()))

    @cached_property
    def later(self) -> frozenset[str]:
        """Nodes that are computed with a reader where nobody counts."""
        products = (name for one in self.attention.values() for name in (one.first, one.last))
        return frozenset((*self.fused.values(), *products))


def read_by(node: Node, graph: Graph, fused: Mapping[str, str], attention: Mapping[str, Attention]) -> tuple[str, ...]:
    """The nodes whose values are at hand when a node is computed, those of what may be computed with it among them."""
    names = graph.nodes[fused[node.name]].inputs if node.name in fused else ()
    if node.name in attention:
        one = attention[node.name]
        names = (*names, one.query, one.key, one.value)
    return (*node.inputs, *names)


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
    fused |= {node.name: node.inputs[0] for node in graph.nodes.values() if turnable(node, graph, readers)}
    found = {name: attention_of(graph.nodes[name], graph, readers) for name in biases}
    attention = {name: one for name, one in found.items() if one}
    needless = frozenset(name for name in graph.nodes if _needless(name, graph, readers, fused))
    bounded = frozenset(name for name in biases if _bounded(graph.nodes[name], graph))
    return Plan(graph, border, synapses, fused, attention, biases, bounded, needless, _last(graph, fused, attention))


def _biases(node: i.IntLif) -> NDArray[np.int32]:
    return np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]), np.int32)


def _needless(name: str, graph: Graph, readers: Mapping[str, list[Node]], fused: Mapping[str, str]) -> bool:
    """Whether whatever reads a gate is a synapse whose neurons, computed with it, the same mask rules."""
    gate, neurons = graph.nodes[name], {source: layer for layer, source in fused.items()}
    if not isinstance(gate, i.TokenGate):
        return False
    mask = origin(gate.inputs[-1], graph).name
    return all(
        isinstance(node, i.Synapse) and mask_of(graph.nodes[neurons.get(node.name, name)], graph) == mask
        for node in readers[name]
    )


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


def _bounded(node: Node, graph: Graph) -> bool:
    """Whether no membrane of LIF neurons can reach its limit: what is left of it each time adds up to 4096 / dv of a step's."""
    assert isinstance(node, i.IntLif)
    low, high = (bound << arith.MEMBRANE_SHIFT for bound in channel_bounds(node.inputs[0], graph))
    bias = node.bias.reshape(-1)
    added = int(np.maximum(np.abs(low + bias), np.abs(high + bias)).max(initial=0))
    return added * arith.DECAY_UNITY < arith.STATE_LIMIT * node.dv


def _last(graph: Graph, fused: Mapping[str, str], attention: Mapping[str, Attention]) -> dict[str, str]:
    last: dict[str, str] = {}
    for node in graph.nodes.values():
        last |= dict.fromkeys((node.name, *read_by(node, graph, fused, attention)), node.name)
    return last
