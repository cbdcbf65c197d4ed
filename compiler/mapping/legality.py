"""What is illegal about a mapping: every rule is checked, and every violation named with used and limit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.axons import RESOURCE, output_axons
from pumice.compiler.mapping.traffic import traffic_of
from pumice.compiler.mapping.usage import Network, network_of, violations
from pumice.compiler.program import CoreMapping, Program, Site, Slice
from pumice.hwsim.spec import ChipSpec


def mapping_problems(program: Program) -> list[str]:
    """Every violation of a program's mapping: neurons on no core or on two, false resource counts, sites that are none, limits of
    cores and chips."""
    network = network_of(program.graph, program.chip)
    mapping = program.mapping
    problems = [*_sites(mapping, program.chip), *_groups(mapping, network)]
    if problems:  # what follows relies on slices that exist
        return problems
    return [*_cores(mapping, network), *_chips(mapping, program.chip), *_output_axons(mapping, network)]


def _sites(mapping: CoreMapping, chip: ChipSpec) -> Iterator[str]:
    if len(mapping.sites) != len(mapping.cores) or len(set(mapping.sites)) != len(mapping.sites):
        yield "two cores share a site, or a core has none"
    for index, site in enumerate(mapping.sites):
        if not _exists(site, chip):
            yield f"core {index}: {site} is no site of {chip.max_chips:,} chips of {chip.name}"


def _exists(site: Site, chip: ChipSpec) -> bool:
    on_mesh = 0 <= site.x < chip.mesh_columns and 0 <= site.y < chip.mesh_rows
    return 0 <= site.chip < chip.max_chips and on_mesh and 0 <= site.core < chip.cores_per_tile


def _groups(mapping: CoreMapping, network: Network) -> Iterator[str]:
    placed = mapping.slices_of()
    for name in sorted(set(placed) - set(network.groups)):
        yield f"{name}: not a layer of the network"
    for name, layout in network.layouts.items():
        covered = np.zeros(layout.extent, np.int64)
        for _, part in placed.get(name, ()):
            if not _within(part, layout.extent):
                yield f"{name}: channels {part.channels} or positions {part.positions} outside of {layout.extent}"
                continue
            covered[slice(*part.channels), slice(*part.positions)] += 1
            if part != network.slice_of(name, part.channels, part.positions):
                yield f"{name}: stored resource counts do not match its weights"
        yield from _coverage(name, covered)


def _within(part: Slice, extent: tuple[int, int]) -> bool:
    return all(0 <= a < b <= end for (a, b), end in zip((part.channels, part.positions), extent, strict=True))


def _coverage(name: str, covered: NDArray[np.int64]) -> Iterator[str]:
    wrong = int((covered != 1).sum())
    if wrong:
        yield f"{name}: {wrong:,} neurons are on no core or on two"


def _cores(mapping: CoreMapping, network: Network) -> Iterator[str]:
    for index, core in enumerate(mapping.cores):
        names = ", ".join(sorted({part.group for part in core}))
        for resource, used, limit in violations(core, network):
            yield f"core {index} ({names}): {resource} {used:,}/{limit:,}"


def _chips(mapping: CoreMapping, chip: ChipSpec) -> Iterator[str]:
    cores: dict[int, int] = {}
    synapses: dict[int, int] = {}
    for core, site in zip(mapping.cores, mapping.sites, strict=True):
        cores[site.chip] = cores.get(site.chip, 0) + 1
        synapses[site.chip] = synapses.get(site.chip, 0) + sum(part.synapses for part in core)
    limits: Mapping[str, tuple[dict[int, int], int | None]] = {
        "cores per chip": (cores, chip.usable_cores_per_chip),
        "synapses per chip": (synapses, chip.synapses_per_chip),
    }
    for resource, (used, limit) in limits.items():
        for number, count in sorted(used.items()):
            if limit is not None and count > limit:
                yield f"chip {number}: {resource} {count:,}/{limit:,}"


def _output_axons(mapping: CoreMapping, network: Network) -> Iterator[str]:
    limit = network.chip.output_axons_per_core
    if limit is None:
        return
    used = output_axons(traffic_of(mapping.cores, network, {}), mapping.sites, network.chip)
    for core in np.flatnonzero(used > limit):
        yield f"core {core}: {RESOURCE} {used[core]:,}/{limit:,}"
