"""What is illegal about a mapping: every rule is checked, and every violation named with used and limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.axons import RESOURCE, output_axons
from pumice.compiler.mapping.traffic import Cores, traffic_of
from pumice.compiler.mapping.usage import Network, network_of, violations
from pumice.compiler.program import CoreMapping, Program, Site, Slice
from pumice.hwsim.spec import ChipSpec


def mapping_problems(program: Program) -> list[str]:
    """Every violation of a program's mapping: neurons on no core or on two, false resource counts, sites that are none, limits of
    cores and chips. Limits are held against what slices really take, whatever is stored; slices that cannot be are left out."""
    network, mapping = network_of(program.graph, program.chip), program.mapping
    problems = [*_sites(mapping, program.chip), *_groups(mapping, network)]
    cores = _real(mapping, network)
    problems += _cores(cores, network)
    if len(mapping.sites) == len(cores):
        problems += [*_chips(cores, mapping.sites, program.chip), *_output_axons(cores, mapping.sites, network)]
    return problems


def _sites(mapping: CoreMapping, chip: ChipSpec) -> Iterator[str]:
    if len(mapping.sites) != len(mapping.cores):
        yield f"{len(mapping.sites):,} sites for {len(mapping.cores):,} cores"
    held: dict[Site, int] = {}
    for index, site in enumerate(mapping.sites):
        if site in held:
            yield f"core {index}: {_told(site)} is also that of core {held[site]}, cores on a site 2/1"
        held.setdefault(site, index)
        yield from (f"core {index}: {_told(site)}: {text}" for text in _off_the_mesh(site, chip))


def _told(site: Site) -> str:
    return f"site (chip {site.chip}, tile ({site.x}, {site.y}), core {site.core})"


def _off_the_mesh(site: Site, chip: ChipSpec) -> Iterator[str]:
    sizes = {
        "chip": (site.chip, chip.max_chips),
        "column": (site.x, chip.mesh_columns),
        "row": (site.y, chip.mesh_rows),
        "core of the tile": (site.core, chip.cores_per_tile),
    }
    for what, (number, size) in sizes.items():
        if not 0 <= number < size:
            yield f"{what} {number}, there are {size:,}, from 0"


def _groups(mapping: CoreMapping, network: Network) -> Iterator[str]:
    placed = mapping.slices_of()
    for name in sorted(set(placed) - set(network.groups)):
        yield f"{name}: not a layer of the network"
    for name, layout in network.layouts.items():
        covered = np.zeros(layout.extent, np.int64)
        for core, part in placed.get(name, ()):
            if not _within(part, layout.extent):
                yield f"core {core}: {name}: channels {part.channels} or positions {part.positions} outside of {layout.extent}"
                continue
            covered[slice(*part.channels), slice(*part.positions)] += 1
            yield from (f"core {core}: {name}: {text}" for text in _false_counts(part, network))
        yield from _coverage(name, covered)


def _within(part: Slice, extent: tuple[int, int]) -> bool:
    return all(0 <= a < b <= end for (a, b), end in zip((part.channels, part.positions), extent, strict=True))


def _false_counts(part: Slice, network: Network) -> Iterator[str]:
    real = network.slice_of(part.group, part.channels, part.positions)
    for what in ("neurons", "synapses", "words", "longest", "input_axons", "formats"):
        told, true = getattr(part, what), getattr(real, what)
        if told != true:
            yield f"stored resource counts do not match its weights: {what} {told}, really {true}"


def _coverage(name: str, covered: NDArray[np.int64]) -> Iterator[str]:
    lost, twice = int((covered == 0).sum()), int((covered > 1).sum())
    if lost:
        yield f"{name}: {lost:,}/{covered.size:,} neurons are on no core"
    if twice:
        yield f"{name}: {twice:,}/{covered.size:,} neurons are on more than one core"


def _real(mapping: CoreMapping, network: Network) -> Cores:
    """The cores with what their slices really take; without slices that cannot be."""
    return [
        [
            network.slice_of(part.group, part.channels, part.positions)
            for part in core
            if part.group in network.groups and _within(part, network.layouts[part.group].extent)
        ]
        for core in mapping.cores
    ]


def _cores(cores: Cores, network: Network) -> Iterator[str]:
    for index, core in enumerate(cores):
        names = ", ".join(sorted({part.group for part in core}))
        for resource, used, limit in violations(core, network):
            yield f"core {index} ({names}): {resource} {used:,}/{limit:,}"


def _chips(cores: Cores, sites: tuple[Site, ...], chip: ChipSpec) -> Iterator[str]:
    held: dict[int, int] = {}
    synapses: dict[int, int] = {}
    for core, site in zip(cores, sites, strict=True):
        held[site.chip] = held.get(site.chip, 0) + 1
        synapses[site.chip] = synapses.get(site.chip, 0) + sum(part.synapses for part in core)
    limits: Mapping[str, tuple[dict[int, int], int | None]] = {
        "cores per chip": (held, chip.usable_cores_per_chip),
        "synapses per chip": (synapses, chip.synapses_per_chip),
    }
    if len(held) > chip.max_chips:
        yield f"the whole network: chips {len(held):,}/{chip.max_chips:,}"
    for resource, (used, limit) in limits.items():
        for number, count in sorted(used.items()):
            if limit is not None and count > limit:
                yield f"chip {number}: {resource} {count:,}/{limit:,}"


def _output_axons(cores: Cores, sites: tuple[Site, ...], network: Network) -> Iterator[str]:
    limit = network.chip.output_axons_per_core
    if limit is None or not cores:
        return
    used = output_axons(traffic_of(cores, network, {}), sites, network.chip)
    for core in np.flatnonzero(used > limit):
        names = ", ".join(sorted({part.group for part in cores[core]}))
        yield f"core {core} ({names}): {RESOURCE} {used[core]:,}/{limit:,}"
