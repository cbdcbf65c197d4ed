"""A layer of synapses and the neurons that it feeds, tile by tile: sums and membranes never leave the processor's caches.

Values are bytes in lanes: [T, C, lanes], a lane for each position of each sample. One tile of 64 lanes is computed for all
timesteps before the next: its inputs are laid out in the first cache, then six outputs at a time are summed over them, and either
fire or are stored. Where only some lanes are routed, those of several tiles are pushed together and computed as fewer.
Addresses are numbers, so that a caller can hand over a part of an array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pumice.hwsim.kernels.dot_tile import OUTPUTS as GROUP
from pumice.hwsim.kernels.dot_tile import dot_tile
from pumice.hwsim.kernels.lif_rows import lif_rows, store_rows
from pumice.hwsim.kernels.pair_tile import pair_tiles
from pumice.hwsim.kernels.row_tiles import (
    clear_words,
    copy_rows,
    fill_rows,
    quad_rows,
    skip_lanes,
    squeeze_rows,
    word_at,
)

TILE = 64
CHUNK = 480  # inputs at a time: their rows of a tile fit the first cache


class Weights(NamedTuple):
    """Synapses of a layer; arrays by address. inputs: rows that sums are made of, K, a multiple of 4; channels: rows that the
    layer's input has. rows: where each of K starts, bytes from the input's first (int64 [K]); tight: the same of the rows of
    `together` tiles. first: what sums start with (int32 [groups * 6]). flip: see `row_tiles.quad_rows`. dense: values [groups,
    K / 4, 6, 4] (int8); else values [pairs, 2] (int8), offsets [pairs, 2] (uint32: 64 * row) and starts [lists, groups * 6 + 1]
    (int64) of each output's pairs in each list."""

    dense: bool
    inputs: int
    channels: int
    outputs: int
    values: int
    offsets: int
    starts: int
    lists: int
    rows: int
    tight: int
    first: int
    flip: int


class Neurons(NamedTuple):
    """What becomes of sums: LIF neurons (`lif_rows`; bias: address of int32 [C]) or, if not `fires`, sums << shift, int32."""

    fires: bool
    shift: int
    bias: int
    keep: int
    threshold: int
    decays: bool
    noted: int


class Lanes(NamedTuple):
    """Where values are: address of the first lane, bytes between timesteps (0: the same at all) and between channels."""

    address: int
    step: int
    row: int


class Routing(NamedTuple):
    """Which lanes a layer computes. on: those that are routed (uint8). together: tiles at a time. squeeze: sum only routed lanes,
    of 1 x 1 kernels; the output's rows hold no others. packed: nor do the input's. before: address of how many lanes are routed
    before each tile (int64 [T, tiles + 1])."""

    on: Lanes
    together: int
    squeeze: bool
    packed: bool
    before: int


class Scratch(NamedTuple):
    """Memory of one thread by address, aligned to 64 bytes: laid [tiles * K * 64], tight [K * tiles * 64] (uint8), sums and
    membranes [groups * 6 * tiles * 64] (int32), of as many tiles as are taken together; skips [tiles * 4] (int64)."""

    laid: int
    tight: int
    sums: int
    membranes: int
    skips: int


