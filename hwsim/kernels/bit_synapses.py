"""A layer of few synapses and its neurons, bit by bit: 256 lanes at four timesteps are a row of bits.

The inputs' bits are laid out as rows, those of each output's sum are added up (`bit_sums`), and its neurons fire at all timesteps
(`bit_lif`) before the next output's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from pumice.hwsim.kernels.bit_lif import bit_lif
from pumice.hwsim.kernels.bit_rows import ROW, STEP, WORD, ask_for, fill_row, pack_rows, put_word, spread_bits
from pumice.hwsim.kernels.bit_sums import add_bits
from pumice.hwsim.kernels.lane_words import lane_bits
from pumice.hwsim.kernels.synapses import TILE, Lanes

BLOCK = STEP // WORD  # tiles that are computed together
STEPS = ROW // STEP  # timesteps of a row


class BitWeights(NamedTuple):
    """Synapses of a layer; arrays by address, places in the arena in bytes. inputs: rows that sums are made of; planes: bits of
    an input; width: of a sum; bits: of a membrane. rows: where each input starts, bytes from the layer's first (int64). lists
    (uint32), counts (int64), carries, region, sums: see `runtime.fast.bit_lists`. places, limit: see `bit_lif`. arena: bytes of
    the rows of four timesteps."""

    inputs: int
    outputs: int
    planes: int
    width: int
    bits: int
    rows: int
    lists: int
    counts: int
    carries: int
    region: int
    sums: int
    places: int
    limit: int
    arena: int


class BitScratch(NamedTuple):
    """Memory of one thread by address, aligned to 64 bytes: arenas, `BitWeights.arena` bytes for every four timesteps; spikes
    [T, 8], on [T, 4] (uint64)."""

    arenas: int
    spikes: int
    on: int


@njit(nogil=True, cache=True)
def run_bits(x: Lanes, w: BitWeights, on: Lanes, out: Lanes, steps: int, tiles: int, s: BitScratch) -> None:
    """Spikes (uint8) of a layer in lanes that are on, in 64 * tiles lanes at all timesteps."""
    for tile in range(0, tiles, BLOCK):
        words = min(BLOCK, tiles - tile)
        _lay_out(x, w, on, steps, tile, words, s)
        bits = w.lists
        for pair in range((w.outputs + 1) // 2):
            _send(w, pair, steps, out, tile, words, s, True)
            start = bits
            for t in range(0, steps, STEPS):
                bits = _sums(w, 2 * pair, s.arenas + t // STEPS * w.arena, start)
            places, step = np.uintp(w.places + 8 * pair * w.bits), STEP if on.step != 0 else 0
            numbers = (w.bits, places, np.uintp(w.limit), np.uintp(s.on), step)
            bit_lif(steps, np.uintp(s.arenas), w.arena, *numbers, np.uintp(s.spikes))
            _send(w, pair, steps, out, tile, words, s, False)


@njit(nogil=True, cache=True)
def _sums(w: BitWeights, channel: int, arena: int, bits: int) -> int:
    """Sums of two outputs; where the bits of the next ones stand."""
    for k in range(min(2, w.outputs - channel)):
        counts, into = np.uintp(w.counts + (channel + k) * w.width * 16), np.uintp(arena + w.sums + k * w.width * ROW)
        carries = np.uintp(arena + w.carries)
        bits = int(add_bits(w.width, np.uintp(arena), np.uintp(bits), counts, carries, w.region, into))
    return bits


@njit(nogil=True, cache=True)
def _lay_out(x: Lanes, w: BitWeights, on: Lanes, steps: int, tile: int, words: int, s: BitScratch) -> None:
    """The bits of a block's inputs, and which of its lanes are on."""
    for t in range(0, steps, STEPS):
        arena, first = s.arenas + t // STEPS * w.arena, np.uintp(x.address + t * x.step + tile * TILE)
        fill_row(np.uintp(arena), 0)
        fill_row(np.uintp(arena + ROW), -1)
        few = min(STEPS, steps - t)
        pack_rows(first, np.uintp(w.rows), w.inputs, w.planes, few, x.step, words, np.uintp(arena + 2 * ROW))
    for t in range(steps if on.step != 0 else 1):
        for word in range(words):
            lanes = lane_bits(np.uintp(on.address + t * on.step + (tile + word) * TILE), TILE)
            put_word(np.uintp(s.on + t * STEP + word * WORD), lanes)


@njit(nogil=True, cache=True)
def _send(w: BitWeights, pair: int, steps: int, out: Lanes, tile: int, words: int, s: BitScratch, soon: bool) -> None:
    """Spikes of two outputs as bytes; or, if they are sent soon, only asks for where they go."""
    for t in range(steps):
        for channel in range(2 * pair, min(2 * pair + 2, w.outputs)):
            place = np.uintp(out.address + t * out.step + channel * out.row + tile * TILE)
            if soon:
                ask_for(place, words)
            else:
                spread_bits(np.uintp(s.spikes + (2 * t + channel % 2) * STEP), words, place)
