"""The links of the mesh in a run: how many messages cross each, and whose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.mesh import LinkLoads, Places, link_loads, places_of
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable

Direction = Literal["east", "west", "south", "north"]
DIRECTIONS: tuple[Direction, ...] = ("east", "west", "south", "north")
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class BusyLink:
    """The link that leaves tile (x, y) of a chip in a direction; between_chips: whether it leads to another chip. Messages over
    it per sample, and by the layer that sent them, most first."""

    chip: int
    x: int
    y: int
    direction: Direction
    between_chips: bool
    messages: float
    layers: dict[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The link as JSON-ready values."""
        return dict(vars(self))


def run_loads(program: Program, counts: CountTable) -> LinkLoads:
    """Messages over each link per sample of a run, under X-Y routing. Those within a tile, and the host's, cross none."""
    flows, places = counts.flows, places_of(program.mapping.sites, program.chip)
    total = link_loads(places, flows.source, flows.target, flows.messages.sum(axis=1))  # whole numbers, so exact
    return LinkLoads(*(getattr(total, direction) / counts.samples for direction in DIRECTIONS))


def busiest_links(program: Program, counts: CountTable, most: int = 5) -> list[BusyLink]:
    """The links that most messages of a run cross, busiest first; none that no message crosses."""
    loads = run_loads(program, counts)
    found = [
        (-load, y, x, direction)
        for direction in DIRECTIONS
        for (y, x), load in np.ndenumerate(getattr(loads, direction))
        if load > 0
    ]
    return [_busy(program, counts, direction, x, y) for _, y, x, direction in sorted(found)[:most]]


def _busy(program: Program, counts: CountTable, direction: Direction, x: int, y: int) -> BusyLink:
    chip = program.chip
    column, row = x // chip.mesh_columns, y // chip.mesh_rows
    ahead = (x + (direction == "east") - (direction == "west"), y + (direction == "south") - (direction == "north"))
    layers = _layers_over(program, counts, direction, x, y)
    return BusyLink(
        chip=row * chip.chip_columns + column,
        x=x % chip.mesh_columns,
        y=y % chip.mesh_rows,
        direction=direction,
        between_chips=(ahead[0] // chip.mesh_columns, ahead[1] // chip.mesh_rows) != (column, row),
        messages=sum(layers.values()),
        layers=layers,
    )


def _layers_over(program: Program, counts: CountTable, direction: Direction, x: int, y: int) -> dict[str, float]:
    flows = counts.flows
    over = np.flatnonzero(
        crosses(places_of(program.mapping.sites, program.chip), flows.source, flows.target, direction, x, y)
    )
    sums: dict[str, float] = {}
    for f in over:
        sums[flows.layers[f]] = sums.get(flows.layers[f], 0.0) + float(flows.messages[f].sum()) / counts.samples
    return dict(sorted(((name, n) for name, n in sums.items() if n), key=lambda entry: (-entry[1], entry[0])))


def crosses(
    places: Places, a: NDArray[np.int64], b: NDArray[np.int64], direction: Direction, x: int, y: int
) -> NDArray[np.bool_]:
    """Which of the ways from places a to places b, first along X, then along Y, leave tile (x, y) in a direction."""
    xa, ya, xb, yb = places.x[a], places.y[a], places.x[b], places.y[b]
    match direction:
        case "east":
            return np.asarray((ya == y) & (xa <= x) & (x < xb))
        case "west":
            return np.asarray((ya == y) & (xb < x) & (x <= xa))
        case "south":
            return np.asarray((xb == x) & (ya <= y) & (y < yb))
        case "north":
            return np.asarray((xb == x) & (yb < y) & (y <= ya))