@njit(nogil=True, cache=True)
def run_synapses(
    x: Lanes,
    w: Weights,
    neurons: Neurons,
    r: Routing,
    out: Lanes,
    steps: int,
    tiles: int,
    s: Scratch,
) -> None:
    """All tiles of a layer."""
    together = r.together
    groups, sums = (w.outputs + GROUP - 1) // GROUP, GROUP * together * TILE * 4
    for tile in range(0, tiles, together):
        count, filled = min(together, tiles - tile), 0
        clear_words(np.uintp(s.membranes), w.outputs * together * TILE // 16)
        for t in range(steps):
            if t == 0 or x.step != 0 or r.squeeze:
                filled = _lay_out(x, w, r, t, tile, tiles, count, s)
            chunked = w.dense and w.inputs > CHUNK
            if chunked:
                for begin in range(0, w.inputs, CHUNK):
                    for group in range(groups):
                        _sum_dense(w, group, begin, filled, together, s.sums + group * sums, s)
            for group in range(groups):
                at = s.sums + group * sums if chunked else s.sums
                if not chunked and w.dense:
                    _sum_dense(w, group, 0, filled, together, at, s)
                elif not chunked:
                    _sum_lists(w, group, filled, together, at, s)
                _finish(w, neurons, r, out, group, t, tile, tiles, count, at, s)


@njit(nogil=True, cache=True)
def _lay_out(x: Lanes, w: Weights, r: Routing, t: int, tile: int, tiles: int, count: int, s: Scratch) -> int:
    """Lays out the rows of some tiles; how many tiles they fill."""
    start, rows = x.address + t * x.step + tile * TILE, w.rows
    if r.squeeze:
        on = r.on.address + t * r.on.step + tile * TILE
        routed = int(skip_lanes(np.uintp(on), count * TILE // 16, 0, np.uintp(s.skips)))
        if r.packed:
            start = x.address + t * x.step + _before(r, t, tile, tiles)
        else:
            _squeeze(start, x.row, w.channels, on, count, r.together, s)
            start, rows = s.tight, w.tight
        count = (routed + TILE - 1) // TILE
    for k in range(count):
        into = np.uintp(s.laid + k * w.inputs * TILE)
        if w.dense:
            quad_rows(np.uintp(start + k * TILE), np.uintp(rows), w.inputs // 4, np.uint8(w.flip), into)
        else:
            copy_rows(np.uintp(start + k * TILE), np.uintp(rows), w.inputs, into)
    return count


@njit(nogil=True, cache=True)
def _before(r: Routing, t: int, tile: int, tiles: int) -> int:
    """How many lanes are routed before a tile."""
    return int(word_at(np.uintp(r.before + (t * (tiles + 1) + tile) * 8)))


@njit(nogil=True, cache=True)
def _squeeze(start: int, row: int, channels: int, on: int, count: int, together: int, s: Scratch) -> None:
    """Keeps the routed lanes of some tiles."""
    for k in range(count):
        routed = int(word_at(np.uintp(s.skips + k * TILE // 16 * 8))) // 4
        lanes, into = np.uintp(on + k * TILE), np.uintp(s.tight + routed)
        squeeze_rows(np.uintp(start + k * TILE), row, channels, lanes, into, together * TILE)


@njit(nogil=True, cache=True)
def _sum_dense(w: Weights, group: int, begin: int, filled: int, together: int, sums: int, s: Scratch) -> None:
    """Adds a chunk of inputs, from `begin` on, to sums of six outputs over the tiles that are laid out."""
    quads = (min(begin + CHUNK, w.inputs) - begin) // 4
    values, first = np.uintp(w.values + (group * w.inputs + begin) * GROUP), np.uintp(w.first + group * GROUP * 4)
    for k in range(filled):
        laid, into = np.uintp(s.laid + (k * w.inputs + begin) * TILE), np.uintp(sums + k * TILE * 4)
        dot_tile(laid, values, quads, begin == 0, first, into, together * TILE * 4)


@njit(nogil=True, cache=True)
def _sum_lists(w: Weights, group: int, filled: int, together: int, sums: int, s: Scratch) -> None:
    """Sums of six outputs over the tiles that are laid out, of the synapses there are."""
    apart, width = together * TILE * 4, ((w.outputs + GROUP - 1) // GROUP * GROUP + 1) * 8
    first = np.uintp(w.first + group * GROUP * 4)
    for k in range(filled):
        laid, into = np.uintp(s.laid + k * w.inputs * TILE), np.uintp(sums + k * TILE * 4)
        fill_rows(GROUP, TILE // 16, first, into, apart)
        for part in range(w.lists):
            starts = np.uintp(w.starts + part * width + group * GROUP * 8)
            pair_tiles(GROUP, laid, np.uintp(w.offsets), np.uintp(w.values), starts, into, apart)


@njit(nogil=True, cache=True)
def _finish(
    w: Weights,
    neurons: Neurons,
    r: Routing,
    out: Lanes,
    group: int,
    t: int,
    tile: int,
    tiles: int,
    count: int,
    sums: int,
    s: Scratch,
) -> None:
    """Neurons fire, or sums are stored."""
    channel, row, chunks = group * GROUP, r.together * TILE * 4, count * TILE // 16
    rows, into = min(GROUP, w.outputs - channel), out.address + t * out.step + channel * out.row
    shift = np.int32(neurons.shift)
    if not neurons.fires:
        store_rows(rows, chunks, np.uintp(sums), row, shift, np.uintp(into + tile * TILE * 4), out.row)
        return
    membranes, bias = np.uintp(s.membranes + channel * row), np.uintp(neurons.bias + 4 * channel)
    routed = np.uintp(r.on.address + t * r.on.step + tile * TILE)
    lane = _before(r, t, tile, tiles) if r.squeeze else tile * TILE
    numbers = (shift, bias, np.int32(neurons.keep), np.int32(neurons.threshold), routed)
    flags = (neurons.decays, np.uint8(neurons.noted), r.squeeze)
    memory = (np.uintp(sums), r.squeeze, np.uintp(s.skips), membranes, row)
    lif_rows(rows, chunks, *memory, *numbers, *flags, np.uintp(into + lane), out.row)
