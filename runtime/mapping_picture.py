"""A mapping as a picture: which core holds what on every chip, and how loaded the links between tiles are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.mesh import LinkLoads
from pumice.compiler.program import Program
from pumice.hwsim.spec import ChipSpec
from pumice.runtime.links import DIRECTIONS, Direction
from pumice.runtime.picture import DPI, INK, MUTED, PAPER, bare_axes, draw_headline, quantity
from pumice.runtime.picture_cores import Box, draw_boxes, draw_entry, legend, placed_cores, tile_boxes, tile_grid
from pumice.runtime.picture_panels import WRONG
from pumice.runtime.png import write_png

WIDTH, HEAD, FOOT = 16.0, 1.55, 1.65  # inches: the page, above the mesh, below it
MOST_HEIGHT = 22.0  # of the mesh, inches
SIDE = 0.035  # margins left and right, of the page
TILE, BETWEEN_CHIPS = 0.58, 0.62  # of the distance between two tiles: a tile, and what is added between chips
LANE = 0.085  # from the middle of a gap to the lane of one direction
CHIP = "#F1EFE8"


@dataclass(frozen=True)
class Canvas:
    """Where the tiles of all chips lie on the picture, in distances between tiles: columns and rows of chips drawn."""

    chip: ChipSpec
    columns: int
    rows: int

    def left(self, x: int) -> float:
        """The left edge of tile column x of all chips."""
        return x + BETWEEN_CHIPS * (x // self.chip.mesh_columns)

    def top(self, y: int) -> float:
        """The top edge of tile row y of all chips."""
        return y + BETWEEN_CHIPS * (y // self.chip.mesh_rows)

    @property
    def size(self) -> tuple[float, float]:
        """Width and height, with a margin around the outer chips."""
        across, down = self.columns * self.chip.mesh_columns - 1, self.rows * self.chip.mesh_rows - 1
        return self.left(across) + TILE + 0.8, self.top(down) + TILE + 0.8

    def ends(self, direction: Direction, x: int, y: int) -> tuple[tuple[float, float], tuple[float, float]]:
        """Where the link that leaves tile (x, y) in a direction begins and ends, on the lane of its direction."""
        middle_x, middle_y = self.left(x) + TILE / 2, self.top(y) + TILE / 2
        match direction:
            case "east":
                return (self.left(x) + TILE, middle_y - LANE), (self.left(x + 1), middle_y - LANE)
            case "west":
                return (self.left(x), middle_y + LANE), (self.left(x - 1) + TILE, middle_y + LANE)
            case "south":
                return (middle_x + LANE, self.top(y) + TILE), (middle_x + LANE, self.top(y + 1))
            case "north":
                return (middle_x - LANE, self.top(y)), (middle_x - LANE, self.top(y - 1) + TILE)


def canvas_of(program: Program) -> Canvas:
    """The canvas for all chips of a program, from the first to the last in use."""
    rows, columns = np.divmod([site.chip for site in program.mapping.sites], program.chip.chip_columns)
    return Canvas(program.chip, int(columns.max()) + 1, int(rows.max()) + 1)


def draw_mapping(path: Path, program: Program, loads: LinkLoads, title: str) -> None:
    """Draws a program's cores and the loads of its links, in messages per sample, as a PNG at `path`, whole or not at all.

    Raises BackendUnavailable without matplotlib, InputError where `path` cannot be written.
    """
    canvas = canvas_of(program)
    width, height = canvas.size
    pitch = min(WIDTH * (1 - 2 * SIDE) / width, MOST_HEIGHT / height)  # inches between tiles
    size = (WIDTH, HEAD + FOOT + height * pitch)
    write_png(path, size, DPI, PAPER, lambda figure: _fill(figure, program, loads, title, canvas, pitch))


def _fill(figure: Any, program: Program, loads: LinkLoads, title: str, canvas: Canvas, pitch: float) -> None:
    width, height = canvas.size
    page = figure.get_size_inches()
    _head(figure, program, loads, title)
    box = ((1 - width * pitch / WIDTH) / 2, FOOT / page[1], width * pitch / WIDTH, height * pitch / page[1])
    axes = bare_axes(figure, box)
    axes.set_xlim(-0.4, width - 0.4)
    axes.set_ylim(height - 0.4, -0.4)
    axes.set_xticks([])
    axes.set_yticks([])
    _draw_chips(axes, program, canvas, pitch)
    _draw_tiles(axes, program, canvas)
    _draw_links(axes, loads, canvas, pitch)
    _foot(figure, program, loads)


def _head(figure: Any, program: Program, loads: LinkLoads, title: str) -> None:
    height = figure.get_size_inches()[1]
    figure.text(SIDE, 1 - 0.62 / height, "Pumice", fontsize=30, fontweight="bold", color=INK, va="baseline")
    figure.text(SIDE + 0.0015, 1 - 0.80 / height, title, fontsize=10.5, color=MUTED, va="top", linespacing=1.4)
    draw_headline(figure, tiles(program, loads), page=height)


def tiles(program: Program, loads: LinkLoads) -> list[tuple[str, str, str]]:
    """The headline: (number, what it is, detail)."""
    mapping, chip = program.mapping, program.chip
    hops = sum(float(getattr(loads, direction).sum()) for direction in DIRECTIONS)
    many = mapping.chips > 1
    neurons = sum(part.neurons for core in mapping.cores for part in core)
    return [
        (f"{len(mapping.cores):,}", "cores", f"of {mapping.chips * chip.usable_cores_per_chip:,}"),
        (f"{mapping.chips:,}", f"chip{'s' * many}", chip.name),
        (quantity(neurons), "neurons", "mapped"),
        (quantity(hops), "spike-weighted hops", "messages times links,\na sample"),
        (quantity(loads.largest), "max link load", "messages over the\nbusiest link, a sample"),
    ]


def _draw_chips(axes: Any, program: Program, canvas: Canvas, pitch: float) -> None:
    """A ground for each chip in use, with its number."""
    chip, grounds = canvas.chip, list[tuple[Box, str]]()
    for number in sorted({site.chip for site in program.mapping.sites}):
        row, column = divmod(number, chip.chip_columns)
        left, top = canvas.left(column * chip.mesh_columns) - 0.26, canvas.top(row * chip.mesh_rows) - 0.26
        box = (left, top, chip.mesh_columns - 1 + TILE + 0.52, chip.mesh_rows - 1 + TILE + 0.52)
        grounds.append((box, CHIP))
        size = min(9.0, max(6.0, pitch * 72 * 0.25))
        axes.text(left, top - 0.03, f"chip {number}", fontsize=size, color=MUTED, va="bottom", ha="left")
    draw_boxes(axes, grounds)


def _draw_tiles(axes: Any, program: Program, canvas: Canvas) -> None:
    """Every tile of the chips in use, with its cores."""
    chip = canvas.chip
    used = {(core.chip, core.x, core.y, core.core): core for core in placed_cores(program)}
    core_size, boxes = TILE / max(tile_grid(chip.cores_per_tile)), list[tuple[Box, str]]()
    for number in sorted({site.chip for site in program.mapping.sites}):
        row, column = divmod(number, chip.chip_columns)
        for x, y in np.ndindex(chip.mesh_columns, chip.mesh_rows):
            held = [used.get((number, x, y, core)) for core in range(chip.cores_per_tile)]
            left, top = canvas.left(column * chip.mesh_columns + x), canvas.top(row * chip.mesh_rows + y)
            boxes += tile_boxes(held, left, top, core_size)
    draw_boxes(axes, boxes)


def _loaded(loads: LinkLoads) -> Iterator[tuple[float, Direction, int, int]]:
    """Links that messages cross: load, direction, and the tile that they leave."""
    for direction in DIRECTIONS:
        array: NDArray[np.float64] = getattr(loads, direction)
        for y, x in np.argwhere(array > 0):
            yield float(array[y, x]), direction, int(x), int(y)


def _draw_links(axes: Any, loads: LinkLoads, canvas: Canvas, pitch: float) -> None:
    """Links as lines, wider and darker with their load, the least loaded first; a ring around the busiest."""
    from matplotlib.collections import LineCollection

    found = sorted(_loaded(loads))
    if not found:
        return
    shares = np.array([load for load, *_ in found]) / found[-1][0]
    lines = [canvas.ends(direction, x, y) for _, direction, x, y in found]
    widths = pitch * 72 * LANE * 1.7 * np.maximum(shares, 0.12)
    axes.add_collection(LineCollection(lines, linewidths=widths, colors=shade(shares), capstyle="butt", zorder=3))
    (xa, ya), (xb, yb) = lines[-1]
    points = max(8.0, pitch * 72 * 0.5)
    axes.plot((xa + xb) / 2, (ya + yb) / 2, "o", ms=points, mfc="none", mec=INK, mew=max(1.0, points / 18), zorder=4)


def shade(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Colours [n, 3] of links by their share of the largest load: from pale to crimson."""
    stops = np.array([[int(c[k : k + 2], 16) / 255 for k in (1, 3, 5)] for c in ("#BDB9AC", "#F0A35E", WRONG)])
    return np.stack([np.interp(shares, (0, 0.45, 1), stops[:, k]) for k in range(3)], axis=1)


