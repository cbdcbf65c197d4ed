"""The largest value of each window, over maps in lanes: `arith.or_pool` of spikes and `arith.max_pool` of payloads."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Size = tuple[int, int, int, int]  # rows and columns of a map; the same with its border


@njit(nogil=True, cache=True)  # type: ignore[misc]
def pool_rows(
    x: Array, size: Size, out: Array, made: Size, samples: int, kernel: int, stride: int, padding: int, lowest: int
) -> None:
    """x [T, C, lanes] of maps of `size`, out [T, C, lanes] of those of `made`; positions outside a map count as `lowest`."""
    above = np.empty(size[1] + 2 * padding, x.dtype)
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(samples):
                for row in range(made[0]):
                    above[:] = lowest
                    first = row * stride - padding
                    for y in range(max(first, 0), min(first + kernel, size[0])):
                        begin = sample * size[2] * size[3] + y * size[3]
                        line = x[t, c, begin : begin + size[1]]
                        for column in range(size[1]):
                            above[padding + column] = max(above[padding + column], line[column])
                    begin = sample * made[2] * made[3] + row * made[3]
                    for column in range(made[1]):
                        best = above[column * stride]
                        for k in range(1, kernel):
                            best = max(best, above[column * stride + k])
                        out[t, c, begin + column] = best
