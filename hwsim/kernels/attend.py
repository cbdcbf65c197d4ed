"""Attention of spikes with the neurons that it feeds: q (kᵀ v) per sample and head, of which nothing but spikes is stored.

`arith.spike_matmul` of keys and values, of queries and what that gives, then `arith.lif_step`. Without saturation q kᵀ times v is
the same integers. A head's context stays in the first cache as the weights of a dot product, its membranes over all timesteps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.kernels.dot_tile import OUTPUTS as GROUP
from pumice.hwsim.kernels.dot_tile import QUAD, dot_tile
from pumice.hwsim.kernels.fire import Neurons, fire_rows
from pumice.hwsim.kernels.lane_words import count_quads, lane_bits
from pumice.hwsim.kernels.row_tiles import clear_words, quad_rows, skip_lanes
from pumice.hwsim.kernels.synapses import Lanes

WORD = 64  # lanes of a tile, and bits of a word
CHUNK = 16
Array = NDArray[Any]


class Heads(NamedTuple):
    """Sizes. inner: channels of a head in queries and keys, width: in values. tokens: of a sample, a multiple of 16, at most 127.
    wide: lanes of a sample in queries, keys and values: those of all tokens or, if `packed`, of routed ones."""

    steps: int
    samples: int
    heads: int
    inner: int
    width: int
    tokens: int
    wide: int
    packed: bool


@njit(nogil=True, cache=True)
def attend_heads(q: Lanes, k: Lanes, v: Lanes, neurons: Neurons, on: Lanes, h: Heads, room: Array, out: Lanes) -> None:
    """All heads of all samples. q, k [T, heads * inner, lanes], v and out [T, heads * width, lanes] (uint8, 0 or 1). on: which
    lanes are routed, of all tokens. room: bytes, aligned to 64, as many as `attend_room` says. Reads up to 63 lanes behind
    rows; writes the lanes of samples only."""
    quads, words, groups = 2 * _ceil(h.inner, 2 * QUAD), _ceil(h.wide, WORD), _ceil(h.width, GROUP)
    laid, rest = room[: quads * QUAD * WORD], room[quads * QUAD * WORD :]
    each = groups * GROUP * _ceil(h.tokens, WORD) * WORD * 4
    sums, membranes = rest[:each], rest[each : 2 * each]
    context = rest[2 * each :][: groups * quads * GROUP * QUAD].view(np.uint32).reshape(groups, quads, GROUP)
    places = np.minimum(np.arange(quads * QUAD), h.inner - 1) * q.row  # what is beyond has no weight
    keys = np.zeros((words, quads * QUAD), np.uint64)
    context[:] = 0
    for sample in range(h.samples):
        for head in range(h.heads):
            clear_words(np.uintp(membranes.ctypes.data), each // WORD)
            for t in range(h.steps):
                _count(k, v, h, sample, head, t, keys, context)
                start = q.address + t * q.step + head * h.inner * q.row + sample * h.wide
                _multiply(start, places, context, words, _ceil(h.tokens, WORD) * WORD * 4, laid, sums)
                _fire(neurons, on, h, sample, head, t, sums, membranes, out)


def attend_room(h: Heads) -> int:
    """Bytes of scratch for `attend_heads`."""
    quads, tiles, groups = 2 * -(-h.inner // (2 * QUAD)), -(-h.tokens // WORD), -(-h.width // GROUP)
    return quads * QUAD * WORD + 2 * groups * GROUP * tiles * WORD * 4 + groups * quads * GROUP * QUAD


@njit(nogil=True, cache=True)
def _ceil(size: int, unit: int) -> int:
    return (size + unit - 1) // unit


@njit(nogil=True, cache=True)
def _count(k: Lanes, v: Lanes, h: Heads, sample: int, head: int, t: int, keys: Array, context: Array) -> None:
    """How often a key and a value of a head spike for the same token, as weights [groups, quads, 6], four bytes each. keys:
    room [words, quads * 4]."""
    words, quads = keys.shape[0], context.shape[1]
    first = k.address + t * k.step + head * h.inner * k.row + sample * h.wide
    for word in range(words):
        for c in range(h.inner):
            keys[word, c] = _spikes(first + c * k.row, word, h.wide)
    start = v.address + t * v.step + head * h.width * v.row + sample * h.wide
    for e in range(h.width):
        for word in range(words):
            mine = _spikes(start + e * v.row, word, h.wide)
            into = context.ctypes.data + (e // GROUP * quads * GROUP + e % GROUP) * QUAD
            count_quads(mine, np.uintp(keys[word].ctypes.data), quads // 2, np.uintp(into), GROUP * QUAD, word > 0)


@njit(nogil=True, cache=True)
def _spikes(row: int, word: int, wide: int) -> int:
    """Of up to 64 tokens, a bit for each."""
    return lane_bits(np.uintp(row + word * WORD), min(WORD, wide - word * WORD))


@njit(nogil=True, cache=True)
def _multiply(start: int, places: Array, context: Array, words: int, apart: int, laid: Array, sums: Array) -> None:
    """Queries times context, [groups * 6] rows of words * 64 (int32), `apart` bytes apart."""
    groups, quads, _ = context.shape
    first = np.zeros(GROUP, np.int32)
    for word in range(words):
        rows, into = np.uintp(start + word * WORD), np.uintp(laid.ctypes.data)
        quad_rows(rows, np.uintp(places.ctypes.data), quads, np.uint8(0), into)
        for group in range(groups):
            weights = np.uintp(context.ctypes.data + group * quads * GROUP * QUAD)
            total = np.uintp(sums.ctypes.data + group * GROUP * apart + word * WORD * 4)
            dot_tile(into, weights, quads, np.uintp(first.ctypes.data), total, apart)


@njit(nogil=True, cache=True)
def _fire(
    neurons: Neurons, on: Lanes, h: Heads, sample: int, head: int, t: int, sums: Array, membranes: Array, out: Lanes
) -> None:
    """A head's neurons."""
    chunks, apart = h.tokens // CHUNK, _ceil(h.tokens, WORD) * WORD * 4
    skips, routed = np.empty(chunks, np.int64), on.address + t * on.step + sample * h.tokens
    skip_lanes(np.uintp(routed), chunks, 0, np.uintp(skips.ctypes.data))
    into = out.address + t * out.step + head * h.width * out.row + sample * h.wide
    memory = (sums.ctypes.data, h.packed, skips.ctypes.data, membranes.ctypes.data, apart)
    fire_rows(neurons, head * h.width, h.width, chunks, memory, routed, into, out.row)
