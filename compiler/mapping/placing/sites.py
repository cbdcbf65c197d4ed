"""The sites of a system in the orders in which placements walk them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.curve import grid_coordinates, hilbert_index
from pumice.compiler.program import Site
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import ChipSpec

Chips = Callable[[int], list[Site]]  # the sites of the n-th chip of a walk, in its order
SPARE = 10  # cores for each empty site that a search may use: of thousands it would only be slower
Tiles = list[tuple[int, int]]  # (x, y) of a chip's mesh


def row_by_row(chip: ChipSpec) -> Chips:
    """Tiles row by row, chip after chip."""
    tiles = [(x, y) for y in range(chip.mesh_rows) for x in range(chip.mesh_columns)]
    return lambda n: _sites(chip, tiles, n)


def along_curve(chip: ChipSpec) -> Chips:
    """Tiles along a Hilbert curve, rows of chips to and fro, so that each chip stands beside the one before."""
    tiles = curve_of_tiles(chip)
    return lambda n: _sites(chip, tiles, to_and_fro(n, chip.chip_columns))


def _sites(chip: ChipSpec, tiles: Tiles, number: int) -> list[Site]:
    held = [Site(number, x, y, core) for x, y in tiles for core in range(chip.cores_per_tile)]
    return held[: chip.usable_cores_per_chip]


def to_and_fro(n: int, columns: int) -> int:
    """The number of the n-th chip of a walk along rows of `columns`, every other row backwards."""
    row, column = divmod(n, columns)
    return row * columns + (column if row % 2 == 0 else columns - 1 - column)


def curve_of_tiles(chip: ChipSpec) -> Tiles:
    """The tiles of a chip along a Hilbert curve: squares side by side where the mesh is made of them, since each square's curve
    ends where the next one's begins."""
    rows, columns = chip.mesh_rows, chip.mesh_columns
    order = rows.bit_length() - 1
    cells = [(x, y) for y in range(rows) for x in range(columns)]
    if rows == 1 << order and columns % rows == 0:
        x, y = (np.array(side, np.int64) for side in zip(*cells, strict=True))
        ranks = (x // rows << 2 * order) + hilbert_index(x % rows, y, order)
        return [cells[k] for k in np.argsort(ranks, kind="stable")]
    return [cells[k] for k in np.argsort(grid_coordinates(rows, columns), kind="stable")]


def spread(chips: Chips, synapses: Sequence[int], chip: ChipSpec) -> tuple[list[Site], NDArray[np.int64]]:
    """(all sites of the chips that cores take, the site of each core and then of each empty one [S]): cores in order, a new chip
    where one has no free core or would hold too many synapses. Raises DoesNotFit beyond the chips allowed."""
    runs = list(chip_runs(synapses, chip))
    if len(runs) > chip.max_chips:
        hint = f"allow {len(runs):,} chips, or use fewer weight bits, a lower retention or pruned weights"
        raise DoesNotFit("chips", len(runs), chip.max_chips, f"the whole network ({len(synapses):,} cores)", hint)
    sites = [site for n in range(len(runs)) for site in chips(n)]
    size = chip.usable_cores_per_chip
    taken = [n * size + k for n, cores in enumerate(runs) for k in range(cores)]
    empty = sorted(set(range(len(sites))) - set(taken))
    return sites, np.array([*taken, *empty], np.int64)


def trimmed(sites: Sequence[Site], first: NDArray[np.int64], cores: int) -> tuple[list[Site], NDArray[np.int64]]:
    """The same with few of the empty sites."""
    kept = np.sort(first[: cores + cores // SPARE + 1])
    return [sites[k] for k in kept], np.searchsorted(kept, first[: len(kept)]).astype(np.int64)


def chip_runs(synapses: Iterable[int], chip: ChipSpec) -> Iterator[int]:
    """How many cores each chip takes."""
    cores, held, limit = 0, 0, chip.synapses_per_chip
    for index, own in enumerate(synapses):
        if limit is not None and own > limit:
            raise DoesNotFit("synapses per chip", own, limit, f"core {index}", "use a chip with more cores or memory")
        if cores == chip.usable_cores_per_chip or (limit is not None and held + own > limit):
            yield cores
            cores, held = 0, 0
        cores, held = cores + 1, held + own
    yield cores
