"""The Hilbert curve: an order of the cells of a grid in which neighbours along the curve are neighbours in the grid.

One function serves positions of feature maps, tokens, and tiles of a mesh. Source: D. Hilbert, Math. Annalen 38 (1891).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
ORDER = 12  # cells of the square that grids of any size are laid over: 2^12 a side


def hilbert_index(x: Ints, y: Ints, order: int) -> Ints:
    """Where cells (x, y) of a square of 2^order a side come along the curve, from 0."""
    x, y, index = x.copy(), y.copy(), np.zeros_like(x)
    for level in reversed(range(order)):
        right, upper = (x >> level) & 1, (y >> level) & 1
        index += ((3 * right) ^ upper) << (2 * level)
        x, y = _turned(x, y, right, upper, (1 << level) - 1)
    return index


def _turned(x: Ints, y: Ints, right: Ints, upper: Ints, mask: int) -> tuple[Ints, Ints]:
    """The coordinates within a quadrant, turned so that its part of the curve runs as the whole does."""
    x, y = x & mask, y & mask
    flipped = (upper == 0) & (right == 1)
    x, y = np.where(flipped, mask - x, x), np.where(flipped, mask - y, y)
    return np.where(upper == 0, y, x), np.where(upper == 0, x, y)


def grid_coordinates(height: int, width: int) -> Floats:
    """Where each cell of a grid [H * W] lies along the curve, in [0, 1): the same for the same place at any resolution."""
    side = 1 << ORDER
    if min(height, width) == 1:
        cells = height * width
        return (np.arange(cells) + 0.5) / cells
    y = (np.arange(height) * 2 + 1) * side // (2 * height)
    x = (np.arange(width) * 2 + 1) * side // (2 * width)
    index = hilbert_index(np.tile(x, height), np.repeat(y, width), ORDER)
    return (index + 0.5) / (side * side)
