"""A mapped program as units that send each other vectors: its cores, and the scorers of its live masks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, groups_of, mask_input
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.fans import Wiring
from pumice.compiler.mapping.traffic import reached_neurons
from pumice.compiler.program import CoreMapping
from pumice.runtime.per_core.inbox import Inbox
from pumice.runtime.per_core.paths import Origin, kept_frames, lags, needs_of, origins
from pumice.runtime.per_core.slices import Part, part_of
from pumice.runtime.per_core.units import Link, Pick, Segment, Unit

Ints = NDArray[np.int64]
Wanted = dict[str, NDArray[np.bool_]]  # per sender, which of its neurons a unit reads


@dataclass(frozen=True, eq=False)
class CoreNetwork:
    """units: cores first, in their order. sources: the input and given masks, which the host plays. depth: the step in which the
    first frame leaves the last unit."""

    graph: Graph
    units: tuple[Unit, ...]
    sources: tuple[Node, ...]
    depth: int

    def steps(self, samples: int) -> int:
        """Steps until the last frame of as many samples, one after the other, has left every unit."""
        return self.graph.timesteps * samples + self.depth

    def holders(self, nodes: Iterable[str]) -> Iterator[tuple[Unit, Segment]]:
        """The units that send the values of some nodes, and where in their vectors."""
        names = set(nodes)
        return ((unit, segment) for unit in self.units for segment in unit.segments if segment.node in names)


def core_network(graph: Graph, mapping: CoreMapping) -> CoreNetwork:
    """The units of a mapped graph. Raises UnsupportedNode for cycles that have too little delay to go from core to core."""
    at, needs = lags(graph), needs_of(graph)
    groups, wiring = {group.name: group for group in groups_of(graph)}, Wiring(graph)
    drafts = [
        *(_core(index, graph, mapping, groups, wiring, at) for index in range(len(mapping.cores))),
        *(_scorer(node, graph, at) for node in graph.nodes.values() if isinstance(node, i.LiveMask)),
    ]
    sources = tuple(node for node in graph.nodes.values() if isinstance(node, i.GradedInput | i.GivenMask))
    vectors = {draft.name: draft.segments for draft in drafts} | {
        node.name: (Segment(node.name, 0, np.arange(int(np.prod(node.out.shape))), 0),) for node in sources
    }
    units = tuple(_linked(draft, graph, vectors, needs, at) for draft in drafts)
    return CoreNetwork(graph, units, sources, max(at.values()))


@dataclass(frozen=True, eq=False)
class _Draft:
    """A unit before it is known what the others send."""

    name: str
    segments: tuple[Segment, ...]
    parts: tuple[Part, ...] | i.LiveMask
    wanted: Wanted


def _core(
    index: int,
    graph: Graph,
    mapping: CoreMapping,
    groups: Mapping[str, Group],
    wiring: Wiring,
    at: Mapping[str, int],
) -> _Draft:
    segments: list[Segment] = []
    parts: list[Part] = []
    wanted: Wanted = {}
    for cut in mapping.cores[index]:
        group, held = groups[cut.group], (mapping.channels_of(cut), mapping.positions_of(cut))
        part = part_of(group, wiring.fans(group, *held), *held, graph)
        neurons = mapping.neurons_of(cut, group.extent[1])
        start = segments[-1].end if segments else 0
        segments.append(Segment(group.name, start, neurons, at[group.name]))
        parts.append(part)
        _want(wanted, part, graph)
    return _Draft(f"core {index}", tuple(segments), tuple(parts), wanted)


def _want(wanted: Wanted, part: Part, graph: Graph) -> None:
    """Adds what a slice reads: of neurons those that its fans reach, of masks all bits."""
    for fan in part.fans:
        for origin in origins(fan.stream, graph):
            mask = graph.nodes[origin.sender].out.dtype == "mask"
            _add(wanted, origin.sender, graph, slice(None) if mask else reached_neurons(fan))
    mask_name = mask_input(part.group.neurons)
    for origin in origins(mask_name, graph) if mask_name else ():
        _add(wanted, origin.sender, graph, slice(None))


def _add(wanted: Wanted, sender: str, graph: Graph, neurons: Ints | slice) -> None:
    size = int(np.prod(graph.nodes[sender].out.shape))
    wanted.setdefault(sender, np.zeros(size, np.bool_))[neurons] = True


def _scorer(node: i.LiveMask, graph: Graph, at: Mapping[str, int]) -> _Draft:
    wanted: Wanted = {}
    for origin in origins(node.inputs[0], graph):
        _add(wanted, origin.sender, graph, slice(None))
    segment = Segment(node.name, 0, np.arange(node.out.shape[0]), at[node.name])
    return _Draft(node.name, (segment,), node, wanted)


def _linked(
    draft: _Draft,
    graph: Graph,
    vectors: Mapping[str, tuple[Segment, ...]],
    needs: Mapping[str, list[Origin]],
    at: Mapping[str, int],
) -> Unit:
    kept: dict[str, int] = {}
    for reader in {segment.node for segment in draft.segments}:
        for sender, frames in kept_frames(graph, at, reader, needs[reader]).items():
            kept[sender] = max(kept.get(sender, 0), frames)
    neurons = {sender: np.flatnonzero(held) for sender, held in draft.wanted.items()}
    links = tuple(_links(draft.wanted, vectors))
    return Unit(draft.name, graph, Inbox(graph, neurons, kept), links, draft.segments, draft.parts)


def _links(wanted: Wanted, vectors: Mapping[str, tuple[Segment, ...]]) -> Iterator[Link]:
    """The vectors that hold neurons which are read."""
    rank = {sender: np.cumsum(held) - 1 for sender, held in wanted.items()}
    for source, segments in vectors.items():
        picks = []
        for segment in segments:
            if segment.node not in wanted:
                continue
            index = np.flatnonzero(wanted[segment.node][segment.neurons])
            places = rank[segment.node][segment.neurons[index]]
            if len(index):
                picks.append(Pick(segment.node, segment.start + index, places, segment.lag))
        if picks:
            yield Link(source, tuple(picks))
