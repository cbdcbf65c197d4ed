"""Cores as squares: striped by the families of the layers that they hold. Shared by the demo's picture and that of a mapping."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pumice.compiler.program import Program
from pumice.runtime.picture_panels import FAMILIES, FREE, INK, MUTED, family_of

Box = tuple[float, float, float, float]  # left, top, width, height
MARGIN = 0.06  # around a core, in cores


@dataclass(frozen=True)
class PlacedCore:
    """One core in use: chip, tile (x, y), core within the tile, the layers that it holds with their neurons on it, and the most
    neurons that it could hold."""

    chip: int
    x: int
    y: int
    core: int
    layers: tuple[tuple[str, int], ...]
    limit: int

    @property
    def neurons(self) -> int:
        return sum(neurons for _, neurons in self.layers)

    def shares(self) -> dict[str, float]:
        """The share of the core's neurons that is of each family, in the order of the legend."""
        held = dict.fromkeys(FAMILIES, 0)
        for layer, neurons in self.layers:
            held[family_of(layer)] += neurons
        return {family: neurons / self.neurons for family, neurons in held.items() if neurons}


def placed_cores(program: Program) -> tuple[PlacedCore, ...]:
    """The cores of a program where they lie."""
    mapping, limit = program.mapping, program.chip.neurons_per_core
    return tuple(
        PlacedCore(site.chip, site.x, site.y, site.core, tuple((p.group, p.neurons) for p in core), limit)
        for core, site in zip(mapping.cores, mapping.sites, strict=True)
    )


def tile_grid(per_tile: int) -> tuple[int, int]:
    """Columns and rows in which a tile's cores are drawn."""
    across = math.ceil(math.sqrt(per_tile))
    return across, math.ceil(per_tile / across)


def stripes(core: PlacedCore | None, box: Box) -> list[tuple[Box, str]]:
    """A core as coloured boxes one under the other, as high as the families' shares of its neurons; a free core is one."""
    left, top, width, height = box
    if core is None:
        return [(box, FREE)]
    found = []
    for family, share in core.shares().items():
        found.append(((left, top, width, height * share), FAMILIES[family][0]))
        top += height * share
    return found


def tile_boxes(cores: Sequence[PlacedCore | None], left: float, top: float, size: float) -> list[tuple[Box, str]]:
    """The cores of a tile as coloured boxes, each core `size` wide."""
    across, _ = tile_grid(len(cores))
    inner = size * (1 - 2 * MARGIN)
    return [
        striped
        for k, core in enumerate(cores)
        for striped in stripes(
            core, (left + size * (k % across + MARGIN), top + size * (k // across + MARGIN), inner, inner)
        )
    ]


def draw_boxes(axes: Any, boxes: Iterable[tuple[Box, str]]) -> None:
    """Fills boxes with their colours."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    boxes = list(boxes)
    patches = [Rectangle((left, top), width, height) for (left, top, width, height), _ in boxes]
    colors = [color for _, color in boxes]
    axes.add_collection(PatchCollection(patches, facecolors=colors, edgecolors="none", linewidths=0, clip_on=False))


def draw_cores(axes: Any, cores: Sequence[PlacedCore], mesh: tuple[int, int, int]) -> None:
    """The first chip: cores in use in their families' colours, tiles set apart. mesh: tile columns, tile rows, cores per tile."""
    columns, rows, per_tile = mesh
    across, down = tile_grid(per_tile)
    used = {(c.x, c.y, c.core): c for c in cores if c.chip == 0}
    for x in range(columns):
        for y in range(rows):
            held = [used.get((x, y, core)) for core in range(per_tile)]
            draw_boxes(axes, tile_boxes(held, x * (across + 0.5), y * (down + 0.5), 1.0))
    width = columns * (across + 0.5) - 0.5
    axes.set_xlim(-0.1, width + 0.1)
    axes.set_ylim(rows * (down + 0.5) - 0.4, -0.1)
    axes.set_aspect("equal", anchor="W")
    axes.set_xticks([])
    axes.set_yticks([])
    height = rows * (down + 0.5) - 0.5
    for index, entry in enumerate(legend(cores)):
        draw_entry(axes, entry, width + 0.7, (index + 0.5) * height / len(FAMILIES))


@dataclass(frozen=True)
class LegendEntry:
    """A family in the legend: how many cores its neurons take, where cores of several families count in part, and how full they
    are."""

    family: str
    color: str
    cores: float
    full: float

    @property
    def detail(self) -> str:
        """The entry's figures, for people."""
        if not self.cores:
            return "no core"
        number = f"{self.cores:.1f}".removesuffix(".0") if self.cores >= 0.05 else "<0.1"
        full = f"{self.full:.0%}" if self.full >= 0.01 else "<1%"
        return f"{number} core{'' if number == '1' else 's'}, {full} full"


def legend(cores: Iterable[PlacedCore]) -> list[LegendEntry]:
    """All families with the cores that they take: the sum over families is the number of cores."""
    held, full = dict.fromkeys(FAMILIES, 0.0), dict.fromkeys(FAMILIES, 0.0)
    for core in cores:
        for family, share in core.shares().items():
            held[family] += share
            full[family] += share * core.neurons / core.limit
    return [
        LegendEntry(name, color, held[name], full[name] / held[name] if held[name] else 0.0)
        for name, (color, _) in FAMILIES.items()
    ]


def draw_entry(axes: Any, entry: LegendEntry, left: float, y: float) -> None:
    """A family's colour, name and figures; left and y in cores."""
    draw_boxes(axes, [((left, y - 0.4, 0.8, 0.8), entry.color)])
    axes.text(left + 1.2, y, entry.family, fontsize=9, color=INK, va="center")
    axes.text(left + 8.5, y, entry.detail, fontsize=8.5, color=MUTED, va="center")
