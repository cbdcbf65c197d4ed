"""The largest value of each window, over maps in lanes: `arith.or_pool` of spikes and `arith.max_pool` of payloads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(nogil=True, cache=True)  # type: ignore[misc]
def pool_maps(x: Array, kernel: int, stride: int, padding: int, lowest: int, out: Array) -> None:
    """x [maps, H, W], out [maps, H', W']; positions outside count as `lowest`."""
    maps, height, width = x.shape
    above = np.empty(width + 2 * padding, x.dtype)
    for m in range(maps):
        for row in range(out.shape[1]):
            above[:] = lowest
            first = row * stride - padding
            for y in range(max(first, 0), min(first + kernel, height)):
                for column in range(width):
                    above[padding + column] = max(above[padding + column], x[m, y, column])
            for column in range(out.shape[2]):
                best = above[column * stride]
                for k in range(1, kernel):
                    best = max(best, above[column * stride + k])
                out[m, row, column] = best
