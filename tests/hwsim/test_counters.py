"""Counters against brute force: every synapse of a convolution, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.hwsim import arith, counters


def brute_fan_out(weight: np.ndarray, grid: tuple[int, int], stride: int, pad: int, held: np.ndarray) -> np.ndarray:
    """Synapses per source neuron, counted over target, tap and source; held [O, H', W'] says which targets count. weight: sums of
    synapses of at most 255."""
    fan = np.zeros((weight.shape[1], *grid), np.int64)
    for o, y, x in np.argwhere(held):
        for c, i, j in np.argwhere(weight[o] != 0):
            row, column = y * stride + i - pad, x * stride + j - pad
            if 0 <= row < grid[0] and 0 <= column < grid[1]:
                fan[c, row, column] += -(-abs(weight[o, c, i, j]) // 255)
    return fan.reshape(weight.shape[1], -1)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(3, 1, 1), (3, 2, 1), (2, 2, 0), (1, 1, 0)]), st.booleans())
def test_fan_out_counts_every_stored_synapse_once(seed: int, window: tuple[int, int, int], sliced: bool) -> None:
    kernel, stride, pad = window
    rng = np.random.default_rng(seed)
    weight = rng.integers(-2, 3, (4, 3, kernel, kernel)) * rng.choice([1, 255, 300])
    grid = (6, 5)
    out = tuple((n + 2 * pad - kernel) // stride + 1 for n in grid)
    held = np.zeros((4, *out), np.int64)
    channels, positions = ((1, 3), (2, out[0] * out[1] - 1)) if sliced else ((0, 4), (0, out[0] * out[1]))
    held.reshape(4, -1)[slice(*channels), slice(*positions)] = 1
    counts = arith.synapse_counts(weight, "split")
    fan = arith.fan_out(counts, grid, (stride, stride), (pad, pad), channels, positions)
    assert np.array_equal(fan, brute_fan_out(weight, grid, stride, pad, held))


def test_synaptic_operations_are_events_times_fan_out() -> None:
    rng = np.random.default_rng(3)
    x = rng.integers(0, 2, (2, 4, 3, 6, 6))
    weight = rng.integers(-1, 2, (5, 3, 3, 3))
    ones = arith.synapse_counts(weight, "mixed")
    assert np.array_equal(ones, weight != 0)
    fan = arith.fan_out(ones, (6, 6), (1, 1), (1, 1))
    by_hand = arith.conv(x.reshape(8, 3, 6, 6), ones, (1, 1), (1, 1), 1).reshape(2, 4, -1).sum(axis=(1, 2))
    assert np.array_equal(counters.delivered(counters.spikes_per_neuron(x), fan), by_hand)


def test_coincidences_are_pairs_of_spikes_that_meet_at_each_output() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.integers(0, 2, (2, 3, 2, 4, 5)), rng.integers(0, 3, (2, 3, 2, 5, 6))
    expected = np.matmul(left, (right != 0).astype(np.int64)).sum(axis=1).reshape(2, 8, 6)
    assert np.array_equal(counters.coincidences(left, right), expected)
    weighted = np.matmul(left, right).sum(axis=1).reshape(2, 8, 6)
    assert np.array_equal(counters.products(left, right, 3 * 5 * 2), weighted)


def test_a_grouped_layer_counts_as_the_dense_layer_with_absent_synapses() -> None:
    rng = np.random.default_rng(4)
    x, weight = rng.integers(0, 3, (3, 4, 6, 5)), rng.integers(1, 4, (6, 2, 3, 3))
    dense = np.zeros((6, 4, 3, 3), np.int64)
    dense[:3, :2], dense[3:, 2:] = weight[:3], weight[3:]
    grouped = counters.layer_sops(x, weight, (2, 2), (1, 1), groups=2)
    whole = counters.layer_sops(x, dense, (2, 2), (1, 1))
    assert (grouped.events, grouped.weighted) == (whole.events, whole.weighted)
    assert grouped.dense == whole.dense / 2
    assert grouped.eq25 == pytest.approx(whole.eq25 / 2)