def _foot(figure: Any, program: Program, loads: LinkLoads) -> None:
    """The legend: families with their cores, and the scale of the links."""
    height = figure.get_size_inches()[1]
    axes = bare_axes(figure, (SIDE, 0.12 / height, 1 - 2 * SIDE, (FOOT - 0.3) / height))
    axes.set_xlim(0, 62)
    axes.set_ylim(6.0, 0)
    axes.set_xticks([])
    axes.set_yticks([])
    for index, entry in enumerate(legend(placed_cores(program))):
        draw_entry(axes, entry, 17.0 * (index // 3), 1.5 * (index % 3) + 0.8)
    left, shares = 51.0, np.linspace(0, 1, 60)
    scale = [((left + 11 * k / 60, 0.4, 0.2, 0.8), _hex(color)) for k, color in enumerate(shade(shares))]
    draw_boxes(axes, scale)
    axes.text(left, 2.0, "0", fontsize=8.5, color=MUTED, va="center")
    axes.text(
        left + 11,
        2.0,
        f"{quantity(loads.largest)} messages a sample",
        fontsize=8.5,
        color=MUTED,
        va="center",
        ha="right",
    )
    note = "links between tiles, one lane a direction;\nringed: the busiest. Grey cores are free"
    axes.text(left, 3.9, note, fontsize=9, color=INK, va="center", linespacing=1.35)


def _hex(color: NDArray[np.float64]) -> str:
    return "#" + "".join(f"{round(255 * part):02X}" for part in color)
