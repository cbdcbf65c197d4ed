"""The placements by name: Pumice's own, and those of the field to compare with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.mesh import distances, places_of
from pumice.compiler.mapping.placing.exchange import exchange
from pumice.compiler.mapping.placing.force import force_directed
from pumice.compiler.mapping.placing.greedy import greedy
from pumice.compiler.mapping.placing.search import Task
from pumice.compiler.mapping.placing.sites import along_curve, row_by_row, spread, trimmed
from pumice.compiler.mapping.traffic import Traffic
from pumice.compiler.program import Site
from pumice.hwsim.spec import ChipSpec

Placement = Literal["sequential", "random", "greedy", "hilbert", "hilbert+force", "exchange"]
UNIT = 16  # of a message: traffic is counted in whole sixteenths, so that sums are exact
CROSSING = 1.0  # what a link between chips counts more than one within a chip


def place(
    method: Placement, traffic: Traffic, synapses: Sequence[int], chip: ChipSpec, seed: int = 0
) -> tuple[Site, ...]:
    """A site for each core. synapses: stored on each core. Raises DoesNotFit where the chips allowed cannot hold them."""
    start = row_by_row(chip) if method in ("sequential", "random", "greedy") else along_curve(chip)
    sites, first = spread(start, synapses, chip)
    if method in ("sequential", "hilbert"):
        return tuple(sites[k] for k in first[: traffic.cores])
    if method == "exchange":
        sites, first = trimmed(sites, first, traffic.cores)
    task = _task(traffic, sites, synapses, chip)
    found = _improved(method, task, first, traffic.cores, sites, chip, seed)
    return tuple(sites[k] for k in found[: traffic.cores])


def _improved(
    method: Placement,
    task: Task,
    first: NDArray[np.int64],
    cores: int,
    sites: Sequence[Site],
    chip: ChipSpec,
    seed: int,
) -> NDArray[np.int64]:
    match method:
        case "random":
            return _shuffled(task, first, seed)
        case "greedy":
            return greedy(task, cores)
        case "hilbert+force":
            return force_directed(task, first, distances(places_of(sites, chip)).astype(np.float64))
        case _:
            return exchange(task, first, _tiles(sites))


def _tiles(sites: Sequence[Site]) -> NDArray[np.int64]:
    """The tile of each site, numbered as they come."""
    tiles = [(site.chip, site.x, site.y) for site in sites]
    numbers = {tile: number for number, tile in enumerate(dict.fromkeys(tiles))}
    return np.array([numbers[tile] for tile in tiles], np.int64)


def _shuffled(task: Task, first: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """A random placement that holds the chips' limits; the given one if none of a hundred does."""
    rng = np.random.default_rng(seed)
    for _ in range(100):
        site = rng.permutation(first)
        held = np.bincount(task.chip[site], task.synapses)
        if task.limit is None or held.max() <= task.limit:
            return site
    return first


def _task(traffic: Traffic, sites: Sequence[Site], synapses: Sequence[int], chip: ChipSpec) -> Task:
    size = len(sites)
    between, stored = np.zeros((size, size)), np.zeros(size, np.int64)
    between[: traffic.cores, : traffic.cores] = np.rint(traffic.dense() * UNIT)
    stored[: traffic.cores] = synapses
    apart = distances(places_of(sites, chip), CROSSING).astype(np.float64)
    numbers = np.array([site.chip for site in sites], np.int64)
    return Task(between, apart, numbers, stored, chip.synapses_per_chip, np.ones(size, np.bool_))
