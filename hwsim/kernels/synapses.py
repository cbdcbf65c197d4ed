"""A layer of synapses and the neurons that it feeds, tile by tile: sums and membranes never leave the processor's caches.

Values are bytes in lanes: [T, C, lanes], a lane for each position of each sample. One tile of 64 lanes is computed for all
timesteps before the next: its inputs are laid out in the first cache, then six outputs at a time are summed over them, and either
fire or are stored. Where only some lanes are routed, those of several tiles are pushed together and computed as fewer.
Addresses are numbers, so that a caller can hand over a part of an array.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.kernels.dot_tile import dot_tile
from pumice.hwsim.kernels.lif_rows import lif_rows, store_rows
from pumice.hwsim.kernels.pair_tile import pair_tiles
from pumice.hwsim.kernels.row_tiles import copy_rows, quad_rows, squeeze_rows

TILE = 64
GROUP = 6  # outputs at a time
MACRO = 4  # tiles that are pushed together
Array = NDArray[Any]


class Weights(NamedTuple):
    """Synapses of a layer. rows: where each input row starts, bytes from the input's first (int64 [K], K a multiple of 4). tight:
    the same of rows of MACRO tiles each. first: what sums start with (int32 [groups * 6]). flip: see `row_tiles.quad_rows`.
    dense: values [groups, K / 4, 6, 4] (int8); else values [pairs, 2] (int8), offsets [pairs, 2] (uint32: 64 * row) and lists
    [lists, groups * 6 + 1] (int64), where each output's pairs start in each list."""

    dense: bool
    values: Array
    offsets: Array
    lists: Array
    rows: Array
    tight: Array
    first: Array
    flip: int


class Neurons(NamedTuple):
    """What becomes of sums: LIF neurons (`lif_rows`; bias int32 [C]) or, where not `fires`, sums << shift as int32."""

    fires: bool
    shift: int
    bias: Array
    keep: int
    threshold: int
    decays: bool
    noted: int


class Lanes(NamedTuple):
    """Where values are: address of the first lane, bytes between timesteps (0: the same at all) and between channels."""

    address: int
    step: int
    row: int


class Scratch(NamedTuple):
    """Memory of one thread, aligned to 64 bytes: laid [MACRO * K * 64], tight [K * MACRO * 64] (uint8); sums [6 * MACRO * 64],
    membranes [C * MACRO * 64] (int32)."""

    laid: Array
    tight: Array
    sums: Array
    membranes: Array


@njit(nogil=True, cache=True)  # type: ignore[misc]
def run_synapses(
    x: Lanes,
    w: Weights,
    neurons: Neurons,
    on: Array,
    squeeze: bool,
    out: Lanes,
    steps: int,
    outputs: int,
    tiles: int,
    s: Scratch,
) -> None:
    """All tiles of a layer. on: which lanes are routed, [T or 1, lanes] (uint8). squeeze: sum only those, of 1 x 1 kernels."""
    together = MACRO if squeeze else 1
    for tile in range(0, tiles, together):
        count, filled = min(together, tiles - tile), 0
        s.membranes[: outputs * together * TILE] = 0
        for t in range(steps):
            if t == 0 or x.step != 0 or squeeze:
                filled = _lay_out(x, w, on, squeeze, t, tile, count, s)
            for group in range((outputs + GROUP - 1) // GROUP):
                for k in range(filled):
                    _sum_tile(w, group, k, together, s)
                _finish(neurons, on, squeeze, out, group, outputs, t, tile, count, s)


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _lay_out(x: Lanes, w: Weights, on: Array, squeeze: bool, t: int, tile: int, count: int, s: Scratch) -> int:
    """Lays out the rows of some tiles; how many tiles they fill."""
    start, rows, inputs = x.address + t * x.step + tile * TILE, w.rows, w.rows.shape[0]
    if squeeze:
        routed = _squeeze(start, x.row, inputs, on[t if on.shape[0] > 1 else 0], tile, count, s)
        start, rows, count = s.tight.ctypes.data, w.tight, (routed + TILE - 1) // TILE
    for k in range(count):
        into = np.uintp(s.laid.ctypes.data + k * inputs * TILE)
        if w.dense:
            quad_rows(np.uintp(start + k * TILE), np.uintp(rows.ctypes.data), inputs // 4, np.uint8(w.flip), into)
        else:
            copy_rows(np.uintp(start + k * TILE), np.uintp(rows.ctypes.data), inputs, into)
    return count


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _squeeze(start: int, row: int, inputs: int, on: Array, tile: int, count: int, s: Scratch) -> int:
    """Keeps the routed lanes of some tiles; how many they are."""
    routed = 0
    for k in range(count):
        lanes, into = on[(tile + k) * TILE : (tile + k + 1) * TILE], np.uintp(s.tight.ctypes.data + routed)
        squeeze_rows(np.uintp(start + k * TILE), row, inputs, np.uintp(lanes.ctypes.data), into, MACRO * TILE)
        routed += np.count_nonzero(lanes)
    return routed


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _sum_tile(w: Weights, group: int, tile: int, together: int, s: Scratch) -> None:
    """Sums of six outputs over a tile that is laid out."""
    laid = np.uintp(s.laid.ctypes.data + tile * w.rows.shape[0] * TILE)
    sums = s.sums.ctypes.data + tile * TILE * 4
    if w.dense:
        values = np.uintp(w.values.ctypes.data + group * w.rows.shape[0] * GROUP)
        first = np.uintp(w.first.ctypes.data + group * GROUP * 4)
        dot_tile(laid, values, w.rows.shape[0] // 4, first, np.uintp(sums), together * TILE * 4)
        return
    for m in range(GROUP):
        s.sums[(m * together + tile) * TILE : (m * together + tile + 1) * TILE] = w.first[group * GROUP + m]
    for part in range(w.lists.shape[0]):
        starts = np.uintp(w.lists.ctypes.data + (part * w.lists.shape[1] + group * GROUP) * 8)
        values, offsets = np.uintp(w.values.ctypes.data), np.uintp(w.offsets.ctypes.data)
        pair_tiles(GROUP, laid, offsets, values, starts, np.uintp(sums), together * TILE * 4)


@njit(nogil=True, cache=True)  # type: ignore[misc]
def _finish(
    neurons: Neurons,
    on: Array,
    squeeze: bool,
    out: Lanes,
    group: int,
    outputs: int,
    t: int,
    tile: int,
    count: int,
    s: Scratch,
) -> None:
    """Neurons fire, or sums are stored."""
    channel, row, chunks = group * GROUP, (MACRO if squeeze else 1) * TILE * 4, count * TILE // 16
    rows, into = min(GROUP, outputs - channel), out.address + t * out.step + channel * out.row
    sums, shift = np.uintp(s.sums.ctypes.data), np.int32(neurons.shift)
    if not neurons.fires:
        store_rows(rows, chunks, sums, row, shift, np.uintp(into + tile * TILE * 4), out.row)
        return
    membranes = np.uintp(s.membranes.ctypes.data + channel * row)
    bias, keep, threshold = np.uintp(neurons.bias.ctypes.data + 4 * channel), neurons.keep, neurons.threshold
    routed = np.uintp(on.ctypes.data + (t if on.shape[0] > 1 else 0) * on.shape[1] + tile * TILE)
    numbers = (shift, bias, np.int32(keep), np.int32(threshold), routed, neurons.decays, np.uint8(neurons.noted))
    lif_rows(rows, chunks, sums, squeeze, membranes, row, *numbers, np.uintp(into + tile * TILE), out.row)
