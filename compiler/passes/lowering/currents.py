"""Synapses of weight 1 for spikes and counts that neurons or sums of currents take as they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Graph, Node, sole
from pumice.compiler.passes.lowering.rewriting import Nodes, behind_reshapes

Readers = Mapping[str, list[Node]]
Neuron = f.Lif | f.MultiSpike | g.Neuron
Unit = tuple[str, float]


def synapses_of_neurons(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """Neurons that read spikes, samples or counts get synapses, so that the layer chooses its grid."""
    if not isinstance(node, Neuron):
        return None
    before = behind_reshapes(node.inputs[0], graph)
    own = isinstance(before, f.Input | Neuron | f.SumPool | g.Delay | g.Feedback) or isinstance(node, g.Neuron)
    if not own or is_current(node.inputs[0], graph) or _is_stream(node.inputs[0], graph):
        return None
    synapse = one_to_one(f"{node.name}.synapse", node.inputs[0], node, graph)
    return {synapse.name: synapse, node.name: replace(node, inputs=(synapse.name,))}


def synapses_of_sums(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """Where a sum is a current, or adds what is counted in different units, all that it adds becomes current."""
    if not isinstance(node, f.Add):
        return None
    payloads = [name for name in node.inputs if not is_current(name, graph) and not _is_stream(name, graph)]
    mixed = len(payloads) < len(node.inputs) or len({unit_of(name, graph) for name in payloads}) > 1
    twice = len(set(node.inputs)) < len(node.inputs) and bool(payloads)
    if not payloads or not (mixed or twice or isinstance(sole(node.name, readers), g.Neuron | f.Lif)):
        return None
    made: Nodes = {}
    inputs = []
    for index, name in enumerate(node.inputs):
        if name in payloads:
            synapse = one_to_one(f"{node.name}.synapse{index}", name, node, graph)
            made[synapse.name] = synapse
            name = synapse.name
        inputs.append(name)
    return {**made, node.name: replace(node, inputs=tuple(inputs))}


def one_to_one(name: str, source: str, node: Node, graph: Graph) -> f.Conv:
    """Synapses of weight 1 from each neuron of `source` to that of `node` with its number."""
    out = graph.nodes[source].out
    channels = out.shape[0]
    ones = np.ones((channels, 1, 1, 1))
    return f.Conv(name, (source,), out, node.source, ones, np.zeros(channels), groups=channels)


def is_current(name: str, graph: Graph) -> bool:
    """Whether a value is the current of synapses."""
    return isinstance(behind_reshapes(name, graph), f.Conv | f.BatchNorm | f.Attention | f.Coincidences | f.Linear)


def _is_stream(name: str, graph: Graph) -> bool:
    """Whether neurons of its own send a value as a real number, on a grid that several nodes share: sums of currents, and what
    moves such about. Unlike `quantizers.streams.components`, which knows all synapses, this is asked to place them: membranes
    that neurons send count as payloads here, for what reads them is to get synapses."""
    node = behind_reshapes(name, graph)
    if isinstance(node, f.MaxPool | f.TokenGate):
        return is_current(node.inputs[0], graph) or _is_stream(node.inputs[0], graph)
    if isinstance(node, f.Add):
        return any(is_current(part, graph) or _is_stream(part, graph) for part in node.inputs)
    return isinstance(node, f.TokenMean)


def unit_of(name: str, graph: Graph) -> Unit:
    """What a payload counts: (the node that has units of its own, or "", and how many of them are 1 in float)."""
    node = graph.nodes[name]
    match node:
        case f.Reshape() | f.MaxPool() | f.TokenGate() | g.Delay():
            return unit_of(node.inputs[0], graph)
        case f.SumPool():
            own, units = unit_of(node.inputs[0], graph)
            return own, units * node.divisor
        case f.MultiSpike():
            return "", float(node.norm)
        case f.Add():
            return unit_of(node.inputs[0], graph)
        case g.Feedback() if _fires(graph.nodes[node.of]):
            return "", 1.0
        case f.Lif() | g.Neuron() | f.SpikeGate() if _fires(node):
            return "", 1.0
        case _:
            return name, 1.0


def _fires(node: Node) -> bool:
    return isinstance(node, f.Lif | f.SpikeGate) or (isinstance(node, g.Neuron) and node.firing is not None)
