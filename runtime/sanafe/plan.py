"""What a mapped program becomes in SANA-FE: populations of neurons, and the units of each core that hold them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.neurons import refusal
from pumice.compiler.groups import Group, groups_of, origin
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node
from pumice.compiler.passes.balance_delays import depths
from pumice.compiler.program import Program, Site
from pumice.errors import InputError
from pumice.runtime.counting import synapse_kind
from pumice.runtime.sanafe.neurons import Soma, soma_of

UNIT_NEURONS = 1024  # of one soma or dendrite unit of SANA-FE, at most
Tile = tuple[int, int]
EXPRESSIBLE = (i.GradedInput, i.Synapse, i.OneToOne, i.Currents, i.Reshape, i.IntLif, i.OrPool, i.Readout)
NOT = {  # the most telling first
    i.SpikeMatmul: "is an attention product",
    i.SpikeAnd: "is an AND of spikes",
    i.TokenGate: "routes tokens by a mask",
    i.StaticMask: "is a routing mask",
    i.GivenMask: "is a routing mask",
    i.LiveMask: "is a routing mask",
    i.Feedback: "closes a cycle",
    i.Past: "is an axonal delay",
    i.Programmable: "is a layer of programmable neurons",
    i.Sum: "adds up spikes to payloads",
    i.Delay: "is an axonal delay, which balances paths of different length",
}
HINT = "SANA-FE takes feed-forward networks of LIF neurons, OR pools and read-outs, on spikes of 0 or 1"


@dataclass(frozen=True, eq=False)
class Part:
    """Neurons of one population on one core, in one of its units. members: their numbers, counted through [C, P], ascending."""

    site: Site
    unit: str
    members: Ints


@dataclass(frozen=True, eq=False)
class Population:
    """A neuron group. name: in SANA-FE; depth: steps until the first input spikes reach it; synapse: the unit that prices what it
    receives, a term of the energy profile."""

    name: str
    group: Group
    soma: Soma
    depth: int
    synapse: str
    parts: tuple[Part, ...]

    @property
    def neurons(self) -> int:
        channels, positions = self.group.extent
        return channels * positions


@dataclass(frozen=True, eq=False)
class Plan:
    """entry: the network's input. hosts: for each tile whose cores read it, the population there that sends it. steps: to run."""

    program: Program
    entry: i.GradedInput
    populations: Mapping[str, Population]
    hosts: Mapping[Tile, str]
    steps: int

    @property
    def inputs(self) -> int:
        """Neurons of the input."""
        return int(np.prod(self.entry.out.shape, dtype=np.int64))


def plan_of(program: Program) -> Plan:
    """What to write for a program. Raises UnsupportedNode for what SANA-FE cannot express, InputError for several chips."""
    graph = program.graph
    if program.mapping.chips > 1:
        raise InputError(f"the program is mapped to {program.mapping.chips} chips", "SANA-FE has one: map to fewer")
    telling = list(NOT)  # an attention product says more than the delays that it makes necessary
    for node in sorted(graph.nodes.values(), key=lambda n: telling.index(type(n)) if type(n) in NOT else len(NOT)):
        _check(node)
    depth, placed = depths(graph), program.mapping.slices_of()
    populations = {}
    for number, group in enumerate(groups_of(graph)):
        name = f"g{number}_{re.sub('[^A-Za-z0-9_]', '_', group.name)}"
        cuts = enumerate(placed[group.name])
        parts = [
            part
            for order, (index, cut) in cuts
            for part in _parts(
                program.mapping.sites[index], program.mapping.neurons_of(cut, group.extent[1]), f"{name}_{order}"
            )
        ]
        soma = soma_of(group.neurons, graph, depth[group.name])
        synapse = synapse_unit(group, graph)
        populations[group.name] = Population(name, group, soma, depth[group.name], synapse, tuple(parts))
    entry = next(node for node in graph.nodes.values() if isinstance(node, i.GradedInput))
    steps = graph.timesteps + max(depth[name] for name in graph.ends)
    return Plan(program, entry, populations, _hosts(populations, graph), steps)


def _check(node: Node) -> None:
    """Raises UnsupportedNode for an operation that SANA-FE has not."""
    if not isinstance(node, EXPRESSIBLE):
        raise refusal(node, NOT.get(type(node), "sends or sums up payloads, not spikes of 0 or 1"), HINT)
    if isinstance(node, i.GradedInput) and (node.out.low, node.out.high, node.scale) != (0, 1, 1.0):
        said = f"from {node.out.low} to {node.out.high}, {node.scale:g} a unit"
        raise refusal(node, f"takes payloads {said}", "only an input of spikes, 0 and 1, can be written")


def synapse_unit(group: Group, graph: Graph) -> str:
    """The term of the energy profile that an operation of this group's synapses costs."""
    entry = [isinstance(origin(node.inputs[0], graph), i.GradedInput) for node in group.synapses]
    if any(entry) and not all(entry):
        raise refusal(group.neurons, "adds the input to other spikes", "SANA-FE prices all synapses of a layer alike")
    return "mac" if all(entry) else f"synop_{synapse_kind(group.synapses[0])}"


def _parts(site: Site, found: Ints, name: str) -> list[Part]:
    """The neurons of a slice, in as many units as they need."""
    pieces = [found[k : k + UNIT_NEURONS] for k in range(0, len(found), UNIT_NEURONS)]
    return [Part(site, f"{name}_{number}", piece) for number, piece in enumerate(pieces)]


def _hosts(populations: Mapping[str, Population], graph: Graph) -> dict[Tile, str]:
    """The host sends the input to each tile, so that it crosses no link, as Pumice counts it."""
    reading = [p for p in populations.values() if p.synapse == "mac"]
    tiles = sorted({(part.site.x, part.site.y) for p in reading for part in p.parts})
    return {(x, y): f"input_x{x}_y{y}" for x, y in tiles}
