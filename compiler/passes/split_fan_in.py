"""split-fan-in: a neuron with more inputs than a core has axons or memory for gets them as sums of parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.bounds import channel_bounds
from pumice.compiler.groups import Group
from pumice.compiler.ir import Change, Graph, Node, TensorType, rebuilt
from pumice.compiler.mapping.finest import finest, inputs_per_channel
from pumice.compiler.mapping.partial_sums import cut_inputs, why_whole
from pumice.compiler.mapping.remedies import INPUTS, WORDS
from pumice.compiler.mapping.usage import Network, Range, Use, network_of, violations
from pumice.hwsim.spec import ChipSpec

ROUNDS = 8  # in which parts are made smaller, until they fit


@dataclass(frozen=True)
class SplitFanIn:
    """Where a neuron alone on a core exceeds its input axons or its synaptic memory, its synapses are cut by source channels.
    Each part feeds neurons that send its sum as graded spikes, and the layer's neurons add those up: the same integers, since
    nothing is rounded or clipped, one step later. A layer for which the chip cannot do that is left: the fit check tells why."""

    name: ClassVar[str] = "split-fan-in"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        if chip.input_axons_per_core is None and chip.synaptic_words_per_core is None:
            return graph
        network = network_of(graph, chip)
        for name, group in network.groups.items():
            if _exceeded(network, name) and not why_whole(group, graph, chip):
                graph = _split(graph, group, _exceeded(network, name), chip)
        return graph


def _exceeded(network: Network, name: str) -> list[Use]:
    """The limits of a core that one neuron of a group exceeds by its inputs."""
    item = finest(network, name)
    if item is None:
        return []
    alone = [network.slice_of(name, item.channels, item.positions)]
    return [use for use in violations(alone, network) if use[0] in (INPUTS, WORDS)]


def _split(graph: Graph, group: Group, exceeded: list[Use], chip: ChipSpec) -> Graph:
    """The graph with the inputs of a group in parts that fit; as it was where none do."""
    most = int(inputs_per_channel(group).max())
    if not isinstance(group.neurons, i.Readout):  # a read-out first has the sum of each position taken there
        most = _fewer(most, exceeded)
    for _ in range(ROUNDS):
        if most < 1:
            break
        cut = _with_parts(graph, group, most, chip)
        network = network_of(cut, chip)
        made = [name for name in network.groups if name not in graph.nodes]
        exceeded = [use for name in (group.name, *made) for use in _exceeded(network, name)]
        if not exceeded:
            return cut
        most = _fewer(most, exceeded)
    return graph


def _fewer(most: int, exceeded: list[Use]) -> int:
    """As many inputs of `most` as the limits allow."""
    return min(most * limit // used for _, used, limit in exceeded)


def _with_parts(graph: Graph, group: Group, most: int, chip: ChipSpec) -> Graph:
    """The graph with the inputs of each synapse of a group in parts of up to `most` weights a neuron."""
    nodes: list[Node] = []
    changes: list[Change] = []
    weighted = {node.name for node in group.synapses if isinstance(node, i.Synapse)}
    for node in graph.nodes.values():
        if not isinstance(node, i.Synapse) or node.name not in weighted:
            nodes.append(node)
            continue
        parts = cut_inputs(node, graph, most, chip.graded_bits)
        nodes += _parts(node, parts, graph)
        changes.append(_change(node, group, parts, most))
    return rebuilt(graph, nodes, graph.stage, changes)


def _parts(node: i.Synapse, parts: list[Range], graph: Graph) -> Iterator[Node]:
    """A synapse's parts, the neurons that send their sums, and the currents that these become: under the synapse's own name."""
    low, high = (bound.item() for bound in _range(node.name, graph))
    summed = []
    for number, part in enumerate(parts):
        cut = _part(node, part, f"{node.name}.part{number}", graph)
        sent = replace(cut.out, dtype="graded")
        silent = np.zeros(node.out.shape[0], np.int64)
        sums = i.Membrane(f"{cut.name}.sums", (cut.name,), sent, node.source, 0, silent, node.scale)
        summed.append(i.OneToOne(f"{cut.name}.current", (sums.name,), cut.out, node.source))
        yield from (cut, sums, summed[-1])
    total = TensorType(node.out.shape, "current", low, high)
    yield i.Currents(node.name, tuple(one.name for one in summed), total, node.source)


def _part(node: i.Synapse, part: Range, name: str, graph: Graph) -> i.Synapse:
    """The synapse with only some of its inputs, and the range that these give it."""
    flat = np.zeros_like(node.weight).reshape(len(node.weight), -1)
    flat[:, slice(*part)] = node.weight.reshape(len(node.weight), -1)[:, slice(*part)]
    share = node.share * (part[1] - part[0]) / flat.shape[1]
    cut = replace(node, name=name, weight=flat.reshape(node.weight.shape), share=share)
    low, high = _range(name, replace(graph, nodes={**graph.nodes, name: cut}))
    return replace(cut, out=replace(node.out, low=int(low), high=int(high)))


def _range(name: str, graph: Graph) -> tuple[np.int64, np.int64]:
    low, high = channel_bounds(name, graph)
    return low.min(), high.max()


def _change(node: i.Synapse, group: Group, parts: list[Range], most: int) -> Change:
    text = (
        f"layer {group.name}: {node.name} in {len(parts)} part{'s' * (len(parts) > 1)} of ≤ {most:,} inputs a neuron, summed "
        "apart and added a step later"
    )
    return Change("split-fan-in", group.name, text, {"synapse": node.name, "parts": len(parts), "inputs": most})
