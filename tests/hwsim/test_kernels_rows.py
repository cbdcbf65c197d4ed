"""Rows of bytes: gathered, interleaved, pushed together, counted."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from rooms import extreme, room, room_of

from pumice.hwsim.kernels import lane_words, row_tiles

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=60)
LANES = 64
quad_rows, copy_rows, squeeze_rows = row_tiles.quad_rows, row_tiles.copy_rows, row_tiles.squeeze_rows
lane_bits, count_common, count_quads = lane_words.lane_bits, lane_words.count_common, lane_words.count_quads
skip_lanes, spread_rows = row_tiles.skip_lanes, row_tiles.spread_rows
clear_words, fill_rows = row_tiles.clear_words, row_tiles.fill_rows


@njit  # type: ignore[misc]
def _quads(x: int, rows: int, quads: int, flip: int, out: int) -> None:
    quad_rows(x, rows, quads, np.uint8(flip), out)


@njit  # type: ignore[misc]
def _copy(x: int, rows: int, count: int, out: int) -> None:
    copy_rows(x, rows, count, out)


@njit  # type: ignore[misc]
def _squeeze(x: int, stride: int, count: int, on: int, out: int, apart: int) -> None:
    squeeze_rows(x, stride, count, on, out, apart)


@njit  # type: ignore[misc]
def _skip(on: int, chunks: int, before: int, out: int) -> int:
    return skip_lanes(on, chunks, before, out)


@njit  # type: ignore[misc]
def _spread(
    x: int, stride: int, count: int, on: int, tiles: int, skips: int, base: int, more: bool, out: int, apart: int
) -> None:
    spread_rows(x, stride, count, on, tiles, skips, base, more, out, apart)


@njit  # type: ignore[misc]
def _bits(x: int, count: int) -> int:
    return lane_bits(x, count)


@njit  # type: ignore[misc]
def _common(a: Any, b: Any) -> int:
    return count_common(a, b)


@njit  # type: ignore[misc]
def _count(word: Any, others: int, pairs: int, out: int, apart: int, more: bool) -> None:
    count_quads(word, others, pairs, out, apart, more)


@njit  # type: ignore[misc]
def _fill(rows: int, chunks: int, first: int, out: int, apart: int) -> None:
    clear_words(out, rows * apart // 64)
    fill_rows(rows, chunks, first, out, apart)


@OFTEN
@given(SEEDS, st.integers(0, 9), st.sampled_from([0, 128]))
def test_rows_are_gathered_from_any_byte_on(seed: int, quads: int, flip: int) -> None:
    """Offsets of taps are neither aligned nor ascending, and may be negative."""
    rng = np.random.default_rng(seed)
    source = room_of(rng.integers(0, 256, 2000), np.uint8)
    middle, places = 1000, rng.integers(-1000, 2000 - 1000 - LANES + 1, 4 * quads)
    rows = np.array([source.array[middle + k : middle + k + LANES] for k in places], np.uint8).reshape(-1, LANES)
    at, held = np.uintp(int(source.at) + middle), room_of(places, np.int64)
    laid, copied = room((quads, LANES, 4), np.uint8), room((4 * quads, LANES), np.uint8)
    _quads(at, held.at, quads, flip, laid.at)
    _copy(at, held.at, 4 * quads, copied.at)
    assert np.array_equal(laid.array, (rows.reshape(quads, 4, LANES) ^ flip).transpose(0, 2, 1))
    assert np.array_equal(copied.array, rows)
    assert laid.intact
    assert copied.intact


@OFTEN
@given(SEEDS, st.integers(0, 5), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_lanes_that_are_on_are_pushed_together(seed: int, rows: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    x, on = room_of(rng.integers(0, 256, (rows, 100)), np.uint8), room_of(rng.random(LANES) < share, np.uint8)
    out = room((rows, 2 * LANES), np.uint8)
    before, count = out.array.copy(), int(on.array.sum())
    _squeeze(x.at, 100, rows, on.at, np.uintp(int(out.at) + 3), 2 * LANES)
    assert np.array_equal(out.array[:, 3 : 3 + count], x.array[:, :LANES][:, on.array > 0])
    assert np.array_equal(out.array[:, :3], before[:, :3])
    assert np.array_equal(out.array[:, 3 + count :], before[:, 3 + count :])


@OFTEN
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0]), st.booleans())
def test_lanes_that_were_pushed_together_go_back_to_their_places(
    seed: int, rows: int, tiles: int, before: int, share: float, more: bool
) -> None:
    """By themselves, or added to what others have there."""
    rng, lanes = np.random.default_rng(seed), LANES * tiles
    on, skips = room_of(rng.random(lanes) < share, np.uint8), room((4 * tiles,), np.int64)
    assert _skip(on.at, 4 * tiles, before, skips.at) == before + on.array.sum()
    assert [*skips.array // 4] == [before + on.array[: 16 * k].sum() for k in range(4 * tiles)]
    packed, out = room_of(rng.integers(1, 100, (rows, before + lanes)), np.uint8), room((rows, lanes + 5), np.uint8)
    base = room_of(rng.integers(0, 100, out.array.shape), np.uint8)
    places = (on.at, tiles, skips.at, base.at, more, out.at, lanes + 5)
    _spread(packed.at, before + lanes, rows, *places)
    wanted = base.array[:, :lanes] * np.uint8(more)
    wanted[:, on.array > 0] += packed.array[:, before : before + int(on.array.sum())]
    assert np.array_equal(out.array[:, :lanes], wanted)
    assert out.intact


@OFTEN
@given(SEEDS, st.integers(0, 5), st.sampled_from([4, 24]), st.booleans())
def test_bits_in_common_are_counted_into_quads(seed: int, pairs: int, apart: int, more: bool) -> None:
    rng = np.random.default_rng(seed)
    words = rng.integers(0, 1 << 63, 1 + 8 * pairs, np.uint64) * np.uint64(2) + np.uint64(1)
    others, out = room_of(words[1:], np.uint64), room((max(1, 2 * pairs), apart), np.uint8)
    out.array[...] = rng.integers(0, 100, out.array.shape)
    before = out.array.copy()
    _count(words[0], others.at, pairs, out.at, apart, more)
    counts = np.array([bin(int(words[0]) & int(word)).count("1") for word in words[1:]], np.uint8).reshape(-1, 4)
    assert np.array_equal(out.array[: 2 * pairs, :4], counts + before[: 2 * pairs, :4] * np.uint8(more))
    assert np.array_equal(out.array[:, 4:], before[:, 4:])
    assert out.intact


@OFTEN
@given(SEEDS, st.integers(1, 64), st.integers(1, 64))
def test_bits_of_bytes_are_those_of_the_first_ones(seed: int, count: int, more: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = (room_of(extreme(rng, (LANES,), 0, 255), np.uint8) for _ in range(2))
    bits = [int(_bits(z.at, n)) for z, n in ((x, count), (y, more))]
    assert [bit == "1" for bit in f"{bits[0]:064b}"[::-1]] == [*(x.array[:count] != 0), *[False] * (LANES - count)]
    both = (x.array != 0) & (y.array != 0)
    assert _common(*(np.uint64(word) for word in bits)) == both[: min(count, more)].sum()


@OFTEN
@given(SEEDS, st.integers(0, 7), st.integers(0, 3))
def test_words_are_cleared_and_filled(seed: int, rows: int, chunks: int) -> None:
    first = extreme(np.random.default_rng(seed), (rows,), -(1 << 31), (1 << 31) - 1)
    start, out = room_of(first, np.int32), room((rows, 16 * chunks + 16), np.int32)
    _fill(rows, chunks, start.at, out.at, out.array.shape[1] * 4)
    assert np.array_equal(out.array[:, : 16 * chunks], np.broadcast_to(first[:, None], (rows, 16 * chunks)))
    assert not out.array[:, 16 * chunks :].any()
    assert out.intact
