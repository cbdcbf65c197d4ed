"""From floats to integers: what is exact, what is measured, what is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from networks import TinySpikformer

from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import conv
from pumice.compiler.float_nodes import Lif
from pumice.compiler.ir import TensorType
from pumice.compiler.program import Program
from pumice.compiler.quantization import input_grid, neuron_integers, run_layer, worst_current
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.spec import load_chip

CHIP = load_chip("loihi2")


def test_a_very_large_convolution_is_as_exact_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    x, weight = rng.integers(0, 2, (3, 2, 6, 9, 9)).astype(float), rng.normal(size=(5, 6, 3, 3))
    exact = conv(x, weight, np.ones(5), (1, 1), (1, 1))
    monkeypatch.setattr("pumice.compiler.evaluate.LARGE", 1)
    single = conv(x, weight, np.ones(5), (1, 1), (1, 1))
    assert single.dtype == np.float64
    assert 0 < np.abs(single - exact).max() < 1e-5


def lif(comparator: str = ">=", threshold: float = 1.0, tau: float = 2.0) -> Lif:
    return Lif("lif", ("x",), TensorType((1,)), "lif", tau, threshold, comparator)  # type: ignore[arg-type]


def float_spikes(x: np.ndarray, node: Lif) -> np.ndarray:
    v, out = np.zeros_like(x[0]), []
    for frame in x:
        v = v + (frame - v) / node.tau
        fired = v >= node.threshold if node.comparator == ">=" else v > node.threshold
        out.append(fired)
        v = np.where(fired, 0.0, v)
    return np.array(out)


@pytest.mark.parametrize("comparator", [">=", ">"])
@pytest.mark.parametrize("scale", [1.0, 8.0, 64.0])
def test_exact_ties_stay_ties(comparator: str, scale: float) -> None:
    """Inputs in whole units whose membrane meets the threshold exactly, at every step up to T = 6."""
    node = lif(comparator, threshold=4.0)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 9, (6, 1, 4000)).astype(np.float64)
    integers = neuron_integers(node, np.zeros(1), scale, CHIP)
    assert integers is not None
    assert integers.scale == scale
    spikes, _ = run_layer((x * scale).astype(np.int64).reshape(6, 1, 1, 4000), integers.params(2))
    assert np.array_equal(spikes[:, 0], float_spikes(x, node))
    met = float_spikes(x, lif(">=", 4.0)) != float_spikes(x, lif(">", 4.0))
    assert met.any()  # the inputs do contain exact ties, or this test could not fail


@pytest.mark.parametrize(("step", "tie"), [(2, "bias"), (1, "inclusive")])
def test_where_lifts_would_reach_a_step_of_the_grid_neurons_compare_with_or_equal(step: int, tie: str) -> None:
    """Lifts of 1/64 add up to tau / 64: beyond the step of odd weights, within that of even ones."""
    found = neuron_integers(lif(">=", tau=100.0), np.zeros(1), 8.0, CHIP, step)
    assert found is not None
    assert found.tie == tie


@given(st.floats(0.05, 4.0), st.floats(1.1, 20.0), st.floats(3.0, 5000.0))
def test_the_threshold_is_never_rounded(threshold: float, tau: float, scale: float) -> None:
    integers = neuron_integers(lif(threshold=threshold, tau=tau), np.zeros(1), scale, CHIP)
    if integers is None:
        assert tau * threshold * scale >= (1 << 17) - 1
        return
    assert tau * threshold * integers.scale == pytest.approx(integers.vth, rel=1e-12)


def test_a_bias_beyond_its_mantissa_moves_the_tie_into_the_threshold() -> None:
    narrow = replace(CHIP, bias_mantissa_bits=8)
    integers = neuron_integers(lif(), np.array([1.0]), 100.0, narrow)
    assert integers is not None
    assert integers.tie == "threshold"
    assert integers.bias_exp > 0
    assert 2 * integers.scale * 64 == pytest.approx(64 * integers.vth + 1)


@given(st.integers(2, 8), st.floats(1.0, 500.0), st.integers(0, 2**16))
def test_weights_are_even_and_fit_their_bits(bits: int, scale: float, seed: int) -> None:
    weight = np.random.default_rng(seed).normal(0, 1, (5, 4))
    integers, clipped = WeightGrid(bits).nearest(weight * scale)
    assert np.all(integers % 2 == 0)
    assert integers.min() >= -(1 << bits)
    assert integers.max() <= (1 << bits) - 2
    inside = np.abs(np.rint(weight * scale / 2)) < 1 << (bits - 1)
    assert np.all(np.abs(integers - weight * scale)[inside] <= 1 + 1e-9)
    assert clipped <= (~inside).sum()


@given(st.integers(0, 2**16), st.integers(0, 3), st.integers(0, 5))
def test_no_input_exceeds_the_worst_case(seed: int, low: int, high: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-5, 6, (3, 4, 2, 2))
    x = rng.integers(-low, high + 1, (200, 16))
    assert np.abs(x @ weight.reshape(3, -1).T).max() <= worst_current(weight, -low, high)


def test_pixels_on_a_binary_grid_are_exact() -> None:
    scale, low, high = input_grid(np.arange(17) / 16, 8)
    assert (scale, low, high) == (
        16.0,
        0,
        31,
    )  # a bit more of a payload would cost the accumulator a bit of the weights


def test_signed_input_gets_a_signed_range() -> None:
    assert input_grid(np.array([-1.0, 0.4]), 8)[1:] == (-128, 127)


def test_attention_counts_are_not_quantized(compiled: Callable[..., Program]) -> None:
    """(q kᵀ) v · 0.125 against threshold 0.5: counts against 2 · 0.5 / 0.125 = 8, no scale, no rounding."""
    graph = compiled().graph
    neurons = graph.nodes["block.0.attn_lif"]
    assert isinstance(neurons, i.IntLif)
    assert neurons.vth == 8
    assert np.all(neurons.bias == 1)  # the tie: v >= 8 becomes v + 1/64 > 8


def test_fewer_weight_bits_cost_more_spikes(compiled: Callable[..., Program]) -> None:
    def mismatch(bits: int) -> float:
        log = compiled(TinySpikformer(), weight_bits=bits).graph.log
        return float(sum(c.data["mismatch"] for c in log if "worst_current_bits" in c.data))

    assert mismatch(8) < mismatch(4) < mismatch(2)
