"""Dense and sparse synapses of a tile are matrix products."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray
from rooms import Room, extreme, room, room_of

from pumice.hwsim.kernels.dot_tile import dot_tile
from pumice.hwsim.kernels.pair_tile import pair_tiles

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=100)
OUTPUTS, LANES = 6, 64


@njit  # type: ignore[misc]
def _dots(x: int, w: int, quads: int, start: int, out: int, apart: int) -> None:
    dot_tile(x, w, quads, start, out, apart)


@njit  # type: ignore[misc]
def _pairs(rows: int, x: int, offsets: int, weights: int, starts: int, out: int, apart: int) -> None:
    pair_tiles(rows, x, offsets, weights, starts, out, apart)


@OFTEN
@given(SEEDS, st.integers(0, 40), st.integers(1, 3))
def test_dots_are_a_product_of_all_bytes(seed: int, quads: int, tiles: int) -> None:
    rng = np.random.default_rng(seed)
    x, w = extreme(rng, (quads, LANES, 4), 0, 255), extreme(rng, (quads, OUTPUTS, 4), -128, 127)
    start = extreme(rng, (OUTPUTS,), -(1 << 30), 1 << 30)
    given_x, given_w, first = room_of(x, np.uint8), room_of(w, np.int8), room_of(start, np.int32)
    out = room((OUTPUTS, tiles * LANES), np.int32)
    out.array[...] = extreme(rng, out.array.shape, -(1 << 30), 1 << 30)
    before = out.array.copy()
    _dots(given_x.at, given_w.at, quads, first.at, out.at, tiles * LANES * 4)
    assert np.array_equal(out.array[:, :LANES], start[:, None] + np.einsum("qmk,qnk->mn", w, x))
    assert np.array_equal(out.array[:, LANES:], before[:, LANES:])
    assert out.intact


def lists(weights: list[NDArray[np.int64]], columns: list[NDArray[np.int64]]) -> tuple[Room, Room, Room]:
    """Of each output's synapses pairs of weights and of offsets, and where each output's pairs start."""
    starts = np.cumsum([0, *(-(-len(row) // 2) for row in weights)])
    values, offsets = np.zeros((max(starts[-1], 1), 2), np.int64), np.zeros((max(starts[-1], 1), 2), np.int64)
    for row, column, start in zip(weights, columns, starts, strict=False):
        values.reshape(-1)[2 * start : 2 * start + len(row)] = row
        offsets.reshape(-1)[2 * start : 2 * start + len(row)] = column * LANES
    return room_of(values, np.int8), room_of(offsets, np.uint32), room_of(starts, np.int64)


@OFTEN
@given(SEEDS, st.integers(1, 7), st.integers(1, 60), st.sampled_from([1, 4, 127, 128]))
def test_pairs_are_a_product_of_the_synapses_there_are(seed: int, outputs: int, inputs: int, most: int) -> None:
    """As many synapses as 16 bits hold in the worst case, and outputs that have none."""
    rng = np.random.default_rng(seed)
    x, before = extreme(rng, (inputs, LANES), 0, most), extreme(rng, (outputs, LANES), -(1 << 30), 1 << 30)
    weights, columns, wanted = [], [], before.copy()
    for output in range(outputs):
        row = extreme(rng, (int(rng.integers(0, 2 * inputs)),), -128, 127)
        row = row[: np.searchsorted(np.cumsum(np.abs(row) * most), (1 << 15) - 1, side="right")]
        weights.append(row)
        columns.append(rng.integers(0, inputs, len(row)))
        wanted[output] += row @ x[columns[-1]]
    values, offsets, starts = lists(weights, columns)
    rows, out = room_of(x, np.uint8), room_of(before, np.int32)
    _pairs(outputs, rows.at, offsets.at, values.at, starts.at, out.at, LANES * 4)
    assert np.array_equal(out.array, wanted)
    assert out.intact


def test_pairs_reach_both_ends_of_16_bits() -> None:
    for weight in (-128, 127):
        row = np.full((1 << 15) // (128 * abs(weight)) - (weight < 0), weight)
        row = np.append(row, np.sign(weight) * (((1 << 15) - 1 - 128 * int(np.abs(row).sum())) // 128))
        assert (1 << 15) - 128 <= 128 * int(np.abs(row).sum()) < 1 << 15
        values, offsets, starts = lists([row], [np.zeros(len(row), np.int64)])
        rows, out = room_of(np.full((1, LANES), 128), np.uint8), room_of(np.zeros((1, LANES)), np.int32)
        _pairs(1, rows.at, offsets.at, values.at, starts.at, out.at, LANES * 4)
        assert (out.array == 128 * int(row.sum())).all()


def test_two_products_of_the_largest_bytes_do_not_saturate() -> None:
    """-128 · 128 twice is the lowest number of 16 bits."""
    values, offsets, starts = lists([np.array([-128, -128])], [np.zeros(2, np.int64)])
    rows, out = room_of(np.full((1, LANES), 128), np.uint8), room_of(np.zeros((1, LANES)), np.int32)
    _pairs(1, rows.at, offsets.at, values.at, starts.at, out.at, LANES * 4)
    assert (out.array == -(1 << 15)).all()
