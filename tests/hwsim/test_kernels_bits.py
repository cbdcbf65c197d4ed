"""Rows of bits: packed from bytes and spread again, added up, and LIF neurons beside `arith.lif_step`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray
from rooms import extreme, room, room_of

from pumice.hwsim import arith
from pumice.hwsim.kernels import bit_lif as lif
from pumice.hwsim.kernels import bit_rows, bit_sums

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=60)
LANES, ROW, STEPS = 256, 128, 4
pack_rows, spread_bits, add_bits, bit_lif = bit_rows.pack_rows, bit_rows.spread_bits, bit_sums.add_bits, lif.bit_lif


@njit  # type: ignore[misc]
def _pack(x: int, rows: int, count: int, planes: int, steps: int, step: int, words: int, out: int) -> None:
    pack_rows(x, rows, count, planes, steps, step, words, out)


@njit  # type: ignore[misc]
def _spread(words: int, count: int, out: int) -> None:
    spread_bits(words, count, out)


@njit  # type: ignore[misc]
def _add(places: int, arena: int, bits: int, counts: int, carries: int, region: int, sums: int) -> int:
    return add_bits(places, arena, bits, counts, carries, region, sums)


@njit  # type: ignore[misc]
def _lif(
    steps: int, arena: int, apart: int, bits: int, places: int, limit: int, on: int, on_step: int, out: int
) -> None:
    bit_lif(steps, arena, apart, bits, places, limit, on, on_step, out)


def packed(bits: Any) -> NDArray[np.uint8]:
    """Bits [..., lanes] as bytes, the first lane lowest."""
    return np.packbits(np.asarray(bits).astype(bool), axis=-1, bitorder="little")


def unpacked(rows: NDArray[Any]) -> NDArray[np.int64]:
    return np.unpackbits(rows.view(np.uint8), axis=-1, bitorder="little").astype(np.int64)


@OFTEN
@given(SEEDS, st.integers(1, 4), st.integers(1, 4), st.integers(1, 4), st.booleans())
def test_rows_are_packed_with_their_complements(seed: int, planes: int, steps: int, words: int, same: bool) -> None:
    rng = np.random.default_rng(seed)
    x = room_of(rng.integers(0, 1 << planes, (steps, 1024)), np.uint8)
    rows = room_of(rng.integers(0, 1024 - 64 * words + 1, 7), np.int64)
    out, before = room((7, planes, 2, ROW), np.uint8), np.uint8(0xA5)
    _pack(x.at, rows.at, 7, planes, steps, 0 if same else 1024, words, out.at)
    taken = np.stack([x.array[0 if same else slice(None), ..., r : r + 64 * words] for r in rows.array], axis=-2)
    taken = np.broadcast_to(taken, (steps, 7, 64 * words))
    parts = out.array.reshape(7, planes, 2, STEPS, 32)
    for q in range(planes):
        wanted = packed(taken >> q & 1)
        assert np.array_equal(parts[:, q, 0, :steps, : 8 * words], wanted.swapaxes(0, 1))
        assert np.array_equal(parts[:, q, 1, :steps, : 8 * words], ~wanted.swapaxes(0, 1))
    assert (parts[:, :, :, steps:] == before).all()
    assert (parts[..., 8 * words :] == before).all()
    assert out.intact


@OFTEN
@given(SEEDS, st.integers(1, 5))
def test_bits_are_spread(seed: int, count: int) -> None:
    words = room_of(np.random.default_rng(seed).integers(0, 256, 8 * count), np.uint8)
    out = room((64 * count,), np.uint8)
    _spread(words.at, count, out.at)
    assert np.array_equal(out.array, unpacked(words.array))
    assert out.intact


@OFTEN
@given(SEEDS, st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=6))
def test_eight_and_four_bits_at_a_time_are_added(seed: int, counts: list[tuple[int, int]]) -> None:
    """Of rows that hold no carries: what is left in the places, and what is carried out of each."""
    rng, region, width = np.random.default_rng(seed), max(sum(pair) for pair in counts), len(counts)
    rows, sizes = rng.random((20, 8 * ROW)) < 0.5, [8 * eights + 4 * fours for eights, fours in counts]
    arena = room((20 + 4 * region + width, ROW), np.uint8)
    arena.array[:20] = packed(rows)
    chosen = rng.integers(0, 20, sum(sizes))
    bits, pairs = room_of(chosen * ROW, np.uint32), room_of(counts, np.int64)
    carries, sums = arena.at + np.uintp(20 * ROW), arena.at + np.uintp((20 + 4 * region) * ROW)
    end = _add(width, arena.at, bits.at, pairs.at, carries, region * ROW, sums)
    assert end == bits.at + np.uintp(4 * sum(sizes))
    held, begin = np.zeros(8 * ROW, np.int64), 0
    for place, (size, pair) in enumerate(zip(sizes, counts, strict=True)):
        total = held + rows[chosen[begin : begin + size]].sum(axis=0)
        assert np.array_equal(unpacked(arena.array[20 + 4 * region + place]), total & 1)
        if place >= width - 4:  # later places have not yet written where its carries are
            first = 20 + place % 4 * region
            carried = unpacked(arena.array[first : first + sum(pair)]).sum(axis=0)
            assert np.array_equal(total >> 3, carried)
        held, begin = (total & 7) >> 1, begin + size
    assert arena.intact


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.integers(1, 9), st.sampled_from([16, 20, 24]), st.booleans())
def test_neurons_are_those_of_arith(seed: int, steps: int, bits: int, same: bool) -> None:
    """Currents and thresholds up to what the bits hold; nothing sent where a lane is off."""
    rng, most = np.random.default_rng(seed), (1 << (bits - 2)) - 1
    reach = int(rng.choice([1, 3, 200, most]))
    current = extreme(rng, (steps, 2, LANES), -reach, reach)
    threshold = int(rng.choice([-reach, -1, 0, 1, reach // 2, reach, 2 * most]))
    on = rng.random((1 if same else steps, LANES)) < rng.choice([0.5, 1.0])
    arena = room((-(-steps // STEPS), 2 * bits, STEPS, LANES // 8), np.uint8)
    for t in range(steps):
        planes = packed(current[t, :, None] >> np.arange(bits)[:, None] & 1)
        arena.array[t // STEPS, :, t % STEPS] = planes.reshape(2 * bits, -1)
    limit = -(threshold >> np.arange(bits) & 1)
    limit[:-1] = ~limit[:-1]
    places, words, gate = (
        room_of(np.arange(2 * bits) * ROW, np.uint32),
        room_of(limit, np.int64),
        room_of(packed(on), np.uint8),
    )
    out = room((steps, 2, LANES // 8), np.uint8)
    _lif(steps, arena.at, 2 * bits * ROW, bits, places.at, words.at, gate.at, 0 if same else LANES // 8, out.at)
    membrane = np.zeros((2, LANES), np.int64)
    for t in range(steps):
        membrane = arith.decay(membrane, 2048) + current[t]
        spikes = membrane > threshold
        assert np.array_equal(unpacked(out.array[t]), spikes & on[0 if same else t])
        membrane = np.where(spikes, 0, membrane)
    assert out.intact
