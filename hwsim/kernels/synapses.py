"""A layer of synapses and the neurons that it feeds, tile by tile: sums and membranes never leave the processor's caches.

Values are bytes in lanes: [T, C, lanes], a lane for each position of each sample. The inputs of one tile of 64 lanes are laid
out for all timesteps, or as many as fit the second cache. Then six outputs at a time are summed over them, step after step, and
either fire or are stored: their weights and membranes stay in the first cache. Where only some lanes are routed, those of several
tiles are pushed together and computed as fewer. Addresses are numbers, so that a caller can hand over a part of an array.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pumice.hwsim.kernels.dot_tile import OUTPUTS as GROUP
from pumice.hwsim.kernels.dot_tile import dot_tile
from pumice.hwsim.kernels.fire import Neurons, fire_rows
from pumice.hwsim.kernels.lane_words import word_at
from pumice.hwsim.kernels.lif_rows import store_rows
from pumice.hwsim.kernels.pair_tile import pair_tiles
from pumice.hwsim.kernels.row_tiles import (
    clear_words,
    copy_rows,
    fill_rows,
    quad_rows,
    skip_lanes,
    squeeze_rows,
)

TILE = 64


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
    """Memory of one thread by address, aligned to 64 bytes, for as many tiles as are taken together and `span` timesteps at a
    time: laid [span, tiles * K * 64], tight [K * tiles * 64] (uint8), sums [6 * tiles * 64] (int32), membranes (int32) of as many
    lanes, for each group of outputs if span is less than all timesteps; skips [span, tiles * 4] (int64)."""

    span: int
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
    groups, size = (w.outputs + GROUP - 1) // GROUP, GROUP * r.together * TILE * 4
    alike = x.step == 0 and not r.squeeze  # all timesteps have the same sums
    filled = np.zeros(s.span, np.int64)
    for tile in range(0, tiles, r.together):
        count = min(r.together, tiles - tile)
        for begin in range(0, steps, s.span):
            end = min(begin + s.span, steps)
            for t in range(begin, begin + 1 if alike else end):
                filled[t - begin] = _lay_out(x, w, r, t, t - begin, tile, tiles, count, s)
            for group in range(groups):
                membranes = s.membranes + (group * size if s.span < steps else 0)
                if begin == 0:
                    clear_words(np.uintp(membranes), size // TILE)
                for t in range(begin, end):
                    if t == begin or not alike:
                        _sum(w, group, filled[t - begin], r.together, t - begin, s)
                    _finish(w, neurons, r, out, group, t, t - begin, tile, tiles, count, membranes, s)


@njit(nogil=True, cache=True)
def _lay_out(
    x: Lanes, w: Weights, r: Routing, t: int, place: int, tile: int, tiles: int, count: int, s: Scratch
) -> int:
    """Lays out the rows of some tiles as the `place`-th timestep; how many tiles they fill."""
    start, rows = x.address + t * x.step + tile * TILE, w.rows
    if r.squeeze:
        on, skips = r.on.address + t * r.on.step + tile * TILE, _skips(r, place, s)
        routed = int(skip_lanes(np.uintp(on), count * TILE // 16, 0, np.uintp(skips)))
        if r.packed:
            start = x.address + t * x.step + _before(r, t, tile, tiles)
        else:
            _squeeze(start, x.row, w.channels, on, count, r.together, skips, s)
            start, rows = s.tight, w.tight
        count = (routed + TILE - 1) // TILE
    for k in range(count):
        into = np.uintp(s.laid + (place * r.together + k) * w.inputs * TILE)
        if w.dense:
            quad_rows(np.uintp(start + k * TILE), np.uintp(rows), w.inputs // 4, np.uint8(w.flip), into)
        else:
            copy_rows(np.uintp(start + k * TILE), np.uintp(rows), w.inputs, into)
    return count


@njit(nogil=True, cache=True)
def _skips(r: Routing, place: int, s: Scratch) -> int:
    """Where the skips of the `place`-th timestep are."""
    return s.skips + place * r.together * TILE // 16 * 8


@njit(nogil=True, cache=True)
def _before(r: Routing, t: int, tile: int, tiles: int) -> int:
    """How many lanes are routed before a tile."""
    return int(word_at(np.uintp(r.before + (t * (tiles + 1) + tile) * 8)))


@njit(nogil=True, cache=True)
def _squeeze(start: int, row: int, channels: int, on: int, count: int, together: int, skips: int, s: Scratch) -> None:
    """Keeps the routed lanes of some tiles."""
    for k in range(count):
        routed = int(word_at(np.uintp(skips + k * TILE // 16 * 8))) // 4
        lanes, into = np.uintp(on + k * TILE), np.uintp(s.tight + routed)
        squeeze_rows(np.uintp(start + k * TILE), row, channels, lanes, into, together * TILE)


@njit(nogil=True, cache=True)
def _sum(w: Weights, group: int, filled: int, together: int, place: int, s: Scratch) -> None:
    """Sums of six outputs over the tiles that are laid out as the `place`-th timestep."""
    apart, width = together * TILE * 4, ((w.outputs + GROUP - 1) // GROUP * GROUP + 1) * 8
    values, first = np.uintp(w.values + group * w.inputs * GROUP), np.uintp(w.first + group * GROUP * 4)
    for k in range(filled):
        laid, into = np.uintp(s.laid + (place * together + k) * w.inputs * TILE), np.uintp(s.sums + k * TILE * 4)
        if w.dense:
            dot_tile(laid, values, w.inputs // 4, first, into, apart)
            continue
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
    place: int,
    tile: int,
    tiles: int,
    count: int,
    membranes: int,
    s: Scratch,
) -> None:
    """Neurons fire, or sums are stored."""
    channel, row, chunks = group * GROUP, r.together * TILE * 4, count * TILE // 16
    rows, into = min(GROUP, w.outputs - channel), out.address + t * out.step + channel * out.row
    if not neurons.fires:
        stored, shift = np.uintp(into + tile * TILE * 4), np.int32(neurons.shift)
        store_rows(rows, chunks, np.uintp(s.sums), row, shift, stored, out.row)
        return
    routed = r.on.address + t * r.on.step + tile * TILE
    lane = _before(r, t, tile, tiles) if r.squeeze else tile * TILE
    memory = (s.sums, r.squeeze, _skips(r, place, s), membranes, row)
    fire_rows(neurons, channel, rows, chunks, memory, routed, into + lane, out.row)
