"""Values in lanes: a row for each channel at each timestep, in it a lane for each position of each sample.

Maps [H, W] have `border` empty columns and rows after each row and map, so that the taps of a convolution are offsets in a row;
they stay 0. Rows are multiples of 64 lanes and start where a register does, with slack before the first and after the last, for
taps reach beyond.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import TensorType
from pumice.runtime.fast.memory import Memory

ALIGNMENT = 64
PACKED = 0.75  # share of routed tokens up to which the others are left out of rows
Array = NDArray[Any]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Layout:
    """Where the positions of a node's values are. shape: of one sample, [C, …]; border: of maps, 0 for tokens."""

    samples: int
    shape: tuple[int, ...]
    border: int = 0

    @cached_property
    def grid(self) -> tuple[int, int]:
        """Rows and columns, with border; tokens are one row, vectors one position."""
        if len(self.shape) < 3:
            return 1, prod(self.shape[1:])
        return self.shape[1] + self.border, self.shape[2] + self.border

    @property
    def size(self) -> tuple[int, int, int, int]:
        """Rows and columns of positions, then of lanes."""
        rows, columns = self.grid
        return (rows - self.border, columns - self.border, rows, columns)

    @property
    def used(self) -> int:
        """Lanes of all samples, borders included."""
        return self.samples * prod(self.grid)

    @cached_property
    def lanes(self) -> int:
        """Lanes of a row: those used, and as many more as fill a tile."""
        return -(-self.used // ALIGNMENT) * ALIGNMENT

    def positions(self, rows: Array) -> Array:
        """The positions themselves of rows […, lanes], as a view […, B, H, W] of maps, […, B, N] of tokens."""
        split = rows[..., : self.used].reshape(*rows.shape[:-1], self.samples, *self.grid)
        if len(self.shape) < 3:
            return split[..., 0, :]
        return split[..., : self.shape[1], : self.shape[2]]

    @cached_property
    def valid(self) -> NDArray[np.uint8]:
        """1 in lanes that hold a position, [1, lanes]."""
        rows = np.zeros((1, self.lanes), np.uint8)
        self.positions(rows)[...] = 1
        return rows


@dataclass(frozen=True, eq=False)
class Packing:
    """The lanes of routed tokens, as many in each sample at each step. on: which they are, [T or 1, lanes] (uint8); before: how
    many stand before each tile, [T, tiles + 1]; kept: tokens of a sample."""

    on: Array
    before: Ints
    kept: int


@dataclass(frozen=True, eq=False)
class Held:
    """A node's values: rows [T, C, lanes], or [1, C, lanes] where all timesteps are alike. packing: where the rows hold routed
    tokens only; `layout` is then of as many tokens."""

    rows: Array
    layout: Layout
    packing: Packing | None = None

    def dense(self, steps: int) -> Ints:
        """As `compiler.walk` has them, [T, B, C, …] in int64."""
        parts = self.layout.positions(self.rows)
        whole = np.moveaxis(parts, 2, 1).astype(np.int64)
        whole = whole.reshape(*whole.shape[:2], *self.layout.shape)
        return whole if len(whole) == steps else np.broadcast_to(whole, (steps, *whole.shape[1:]))


def rows_of(layout: Layout, steps: int, dtype: type[Any], memory: Memory, clear: bool = False) -> Array:
    """Room for rows [steps, C, lanes] of a layout."""
    reach = (layout.border * (layout.grid[1] + 1) + ALIGNMENT) * np.dtype(dtype).itemsize
    return memory.array((steps, layout.shape[0], layout.lanes), dtype, reach, clear)


def held(values: Array, layout: Layout, dtype: type[Any], memory: Memory) -> Held:
    """Values [T, B, C, …] in lanes."""
    values = values[:1] if values.strides[0] == 0 else values  # one frame shown at every step
    rows = rows_of(layout, len(values), dtype, memory, clear=True)
    positions = layout.positions(rows)
    positions[...] = np.moveaxis(values, 1, 2).reshape(positions.shape)
    return Held(rows, layout)


def storage(out: TensorType) -> type[Any]:
    """The integers that hold a node's values: of currents 32 bits where they suffice, else the narrowest."""
    kinds: tuple[type[Any], ...] = (np.uint8, np.int8, np.int16, np.int32)
    kinds = kinds[3:] if out.dtype == "current" else kinds
    return next((kind for kind in kinds if np.iinfo(kind).min <= out.low and out.high <= np.iinfo(kind).max), np.int64)


def packing_of(on: Array, layout: Layout, steps: int) -> Packing | None:
    """How routed tokens can be packed; None where samples or steps differ in how many are routed, or hardly any is not.
    on: [T or 1, lanes]; layout: of any channels of these tokens."""
    counts = layout.positions(on).sum(axis=-1, dtype=np.int64)
    kept = int(counts.flat[0])
    if (counts != kept).any() or not 0 < kept <= PACKED * layout.grid[1]:
        return None
    tiles = on.shape[1] // ALIGNMENT
    before = np.zeros((steps, tiles + 1), np.int64)
    np.cumsum(on.reshape(len(on), tiles, ALIGNMENT).sum(axis=2, dtype=np.int64), axis=1, out=before[: len(on), 1:])
    before[len(on) :] = before[0]
    return Packing(on, before, kept)
