"""Pools of maps in lanes beside `arith.or_pool` and `arith.max_pool`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rooms import extreme, room, room_of

from pumice.hwsim import arith
from pumice.hwsim.kernels.pools import pool_bytes, pool_rows

SEEDS = st.integers(0, 2**32 - 1)
WINDOWS = st.sampled_from(
    [(1, 1, 0), (2, 2, 0), (2, 1, 1), (3, 2, 1), (3, 1, 1), (4, 2, 1), (5, 1, 2), (4, 3, 1), (7, 2, 3)]
)
EXTENTS = st.tuples(st.integers(1, 9), st.sampled_from([1, 2, 7, 31, 32, 33, 63, 64, 65, 130]))
OFTEN = settings(deadline=None, max_examples=60)
STEPS, CHANNELS = 2, 2


def laid_out(maps: NDArray[Any], border: int, empty: int) -> NDArray[Any]:
    """Maps [T, B, C, H, W] as rows [T, C, lanes], a column and a row of `empty` lanes after each row and map; whole tiles."""
    steps, samples, channels, rows, columns = maps.shape
    grid = np.full((steps, channels, samples, rows + border, columns + border), empty, maps.dtype)
    grid[..., :rows, :columns] = maps.transpose(0, 2, 1, 3, 4)
    flat = grid.reshape(steps, channels, -1)
    return np.pad(flat, [(0, 0), (0, 0), (0, -flat.shape[2] % 64)], constant_values=empty)


def shape_of(extent: tuple[int, int], window: tuple[int, int, int]) -> tuple[int, int]:
    kernel, stride, padding = window
    rows, columns = ((n + 2 * padding - kernel) // stride + 1 for n in extent)
    return rows, columns


def size_of(extent: tuple[int, int], border: int) -> tuple[int, int, int, int]:
    return (*extent, extent[0] + border, extent[1] + border)


@OFTEN
@given(
    SEEDS,
    EXTENTS,
    WINDOWS,
    st.integers(1, 3),
    st.integers(0, 1),
    st.sampled_from([np.uint8, np.int8, np.int16, np.int32]),
)
def test_the_largest_of_a_window_outside_of_which_nothing_is_read(
    seed: int, extent: tuple[int, int], window: tuple[int, int, int], samples: int, border: int, dtype: Any
) -> None:
    rng, made = np.random.default_rng(seed), shape_of(extent, window)
    if min(made) < 1:
        return
    limits = np.iinfo(dtype)
    maps = extreme(rng, (STEPS, samples, CHANNELS, *extent), int(limits.min), int(limits.max)).astype(dtype)
    wanted = arith.max_pool(maps, *window)
    out = np.zeros_like(laid_out(wanted, border, 0))
    pool_rows(
        laid_out(maps, border, limits.max),  # garbage between maps, larger than any value
        size_of(extent, border), out, size_of(made, border), samples, *window, int(limits.min),
    )  # fmt: skip
    assert np.array_equal(out, laid_out(wanted, border, 0))


@OFTEN
@given(SEEDS, EXTENTS, WINDOWS, st.integers(1, 3), st.integers(0, 2), st.sampled_from([1, 255]))
def test_the_largest_of_a_window_of_bytes(
    seed: int, extent: tuple[int, int], window: tuple[int, int, int], samples: int, more: int, most: int
) -> None:
    """Many windows at once, where borders are of 0 and as wide as the padding, or wider. Lanes between the results stay."""
    rng, made, (_, stride, padding) = np.random.default_rng(seed), shape_of(extent, window), window
    if min(made) < 1 or stride > 2:
        return
    border = padding + more
    maps = extreme(rng, (STEPS, samples, CHANNELS, *extent), 0, most).astype(np.uint8)
    wanted = arith.max_pool(maps, *window)
    slack = padding * (extent[1] + border + 1)
    x = laid_out(maps, border, 0)
    held = room(x.shape, np.uint8) if not slack else room((x.size + 2 * slack + 128,), np.uint8)
    rows = held.array
    if slack:
        held.array[...] = 0  # as `runtime.fast.memory` keeps what is before an array
        begin = -(-slack // 64) * 64
        held.array[begin + x.size :] = 77
        rows = held.array[begin : begin + x.size].reshape(x.shape)
    rows[...] = x
    out = room_of(np.zeros_like(laid_out(wanted, border, 0)) + 5, np.uint8)
    pool_bytes(rows, size_of(extent, border), out.array, size_of(made, border), samples, *window)
    assert np.array_equal(out.array, laid_out(wanted, border, 5))
    assert out.intact


@pytest.mark.parametrize("window", [(3, 2, 1), (2, 2, 0)])
def test_spikes_are_pooled_as_by_an_or(window: tuple[int, int, int]) -> None:
    maps = (np.random.default_rng(0).random((STEPS, 3, CHANNELS, 6, 6)) < 0.2).astype(np.uint8)
    assert np.array_equal(arith.max_pool(maps, *window), arith.or_pool(maps, *window))
