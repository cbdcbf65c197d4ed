"""Products of spikes, levels and counts, per sample and head: `arith.spike_matmul`, over lanes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.kernels.dot_tile import OUTPUTS as GROUP
from pumice.hwsim.kernels.dot_tile import dot_tile
from pumice.hwsim.kernels.lane_words import count_common, lane_bits
from pumice.hwsim.kernels.lif_rows import store_rows
from pumice.hwsim.kernels.row_tiles import quad_rows

Array = NDArray[Any]
WORD = 64  # lanes of a tile, and bits of a word
LARGEST = (1 << 31) - 1  # nothing saturates at it


@njit(nogil=True, cache=True)
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
    """left @ right of every sample and head: left [T, heads * rows, samples * inner], right [T, heads * inner, samples *
    columns], out [T, heads * rows, samples * columns]. turned: an operand that is held transposed within each head and sample.
    wide: lanes of a sample in left and right. What is 0 in left is not visited. total [columns]: the integers that sums are made
    in, which must hold them. Sums are shifted left, and saturate at `most`."""
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


@njit(nogil=True, cache=True)
def dot_heads(
    left: Array,
    right: Array,
    turned: tuple[bool, bool],
    wide: tuple[int, int],
    samples: int,
    heads: int,
    shift: int,
    most: int,
    room: Array,
    out: Array,
) -> None:
    """`multiply_heads` of bytes, those of left at most 127, as dot products. room: bytes, aligned to 64, of as many as
    `dot_room` says. Reads up to 63 lanes behind right."""
    left_rows, right_rows = left.shape[1] // heads, right.shape[1] // heads
    rows, inner = (wide[0], left_rows) if turned[0] else (left_rows, wide[0])
    columns = right_rows if turned[1] else wide[1]
    quads, groups, tiles = -(-inner // 4), -(-rows // GROUP), -(-columns // WORD)
    weights = room[: groups * quads * 24].reshape(groups, quads, GROUP, 4)
    base = -(-groups * quads * 24 // WORD) * WORD
    others = room[base : base + quads * 4 * tiles * WORD].reshape(quads * 4, tiles * WORD)
    laid = room[base + others.size : base + others.size + quads * 4 * WORD]
    tail = room[base + others.size + laid.size :]
    sums, places = tail[: GROUP * WORD * 4].view(np.int32).reshape(GROUP, WORD), tail[GROUP * WORD * 4 :].view(np.int64)
    first = np.zeros(GROUP, np.int32)
    weights[:] = 0
    others[:] = 0
    direct = not turned[1] and inner % 4 == 0  # right is read where it is
    plain = out.itemsize == 4 and columns % 16 == 0 and most >= LARGEST  # what is stored are sums, no more
    for k in range(quads * 4):
        places[k] = k * (right.shape[2] if direct else tiles * WORD)
    for t in range(left.shape[0]):
        for sample in range(samples):
            for head in range(heads):
                _weights(left[t], head * left_rows, sample * wide[0], turned[0], rows, inner, weights)
                if not direct:
                    _part(right[t], head * right_rows, sample * wide[1], turned[1], others[:inner, :columns])
                for tile in range(tiles):
                    begin, count = sample * columns + tile * WORD, min(WORD, columns - tile * WORD)
                    start, into = others.ctypes.data + tile * WORD, np.uintp(laid.ctypes.data)
                    if direct:
                        lane = sample * wide[1] + tile * WORD
                        start = right.ctypes.data + (t * right.shape[1] + head * right_rows) * right.shape[2] + lane
                    quad_rows(np.uintp(start), np.uintp(places.ctypes.data), quads, np.uint8(0), into)
                    for group in range(groups):
                        at, channel = np.uintp(weights.ctypes.data + group * quads * 24), head * rows + group * GROUP
                        some, acc = min(GROUP, rows - group * GROUP), np.uintp(sums.ctypes.data)
                        dot_tile(into, at, quads, np.uintp(first.ctypes.data), acc, WORD * 4)
                        if plain:
                            place = out.ctypes.data + ((t * out.shape[1] + channel) * out.shape[2] + begin) * 4
                            apart = out.shape[2] * 4
                            store_rows(some, count // 16, acc, WORD * 4, np.int32(shift), np.uintp(place), apart)
                            continue
                        for m in range(some):
                            row = out[t, channel + m, begin : begin + count]
                            for n in range(count):
                                row[n] = min(np.int64(sums[m, n]) << shift, most)


def dot_room(rows: int, inner: int, columns: int) -> int:
    """Bytes of scratch for `dot_heads`."""
    quads, groups, tiles = -(-inner // 4), -(-rows // GROUP), -(-columns // WORD)
    return (groups * quads * 24 // WORD + 1) * WORD + quads * 4 * (tiles + 1) * WORD + GROUP * WORD * 4 + quads * 4 * 8


@njit(nogil=True, cache=True)
def _weights(x: Array, row: int, lane: int, turned: bool, rows: int, inner: int, out: Array) -> None:
    """One head of one sample as weights [groups, quads, 6, 4]."""
    for m in range(rows):
        group, place = m // GROUP, m % GROUP
        for quad in range(inner // 4):
            for k in range(4):
                at = quad * 4 + k
                out[group, quad, place, k] = x[row + at, lane + m] if turned else x[row + m, lane + at]
        for at in range(inner // 4 * 4, inner):
            out[group, at // 4, place, at % 4] = x[row + at, lane + m] if turned else x[row + m, lane + at]


@njit(nogil=True, cache=True)
def _part(x: Array, row: int, lane: int, turned: bool, out: Array) -> None:
    """One head of one sample as a matrix of its own."""
    for m in range(out.shape[0]):
        if turned:
            for k in range(out.shape[1]):
                out[m, k] = x[row + k, lane + m]
        else:
            out[m] = x[row + m, lane : lane + out.shape[1]]


@njit(nogil=True, cache=True)
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


@njit(nogil=True, cache=True)
def _bits(row: Array, start: int, wide: int, word: int) -> int:
    """The spikes of up to 64 positions of a sample, a bit for each."""
    first = word * WORD
    return lane_bits(np.uintp(row[start + first :].ctypes.data), min(WORD, wide - first))
