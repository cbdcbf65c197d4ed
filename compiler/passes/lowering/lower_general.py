"""lower-nir: what a chip can do of NIR's general nodes, said in the nodes that the other passes know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.compiler.passes.lowering.currents import Neuron, synapses_of_neurons, synapses_of_sums
from pumice.compiler.passes.lowering.delays import check_cycles, join_delays, move_before_layer
from pumice.compiler.passes.lowering.late_biases import take_late_biases
from pumice.compiler.passes.lowering.linear_layers import lower_general_conv, lower_linear_map, lower_scale
from pumice.compiler.passes.lowering.neurons import (
    gain_of,
    has_channel_gains,
    is_lif,
    lif_of,
    neuron_problem,
    threshold_neuron,
    without_gain,
)
from pumice.compiler.passes.lowering.reshapes import sink_below_neurons, sink_below_sums
from pumice.compiler.passes.lowering.rewriting import Rule, rewritten
from pumice.compiler.passes.lowering.shared_layers import split_on_cycles
from pumice.compiler.passes.lowering.time_constants import check_time_constants
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import ChipSpec

Readers = Mapping[str, list[Node]]
RULES: tuple[Mapping[Rule, str], ...] = (
    {
        take_late_biases: "takes the bias that reaches it a step late, and starts as far below 0 as it adds in the first step"
    },
    {
        move_before_layer: "delays what the layer before it reads; the same, for that layer has no bias",
        join_delays: "its delay and the one before it are one",
    },
    {split_on_cycles: "synapses of their own for each of its readers, as it lies on a cycle"},
    {
        sink_below_sums: "adds currents in the shape in which they come",
        sink_below_neurons: "neurons in the shape in which their currents come",
    },
    {
        synapses_of_sums: "what it adds as it is comes over synapses of weight 1",
        synapses_of_neurons: "reads what comes as it is over synapses of weight 1",
    },
)
MOST_AXES = 3  # of a layer of neurons: channels, rows, columns


@dataclass(frozen=True)
class LowerGeneral:
    """Neurons become LIF layers or programmable ones, pools sums with their divisor beside them, linear layers convolutions,
    delays of currents delays of spikes."""

    name: ClassVar[str] = "lower-nir"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        readers = graph.consumers()
        nodes: list[Node] = []
        changes: list[Change] = []
        for node in graph.nodes.values():
            _check(node)
            made = _lowered(node, graph, readers)
            nodes += made
            if made != [node]:
                kinds = " and ".join(type(part).__name__ for part in made)
                changes.append(Change(self.name, node.name, f"{node.name}: {type(node).__name__} becomes {kinds}"))
        lowered = rebuilt(graph, nodes, graph.stage, changes)
        check_cycles(lowered)
        for rules in RULES:
            lowered = rewritten(lowered, rules)
        check_time_constants(lowered)
        return lowered


def problem_of(node: Node) -> str:
    """Why no pass takes a float node to the chip, "" where one does."""
    if isinstance(node, g.Unknown):
        return node.problem
    if isinstance(node, g.Neuron) and len(node.out.shape) > MOST_AXES:
        return f"neurons {node.out.shape} of {len(node.out.shape)} axes: a layer has {MOST_AXES} at most"
    return neuron_problem(node) if isinstance(node, g.Neuron) else ""


def _check(node: Node) -> None:
    """Raises UnsupportedNode for what the chip cannot do."""
    if problem := problem_of(node):
        hint = "`pumice inspect FILE --chip CHIP` lists what each node becomes"
        raise UnsupportedNode(f"node {node.source!r}: {problem}", hint)


def _lowered(node: Node, graph: Graph, readers: Readers) -> list[Node]:
    match node:
        case f.Input() if len(node.out.shape) == 1:
            inner = f"{node.name}.values"
            return [replace(node, name=inner), f.Reshape(node.name, (inner,), node.out, node.source)]
        case g.Neuron():
            return [lif_of(node)] if is_lif(node) else _with_gains(node)
        case g.Threshold():
            return [threshold_neuron(node)]
        case g.Pool():
            return [_pool(node, readers)]
        case g.GeneralConv():
            return lower_general_conv(node, graph.nodes[node.inputs[0]].out.shape)
        case g.LinearMap():
            return lower_linear_map(node, graph.nodes[node.inputs[0]].out.shape)
        case g.Scale():
            return lower_scale(node)
        case f.Linear() if not _is_readout(node, readers):
            weight = node.weight[:, :, None, None]
            return [f.Conv(node.name, node.inputs, node.out, node.source, weight, node.bias)]
        case _:
            return [node]


def _with_gains(node: g.Neuron) -> list[Node]:
    """Neurons that do not fire have no threshold to take their gain; one that differs between positions is a layer of its own."""
    if node.firing is not None or has_channel_gains(node):
        return [node]
    scale = g.Scale(f"{node.name}.gain", node.inputs, node.out, node.source, gain_of(node))
    return [*lower_scale(scale), replace(without_gain(node), inputs=(scale.name,))]


def _is_readout(node: f.Linear, readers: Readers) -> bool:
    found = readers[node.name]
    return bool(found) and all(isinstance(reader, f.TimeMean) for reader in found)


def _pool(node: g.Pool, readers: Readers) -> Node:
    """A convolution with equal weights where only neurons read it; else a sum of its own, exact whatever the divisor."""
    common = (node.name, node.inputs, node.out, node.source)
    area = node.kernel[0] * node.kernel[1]
    divisor = area if node.mean else 1
    found = readers[node.name]
    if len(found) != 1 or not isinstance(found[0], Neuron):
        return f.SumPool(*common, node.kernel, node.stride, node.padding, divisor)
    channels = node.out.shape[0]
    weight = np.full((channels, 1, *node.kernel), 1 / divisor)
    return f.Conv(*common, weight, np.zeros(channels), node.stride, node.padding, channels)
