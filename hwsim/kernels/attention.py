"""Products of spikes, levels and counts, per sample and head: `arith.spike_matmul`, over lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.kernels.row_tiles import count_common, lane_bits

Array = NDArray[Any]
WORD = 64


@njit(nogil=True, cache=True)  # type: ignore[misc]
def multiply_heads(
    left: Array,
    right: Array,
    turned: tuple[bool, bool],
    wide: tuple[int, int],
    samples: int,
    heads: int,
    shift: int,
    most: int,
    total: Array,
    out: Array,
) -> None:
    """left @ right of every sample and head: left [T, heads * rows, samples * inner], right [T, heads * inner, samples * columns],
    out [T, heads * rows, samples * columns]. turned: an operand that is held transposed within each head and sample. wide: lanes
    of a sample in left and right. What is 0 in left is not visited. total [columns]: the integers that sums are made in, which
    must hold them. Sums are shifted left, and saturate at `most`."""
    left_rows, right_rows = left.shape[1] // heads, right.shape[1] // heads
    rows, inner = (wide[0], left_rows) if turned[0] else (left_rows, wide[0])
    columns = right_rows if turned[1] else wide[1]
    others = np.empty((inner, columns), right.dtype)
    for t in range(left.shape[0]):
        for sample in range(samples):
            for head in range(heads):
                _part(right[t], head * right_rows, sample * wide[1], turned[1], others)
                for m in range(rows):
                    total[:] = 0
                    for k in range(inner):
                        if turned[0]:
                            factor = left[t, head * left_rows + k, sample * wide[0] + m]
                        else:
                            factor = left[t, head * left_rows + m, sample * wide[0] + k]
                        if factor != 0:
                            other = others[k]
                            for n in range(columns):
                                total[n] += factor * other[n]
                    row = out[t, head * rows + m, sample * columns : (sample + 1) * columns]
                    for n in range(columns):
                        row[n] = min(np.int64(total[n]) << shift, most)


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _part(x: Array, row: int, lane: int, turned: bool, out: Array) -> None:
    """One head of one sample as a matrix of its own."""
    for m in range(out.shape[0]):
        if turned:
            for k in range(out.shape[1]):
                out[m, k] = x[row + k, lane + m]
        else:
            out[m] = x[row + m, lane : lane + out.shape[1]]


@njit(nogil=True, cache=True)  # type: ignore[misc]
def count_together(
    left: Array, right: Array, wide: int, samples: int, heads: int, shift: int, most: int, out: Array
) -> None:
    """How often two channels of a head spike at the same position: spikes left [T, heads * rows, samples * wide], right [T,
    heads * columns, samples * wide], 64 positions to a word; out [T, heads * rows, samples * columns]."""
    rows, columns, words = left.shape[1] // heads, right.shape[1] // heads, -(-wide // WORD)
    mine, theirs, total = np.empty(words, np.uint64), np.empty((words, columns), np.uint64), np.empty(columns, np.int64)
    for t in range(left.shape[0]):
        for sample in range(samples):
            for head in range(heads):
                for n in range(columns):
                    for word in range(words):
                        theirs[word, n] = _bits(right[t, head * columns + n], sample * wide, wide, word)
                for m in range(rows):
                    for word in range(words):
                        mine[word] = _bits(left[t, head * rows + m], sample * wide, wide, word)
                    total[:] = 0
                    for word in range(words):
                        for n in range(columns):
                            total[n] += np.int64(count_common(mine[word], theirs[word, n]))
                    row = out[t, head * rows + m, sample * columns : (sample + 1) * columns]
                    for n in range(columns):
                        row[n] = min(total[n] << shift, most)


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _bits(row: Array, start: int, wide: int, word: int) -> int:
    """The spikes of up to 64 positions of a sample, a bit for each."""
    first = word * WORD
    return lane_bits(np.uintp(row[start + first :].ctypes.data), min(WORD, wide - first))
