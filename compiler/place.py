"""place: cores in program order onto the mesh, row by row, chip after chip."""

from __future__ import annotations

from pumice.compiler.ir import Graph
from pumice.compiler.options import CompileOptions
from pumice.compiler.program import CoreMapping, Partition, Program, Site
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import ChipSpec


def place(parts: Partition, graph: Graph, chip: ChipSpec, options: CompileOptions, source_hash: str = "") -> Program:
    """The program with every core at its site. Raises DoesNotFit where a chip would hold too many synapses."""
    sites = tuple(site(index, chip) for index in range(len(parts.cores)))
    check_chips(parts, sites, chip)
    return Program(graph, CoreMapping(parts.cores, sites), chip, options, source_hash)


def site(index: int, chip: ChipSpec) -> Site:
    """Where the index-th core is."""
    number, within = divmod(index, chip.usable_cores_per_chip)
    tile, core = divmod(within, chip.cores_per_tile)
    return Site(number, tile % chip.mesh_columns, tile // chip.mesh_columns, core)


def check_chips(parts: Partition, sites: tuple[Site, ...], chip: ChipSpec) -> None:
    """Raises DoesNotFit where a chip's published synapse count is exceeded."""
    if chip.synapses_per_chip is None:
        return
    held: dict[int, int] = {}
    for slices, where in zip(parts.cores, sites, strict=True):
        held[where.chip] = held.get(where.chip, 0) + sum(part.synapses for part in slices)
    for number, used in held.items():
        if used > chip.synapses_per_chip:
            raise DoesNotFit(
                "synapses per chip",
                used,
                chip.synapses_per_chip,
                f"chip {number}",
                "spread the network over more chips",
            )
