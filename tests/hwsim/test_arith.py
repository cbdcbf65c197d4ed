"""The arithmetic of a program on its own: exactness, edges, gating. Lava's stock Processes witness it elsewhere."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pumice.hwsim import arith

PARAMS = arith.LifParams(vth=10, dv=2048, bias=np.zeros(1, np.int64))


@given(
    arrays(np.int64, (3, 4, 5), elements=st.integers(-256, 254)),
    arrays(np.int64, (3, 5, 2), elements=st.integers(0, 65535)),
)
def test_matmul_on_float_blas_equals_integer_matmul(a: np.ndarray, b: np.ndarray) -> None:
    assert np.array_equal(arith.exact_matmul(a, b, 5 * 256 * 65535), np.einsum("bmk,bkn->bmn", a, b))


def test_matmul_refuses_sums_that_float64_cannot_hold() -> None:
    with pytest.raises(ValueError, match="53 exact bits"):
        arith.exact_matmul(np.ones((1, 1)), np.ones((1, 1)), 1 << 53)


@given(st.integers(-(2**23) + 1, 2**23 - 1), st.integers(0, 4095))
def test_decay_rounds_toward_zero_by_magnitude(v: int, rate: int) -> None:
    exact = abs(v) * (4096 - rate) // 4096
    assert arith.decay(np.array([v]), rate)[0] == (exact if v >= 0 else -exact)


def test_a_spike_needs_more_than_the_threshold() -> None:
    at, above = np.array([10]), np.array([11])
    zero = np.zeros(1, np.int64)
    assert not arith.lif_step(zero, zero, at, PARAMS)[2][0]
    _, v, spike = arith.lif_step(zero, zero, above, PARAMS)
    assert spike[0]
    assert v[0] == 0  # hard reset


def test_soft_reset_keeps_what_exceeds_the_threshold() -> None:
    soft = arith.LifParams(10, 2048, np.zeros(1, np.int64), reset="soft")
    zero = np.zeros(1, np.int64)
    assert arith.lif_step(zero, zero, np.array([12]), soft)[1][0] == (12 - 10) << 6


@given(st.integers(-(2**23) + 1, 10 << 6), st.integers(-500, 500), st.integers(-40, 40))
def test_an_unrouted_neuron_gets_no_input_no_bias_and_stays_silent(v: int, current: int, bias: int) -> None:
    params = arith.LifParams(10, 2048, np.array([bias]))
    u, start, off = np.zeros(1, np.int64), np.array([v]), np.zeros(1, np.bool_)
    _, held, spike = arith.gated_lif_step(u, start, np.array([current]), off, params, "hold")
    assert not spike[0]
    assert held[0] == v
    _, decayed, spike = arith.gated_lif_step(u, start, np.array([current]), off, params, "decay")
    assert not spike[0]
    assert decayed[0] == arith.decay(start, 2048)[0]


@given(st.integers(0, 2**32 - 1))
def test_a_routed_neuron_is_an_ordinary_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    v, current = rng.integers(-9999, 640, 50), rng.integers(-300, 300, 50)
    params, zero = arith.LifParams(10, 2048, rng.integers(-99, 99, 50)), np.zeros(50, np.int64)
    gated = arith.gated_lif_step(zero, v, current, np.ones(50, np.bool_), params, "hold")
    plain = arith.lif_step(zero, v, current, params)
    assert all(np.array_equal(a, b) for a, b in zip(gated, plain, strict=True))


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([(3, 1, 1), (3, 2, 1), (2, 2, 0), (1, 1, 0)]))
def test_or_pool_is_the_maximum_of_binary_spikes(seed: int, window: tuple[int, int, int]) -> None:
    kernel, stride, padding = window
    x = np.random.default_rng(seed).integers(0, 2, (2, 3, 6, 6))
    padded = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
    size = (6 + 2 * padding - kernel) // stride + 1
    expected = np.zeros((2, 3, size, size), np.int64)
    for i in range(size):
        for j in range(size):
            window_values = padded[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
            expected[:, :, i, j] = window_values.max(axis=(2, 3))
    assert np.array_equal(arith.or_pool(x, kernel, stride, padding), expected)


@given(st.integers(0, 2**32 - 1))
def test_both_orders_of_attention_give_the_same_integers(seed: int) -> None:
    rng = np.random.default_rng(seed)
    q, k, v = rng.integers(0, 2, (3, 2, 8, 5))
    scores = arith.spike_matmul("scores", q, k, 2, 0, 8)
    first = arith.spike_matmul("scores-values", scores, v, 2, 1, 40)
    context = arith.spike_matmul("keys-values", k, v, 2, 0, 5)
    second = arith.spike_matmul("queries-context", q, context, 2, 1, 40)
    assert np.array_equal(first, second)
    heads = [x.reshape(2, 2, 4, 5) for x in (q, k, v)]
    assert np.array_equal(first, 2 * np.einsum("bhci,bhcj,bhej->bhei", *heads).reshape(2, 8, 5))


@given(st.integers(0, 2**32 - 1), st.integers(0, 90))
def test_sums_of_attention_saturate(seed: int, most: int) -> None:
    q, k = np.random.default_rng(seed).integers(0, 5, (2, 3, 8, 5))
    free = arith.spike_matmul("scores", q, k, 2, 1, 64)
    assert np.array_equal(arith.spike_matmul("scores", q, k, 2, 1, 64, most), np.minimum(free, most))


def test_the_readout_saturates_at_24_bits() -> None:
    top = np.array([2**23 - 2])
    assert arith.accumulate(top, np.array([10]))[0] == 2**23 - 1
