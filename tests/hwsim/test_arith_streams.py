"""The arithmetic of streams, levels and pools, against rounding, torch and counting by hand."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from pumice.hwsim import arith

torch = pytest.importorskip("torch", reason="its pools and convolutions are the witnesses")

WINDOWS = st.sampled_from([(3, 2, 1), (3, 1, 1), (2, 2, 0), (1, 1, 0)])
PAYLOADS = st.integers(-(1 << 15), (1 << 15) - 1)


@given(st.integers(1, 4000).map(lambda n: 2 * n), st.data())
def test_levels_round_half_to_even_and_clamp(scale: int, data: st.DataObject) -> None:
    """MultiSpike: 0.5 falls, 1.5 rises, 2.5 falls, 3.5 rises; only `>` is compared, so what rises needs one less."""
    on_ties = st.integers(-3, 12).map(lambda halves: halves * scale // 2)
    a_in = data.draw(arrays(np.int64, 20, elements=st.one_of(on_ties, st.integers(-scale, 6 * scale))))
    halves = np.array([1, 3, 5, 7]) * (scale // 2) << arith.MEMBRANE_SHIFT
    levels = arith.spike_levels(a_in, np.int64(0), halves - [0, 1, 0, 1])
    np.testing.assert_array_equal(levels, np.rint(np.clip(a_in / scale, 0, 4)))


@given(arrays(np.int64, (3, 4, 5), elements=st.integers(-5000, 5000)), st.data())
def test_levels_count_the_thresholds_that_current_and_bias_exceed(a_in: np.ndarray, data: st.DataObject) -> None:
    bias = data.draw(arrays(np.int64, (4, 1), elements=st.integers(-(1 << 19), 1 << 19)))
    thresholds = np.sort(data.draw(arrays(np.int64, 4, elements=st.integers(-(1 << 19), 1 << 19))))
    expected = sum(((a_in * 64 + bias) > threshold).astype(np.int64) for threshold in thresholds)
    np.testing.assert_array_equal(arith.spike_levels(a_in, bias, thresholds), expected)


@given(arrays(np.int64, array_shapes(min_dims=2, max_dims=3, max_side=6), elements=PAYLOADS), st.integers(0, 6))
def test_token_sums_round_to_the_nearest_and_halves_up(x: np.ndarray, shift: int) -> None:
    found = arith.token_sum(x, shift)
    assert found.shape == (*x.shape[:-1], 1)
    totals = x.reshape(-1, x.shape[-1]).sum(axis=1)
    assert found.reshape(-1).tolist() == [floor(Fraction(int(t), 1 << shift) + Fraction(1, 2)) for t in totals]


@settings(deadline=None)
@given(arrays(np.int64, (2, 3, 6, 5), elements=PAYLOADS), WINDOWS)
def test_max_pool_is_torchs_and_keeps_the_type(x: np.ndarray, window: tuple[int, int, int]) -> None:
    kernel, stride, padding = window
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x.astype(np.float64)), kernel, stride, padding)
    found = arith.max_pool(x, kernel, stride, padding)
    np.testing.assert_array_equal(found, expected.numpy())
    assert found.dtype == x.dtype
    np.testing.assert_array_equal(arith.max_pool(x.astype(np.int32), *window), found)
    np.testing.assert_array_equal(arith.max_pool(x.astype(np.float32), *window), found)


@given(
    arrays(np.int64, (4, 5), elements=st.integers(-9000, 9000)),
    arrays(np.int64, (4, 5), elements=PAYLOADS),
    arrays(np.bool_, 5),
    st.integers(-4, 4),
    st.integers(0, 1 << 15),
)
def test_a_membrane_adds_where_routed_passes_on_where_not_and_clips(
    a_in: np.ndarray, streams: np.ndarray, routed: np.ndarray, shift: int, top: int
) -> None:
    bias = np.array([[-900], [0], [7], [30_000]])
    found = arith.membrane(a_in, streams, routed, shift, bias, -top - 1, top)
    for c, n in np.ndindex(found.shape):
        added = floor(Fraction(int(a_in[c, n])) * Fraction(2) ** shift + Fraction(1, 2)) + int(bias[c, 0])
        added = added if routed[n] else 0
        assert found[c, n] == min(max(added + int(streams[c, n]), -top - 1), top)
    everywhere = arith.membrane(a_in, 0, None, shift, bias, -top - 1, top)
    np.testing.assert_array_equal(everywhere, np.clip(np.floor(a_in * 2.0**shift + 0.5) + bias, -top - 1, top))


@pytest.mark.parametrize(("gates", "positions"), [(6, 1), (6, 4), (2, 4), (1, 1), (3, 1)])
def test_a_gate_of_spikes_rules_its_share_of_the_channels(gates: int, positions: int) -> None:
    rng = np.random.default_rng(gates)
    gate, x = rng.integers(0, 2, (3, gates, positions)), rng.integers(0, 2, (3, 6, 4))
    found = arith.spike_and(gate, x)
    for b, c, n in np.ndindex(x.shape):
        assert found[b, c, n] == (gate[b, c * gates // 6, n % positions] and x[b, c, n])


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([(4, 4, 4), (6, 4, 2), (2, 4, 2), (4, 8, 1)]), WINDOWS, st.integers(0, 2**32 - 1))
def test_a_grouped_convolution_is_torchs(sizes: tuple[int, int, int], window: tuple[int, int, int], seed: int) -> None:
    (outputs, channels, groups), (kernel, stride, padding), rng = sizes, window, np.random.default_rng(seed)
    weight = rng.integers(-128, 128, (outputs, channels // groups, kernel, kernel)) * 2
    x = rng.integers(-999, 999, (2, 3, channels, 6, 5))
    flat, kernels = (torch.from_numpy(a.astype(np.float64)) for a in (x.reshape(6, channels, 6, 5), weight))
    expected = torch.nn.functional.conv2d(flat, kernels, None, stride, padding, groups=groups).numpy()
    found = arith.synaptic_currents(x, weight, (stride,) * 2, (padding,) * 2, 999, 3, groups)
    np.testing.assert_array_equal(found, expected.reshape(2, 3, *expected.shape[1:]))


@pytest.mark.parametrize("groups", [1, 4])
def test_a_convolution_of_a_few_images_at_a_time_is_the_same(monkeypatch: pytest.MonkeyPatch, groups: int) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(-9, 9, (7, 4, 6, 5)), rng.integers(-9, 9, (8, 4 // groups, 3, 3)) * 2
    whole = arith.conv(x, weight, (1, 1), (1, 1), 9, groups)
    monkeypatch.setattr(arith, "PATCH_VALUES", 2 * 4 * 9 * 30)  # two images
    np.testing.assert_array_equal(arith.conv(x, weight, (1, 1), (1, 1), 9, groups), whole)
    monkeypatch.setattr(arith, "PATCH_VALUES", 1)
    np.testing.assert_array_equal(arith.conv(x, weight, (1, 1), (1, 1), 9, groups), whole)
