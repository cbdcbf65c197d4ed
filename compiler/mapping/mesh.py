"""Where cores lie, how far apart, and which links their messages load: X-Y routing over the joined meshes of all chips.

Chips stand in rows of `chip_columns`; a link at a chip's border leads to its neighbour. A message runs along X to its column,
then along Y. Distances are in links; cores of one tile share a router, so no link lies between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Site
from pumice.hwsim.spec import ChipSpec

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Places:
    """Sites as arrays [S]: tile coordinates over all chips, and the chip's."""

    x: Ints
    y: Ints
    chip_x: Ints
    chip_y: Ints

    def hops(self, a: Ints, b: Ints) -> tuple[Ints, Ints, Ints]:
        """(E-W links, N-S links, links between chips) from places a to places b; the first two are within chips."""
        across, down = np.abs(self.chip_x[a] - self.chip_x[b]), np.abs(self.chip_y[a] - self.chip_y[b])
        return np.abs(self.x[a] - self.x[b]) - across, np.abs(self.y[a] - self.y[b]) - down, across + down


def places_of(sites: Sequence[Site], chip: ChipSpec) -> Places:
    """The sites' coordinates over all chips."""
    number = np.array([site.chip for site in sites], np.int64)
    chip_y, chip_x = np.divmod(number, chip.chip_columns)
    x = chip_x * chip.mesh_columns + np.array([site.x for site in sites], np.int64)
    y = chip_y * chip.mesh_rows + np.array([site.y for site in sites], np.int64)
    return Places(x, y, chip_x, chip_y)


def distances(places: Places, crossing: float = 0.0) -> NDArray[np.float32]:
    """Links between any two places, [S, S]; each link between chips counts `crossing` more."""
    out = np.abs(places.x[:, None] - places.x) + np.abs(places.y[:, None] - places.y)
    across = np.abs(places.chip_x[:, None] - places.chip_x) + np.abs(places.chip_y[:, None] - places.chip_y)
    return np.asarray(out + crossing * across, np.float32)


@dataclass(frozen=True, eq=False)
class LinkLoads:
    """Messages over each link, per direction: east[y, x] leaves tile (x, y) towards x + 1; west towards x - 1; south towards
    y + 1; north towards y - 1."""

    east: Floats
    west: Floats
    south: Floats
    north: Floats

    @property
    def largest(self) -> float:
        """Messages over the busiest link."""
        return max(float(loads.max(initial=0)) for loads in (self.east, self.west, self.south, self.north))


def link_loads(places: Places, a: Ints, b: Ints, messages: Floats) -> LinkLoads:
    """Loads of all links, when places a[i] send messages[i] to places b[i] along X, then along Y."""
    height, width = int(places.y.max(initial=0)) + 1, int(places.x.max(initial=0)) + 1
    xa, ya, xb, yb = places.x[a], places.y[a], places.x[b], places.y[b]
    east = _spans(ya, xa, xb, messages, (height, width))
    west = _spans(ya, xb, xa, messages, (height, width))
    south = _spans(xb, ya, yb, messages, (width, height)).T
    north = _spans(xb, yb, ya, messages, (width, height)).T
    return LinkLoads(east, np.roll(west, 1, axis=1), south, np.roll(north, 1, axis=0))


def _spans(line: Ints, start: Ints, end: Ints, messages: Floats, shape: tuple[int, int]) -> Floats:
    """Messages over each step of a line, [lines, length]: those that run upwards from `start` to `end`."""
    up = end > start
    change = np.zeros((shape[0], shape[1] + 1))
    np.add.at(change, (line[up], start[up]), messages[up])
    np.add.at(change, (line[up], end[up]), -messages[up])
    return np.cumsum(change, axis=1)[:, :-1]
