"""What the compiler hands over: an integer graph, cut into slices, each slice on a core of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.layouts import Layout
from pumice.compiler.options import CompileOptions
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class Slice:
    """The part of a neuron group that one core holds: channels [c0, c1) at positions [p0, p1), counted along its group's layout.

    neurons: in the slice. synapses: stored weights (shared ones once). words: 64-bit words of them, in the cheapest legal
    format of each input stream. longest: words of its longest synapse list. input_axons: axons into the slice. formats: one per
    input stream.
    """

    group: str
    channels: tuple[int, int]
    positions: tuple[int, int]
    neurons: int
    synapses: int
    words: int
    longest: int
    input_axons: int
    formats: tuple[str, ...]


@dataclass(frozen=True)
class Site:
    """Where a core is: chip, tile coordinates on its mesh, core within the tile."""

    chip: int
    x: int
    y: int
    core: int


@dataclass(frozen=True)
class CoreMapping:
    """cores[i] runs at sites[i]. layouts: per neuron group, what the ranges of its slices count along."""

    cores: tuple[tuple[Slice, ...], ...]
    sites: tuple[Site, ...]
    layouts: Mapping[str, Layout] = field(compare=False)  # follow from the graph

    @property
    def chips(self) -> int:
        """Chips in use."""
        return len({site.chip for site in self.sites})

    def channels_of(self, part: Slice) -> NDArray[np.int64]:
        """The channels of a slice, ascending."""
        return self.layouts[part.group].channels_in(part.channels)

    def positions_of(self, part: Slice) -> NDArray[np.int64]:
        """The flattened positions of a slice, ascending: their ranks number its neurons."""
        return self.layouts[part.group].positions_in(part.positions)

    def neurons_of(self, part: Slice, width: int) -> NDArray[np.int64]:
        """The neurons of a slice, counted through its group's [C, P] row by row, ascending. width: P, all positions."""
        return (self.channels_of(part)[:, None] * width + self.positions_of(part)).ravel()

    def slices_of(self) -> Mapping[str, list[tuple[int, Slice]]]:
        """Per neuron group, its slices with the index of their core."""
        found: dict[str, list[tuple[int, Slice]]] = {}
        for index, slices in enumerate(self.cores):
            for part in slices:
                found.setdefault(part.group, []).append((index, part))
        return found


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled network: what runs, where, for which chip, and (graph.log) how it came to be."""

    graph: Graph
    mapping: CoreMapping
    chip: ChipSpec
    options: CompileOptions
    source_hash: str = ""
