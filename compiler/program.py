"""What the compiler hands over: an integer graph, cut into slices, each slice on a core of the mesh."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pumice.compiler.ir import Graph
from pumice.compiler.options import CompileOptions
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class Slice:
    """The part of a neuron group that one core holds: channels [c0, c1) at positions [p0, p1) (flattened H·W or tokens).

    neurons: in the slice. synapses: stored weights (shared ones once). words: 64-bit words of them, at the bits that they need.
    input_axons: distinct source neurons that reach the slice.
    """

    group: str
    channels: tuple[int, int]
    positions: tuple[int, int]
    neurons: int
    synapses: int
    words: int
    input_axons: int


@dataclass(frozen=True)
class Partition:
    """Slices in program order; one core each, or several small ones together."""

    cores: tuple[tuple[Slice, ...], ...]


@dataclass(frozen=True)
class Site:
    """Where a core is: chip, tile coordinates on its mesh, core within the tile."""

    chip: int
    x: int
    y: int
    core: int


@dataclass(frozen=True)
class CoreMapping:
    """cores[i] runs at sites[i]."""

    cores: tuple[tuple[Slice, ...], ...]
    sites: tuple[Site, ...]

    @property
    def chips(self) -> int:
        """Chips in use."""
        return len({site.chip for site in self.sites})

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
