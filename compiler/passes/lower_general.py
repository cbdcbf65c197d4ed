"""lower-nir: what a chip can do of NIR's general nodes, said in the nodes that the other passes know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.compiler.passes.lower_neurons import lif_of, neuron_problem
from pumice.compiler.time_constants import check_time_constants
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import ChipSpec

Neuron = f.Lif | f.MultiSpike | g.Neuron
Readers = Mapping[str, list[Node]]


@dataclass(frozen=True)
class LowerGeneral:
    """Neurons become LIF layers, pools sums with their divisor beside them, linear layers 1 x 1 convolutions."""

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
        _check_output(lowered)
        check_time_constants(lowered)
        return lowered


def problem_of(node: Node) -> str:
    """Why no pass takes a float node to the chip, "" where one does."""
    if isinstance(node, g.Neuron):
        return neuron_problem(node)
    if isinstance(node, g.Pool) or type(node).__module__ == f.__name__:
        return ""
    return f"{type(node).__name__} runs in float, but is not lowered to a chip yet"


def _check(node: Node) -> None:
    """Raises UnsupportedNode for what the chip cannot do."""
    if problem := problem_of(node):
        hint = "`pumice inspect FILE --chip CHIP` lists what each node becomes"
        raise UnsupportedNode(f"node {node.source!r}: {problem}", hint)


def _check_output(graph: Graph) -> None:
    node = graph.nodes[graph.output]
    if not isinstance(node, f.TimeMean | f.Lif | f.MultiSpike):
        raise UnsupportedNode(
            f"node {node.source!r}: the network ends in {type(node).__name__}",
            "end with neurons, or with a mean over time",
        )


def _lowered(node: Node, graph: Graph, readers: Readers) -> list[Node]:
    match node:
        case f.Input() if len(node.out.shape) == 1:
            inner = f"{node.name}.values"
            return [replace(node, name=inner), f.Reshape(node.name, (inner,), node.out, node.source)]
        case g.Neuron() | f.Lif():
            lif = lif_of(node) if isinstance(node, g.Neuron) else node
            return _with_synapse(lif, graph)
        case g.Pool():
            return [_pool(node, readers)]
        case f.Linear() if not all(isinstance(reader, f.TimeMean) for reader in readers[node.name]):
            weight = node.weight[:, :, None, None]
            return [f.Conv(node.name, node.inputs, node.out, node.source, weight, node.bias)]
        case _:
            return [node]


def _with_synapse(lif: f.Lif, graph: Graph) -> list[Node]:
    """Neurons that read spikes, samples or counts as they are get synapses of their own, so that the layer chooses its grid."""
    before = graph.nodes[lif.inputs[0]]
    while isinstance(before, f.Reshape):
        before = graph.nodes[before.inputs[0]]
    if not isinstance(before, f.Input | Neuron) and not _counts(before, graph):
        return [lif]
    channels, name = lif.out.shape[0], f"{lif.name}.synapse"
    ones = np.ones((channels, 1, 1, 1))
    synapse = f.Conv(name, lif.inputs, lif.out, lif.source, ones, np.zeros(channels), groups=channels)
    return [synapse, replace(lif, inputs=(name,))]


def _counts(node: Node, graph: Graph) -> bool:
    """Whether a pool stays a pool: one that a single layer of neurons reads becomes its synapses."""
    return isinstance(node, g.Pool) and not _is_synapse(node, graph.consumers())


def _is_synapse(node: g.Pool, readers: Readers) -> bool:
    found = readers[node.name]
    return len(found) == 1 and isinstance(found[0], Neuron)


def _pool(node: g.Pool, readers: Readers) -> Node:
    """A convolution with equal weights where only neurons read it; else a sum of its own, exact whatever the divisor."""
    common = (node.name, node.inputs, node.out, node.source)
    area = node.kernel[0] * node.kernel[1]
    divisor = area if node.mean else 1
    if not _is_synapse(node, readers):
        return f.SumPool(*common, node.kernel, node.stride, node.padding, divisor)
    channels = node.out.shape[0]
    weight = np.full((channels, 1, *node.kernel), 1 / divisor)
    return f.Conv(*common, weight, np.zeros(channels), node.stride, node.padding, channels)
