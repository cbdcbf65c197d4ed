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
                        begin = (sample * size[2] + y) * size[3]
                        _raise(above[padding : padding + size[1]], x[t, c, begin : begin + size[1]])
                    begin = (sample * made[2] + row) * made[3]
                    _windows(above, kernel, stride, out[t, c, begin : begin + made[1]])


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _raise(best: Array, row: Array) -> None:
    for k in range(row.shape[0]):
        best[k] = row[k] if row[k] > best[k] else best[k]


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _windows(row: Array, kernel: int, stride: int, out: Array) -> None:
    """The largest value of each window of a row. A stride of 2 is said twice so that it is known when it is compiled."""
    for column in range(out.shape[0]):
        out[column] = row[column * stride]
    for k in range(1, kernel):
        if stride == 2:
            for column in range(out.shape[0]):
                value = row[column * 2 + k]
                out[column] = value if value > out[column] else out[column]
        else:
            for column in range(out.shape[0]):
                value = row[column * stride + k]
                out[column] = value if value > out[column] else out[column]
