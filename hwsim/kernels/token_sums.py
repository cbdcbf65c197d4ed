"""Sums over channels that token scores are made of (`scoring.TokenSums`), of maps in lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(nogil=True, cache=True)
def sum_tokens(x: Array, width: int, beside: Array, sums: Array) -> None:
    """Of x [T, C, lanes] (uint8), maps of rows of `width` lanes: sums [T, 4, lanes] (int32) over channels of value times sum of
    its window, of their squares, and of the square of the change since the last timestep. beside [2, reach, 2, lanes] (uint8):
    1 where the neighbour so far to the left and right, above and below is on the map. A window's sum is within 16 bits, and
    what is summed up within 32."""
    lanes = x.shape[2]
    across, around = np.empty(lanes, np.uint16), np.empty(lanes, np.uint16)
    sums[:] = 0
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            row = x[t, c]
            for lane in range(lanes):
                across[lane] = row[lane]
            _add_neighbours(row, 1, beside[0], across)
            for lane in range(lanes):
                around[lane] = across[lane]
            _add_neighbours(across, width, beside[1], around)
            _add_products(row, around, sums[t, 0])
            _add_products(row, row, sums[t, 1])
            _add_products(around, around, sums[t, 2])
            if t == 0:  # before there was nothing
                _add_products(row, row, sums[t, 3])
            else:
                _add_changes(row, x[t - 1, c], sums[t, 3])


@njit(nogil=True, cache=True)
def _add_neighbours(values: Array, step: int, beside: Array, total: Array) -> None:
    """Adds the values 1, 2, … steps away on both sides, where they are on the map."""
    for k in range(len(beside)):
        away = min((k + 1) * step, len(total))
        rest = len(total) - away
        _add_some(values[:rest], beside[k, 0, away:], total[away:])
        _add_some(values[away:], beside[k, 1, :rest], total[:rest])


@njit(nogil=True, cache=True)
def _add_some(values: Array, inside: Array, total: Array) -> None:
    for lane in range(len(total)):
        total[lane] += np.uint16(values[lane]) * np.uint16(inside[lane])


@njit(nogil=True, cache=True)
def _add_products(a: Array, b: Array, total: Array) -> None:
    for lane in range(len(total)):
        total[lane] += np.int32(a[lane]) * np.int32(b[lane])


@njit(nogil=True, cache=True)
def _add_changes(row: Array, before: Array, change: Array) -> None:
    for lane in range(len(change)):
        difference = np.int32(row[lane]) - np.int32(before[lane])
        change[lane] += difference * difference
