"""What slices take of a core, and of a chip: every published limit, with used and limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, groups_of
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.fans import Fan, Wiring
from pumice.compiler.mapping.layouts import Layout, layouts_of
from pumice.compiler.mapping.memory import stored, weight_bits
from pumice.compiler.program import Slice
from pumice.hwsim.spec import ChipSpec

Range = tuple[int, int]
Use = tuple[str, int, int]  # resource, used, limit


@dataclass(frozen=True, eq=False)
class Network:
    """A balanced graph as mapping sees it: groups, their layouts, what feeds them. slices, bits, seen: measured before."""

    graph: Graph
    chip: ChipSpec
    groups: Mapping[str, Group]
    layouts: Mapping[str, Layout]
    wiring: Wiring
    slices: dict[tuple[str, Range, Range], Slice] = field(default_factory=dict)
    bits: dict[tuple[str, int, int], int] = field(default_factory=dict)
    seen: dict[tuple[str, Range, Range], list[Fan]] = field(default_factory=dict)

    def slice_of(self, name: str, channels: Range, positions: Range) -> Slice:
        """What one slice of a group takes of a core's resources."""
        key = (name, channels, positions)
        if key not in self.slices:
            self.slices[key] = self._measured(*key)
        return self.slices[key]

    def fans_of(self, name: str, channels: Range, positions: Range) -> list[Fan]:
        """Every input of a slice of a group."""
        key, layout = (name, channels, positions), self.layouts[name]
        if key not in self.seen:
            held = layout.channels_in(channels), layout.positions_in(positions)
            self.seen[key] = self.wiring.fans(self.groups[name], *held)
        return self.seen[key]

    def _measured(self, name: str, channels: Range, positions: Range) -> Slice:
        held, fans = self.layouts[name].channels_in(channels), self.fans_of(name, channels, positions)
        width = positions[1] - positions[0]
        forms = [stored(fan, self.chip, held, width, self._weight_bits(fan.reader, held)) for fan in fans]
        synapses, words, axons = (sum(getattr(form, of) for form in forms) for of in ("synapses", "words", "axons"))
        formats = tuple(form.format for form in forms)
        longest = max((form.longest for form in forms), default=0)
        return Slice(name, channels, positions, len(held) * width, synapses, words, longest, axons, formats)

    def _weight_bits(self, reader: Node, channels: NDArray[np.int64]) -> int:
        key = (reader.name, int(channels[0]), int(channels[-1]))  # of a layer with weights no channel is ever left out
        if key not in self.bits:
            self.bits[key] = weight_bits(reader, channels)
        return self.bits[key]


def network_of(graph: Graph, chip: ChipSpec) -> Network:
    """A balanced graph, ready to be mapped."""
    groups = {group.name: group for group in groups_of(graph)}
    return Network(graph, chip, groups, layouts_of(graph), Wiring(graph))


def utilisation(core: Iterable[Slice], network: Network) -> list[Use]:
    """(resource, used, limit) of a core, for every published limit that slices alone decide."""
    core, chip = list(core), network.chip
    nodes = [network.groups[part.group].neurons for part in core]
    rows: list[tuple[str, int, int | None]] = [
        ("neurons per core", sum(part.neurons for part in core), chip.neurons_per_core),
        ("synaptic memory words per core", sum(part.words for part in core), chip.synaptic_words_per_core),
        ("words of a synapse list", max((part.longest for part in core), default=0), chip.words_per_axon),
        ("input axons per core", sum(part.input_axons for part in core), chip.input_axons_per_core),
        ("compartment settings per core", len({_settings(node) for node in nodes}), chip.compartment_configs),
        ("thresholds per core", _thresholds(nodes), chip.threshold_configs),
        ("synapse formats per core", len({form for part in core for form in part.formats}), chip.synapse_configs),
    ]
    return [(name, used, limit) for name, used, limit in rows if limit is not None]


def violations(core: Iterable[Slice], network: Network) -> Iterator[Use]:
    """The limits that a core exceeds."""
    return (use for use in utilisation(core, network) if use[1] > use[2])


def _settings(node: Node) -> tuple[object, ...]:
    """What neurons of one compartment setting have in common; programmable neurons' settings are counted as one a layer."""
    if isinstance(node, i.IntLif):
        return ("lif", node.dv, node.reset, node.inclusive, node.bias_exp, node.gate_state)
    return (type(node).__name__, node.name if isinstance(node, i.Programmable | i.Levels) else "")


def _thresholds(nodes: Iterable[Node]) -> int:
    found = {node.vth for node in nodes if isinstance(node, i.IntLif)}
    return len(found) + sum(len(node.thresholds) for node in nodes if isinstance(node, i.Levels))
