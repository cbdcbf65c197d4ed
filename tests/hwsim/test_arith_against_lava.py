"""`hwsim.arith` equals the stock fixed-point models of Lava, bit for bit, on random and on extreme values.

The models run in this process, their ports replaced by queues; `tests/runtime/test_lava_backend.py` runs them on the real
runtime.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lava_models import run_stock
from numpy.typing import NDArray

from pumice.hwsim import arith

pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")

from lava.proc.conv.process import Conv
from lava.proc.dense.process import Dense
from lava.proc.lif.process import LIF, LIFReset
from lava.proc.sparse.process import Sparse
from lava.utils.weightutils import SignMode

NEURONS, STEPS = 24, 6
PAYLOAD = 24  # message bits
V_MAX = arith.STATE_LIMIT - 1
EXTREME_CURRENTS = st.sampled_from([0, 1, -1, arith.ACTIVATION_LIMIT, -arith.ACTIVATION_LIMIT, 1 << 20, -(1 << 20)])
CURRENTS = st.one_of(st.integers(-3000, 3000), st.integers(-(1 << 20), 1 << 20), EXTREME_CURRENTS)
POTENTIALS = st.one_of(st.integers(-V_MAX, V_MAX), st.sampled_from([0, 1, -1, V_MAX, -V_MAX]))
DECAYS = st.one_of(st.integers(0, 4095), st.sampled_from([0, 1, 2048, 4094, 4095]))
EXACT = settings(deadline=None, max_examples=40)


@st.composite
def populations(draw: st.DrawFn) -> dict[str, Any]:
    """Everything that a LIF population is made of, and its input."""
    return {
        "u": draw(arrays(np.int64, NEURONS, elements=st.integers(-V_MAX, arith.STATE_LIMIT))),
        "v": draw(arrays(np.int64, NEURONS, elements=POTENTIALS)),
        "du": draw(DECAYS),
        "dv": draw(DECAYS),
        "vth": draw(st.one_of(st.integers(1, 300), st.integers(1, (1 << 17) - 1))),
        "bias_mant": draw(arrays(np.int64, NEURONS, elements=st.integers(-4096, 4095))),
        "bias_exp": draw(st.integers(0, 7)),
        "a_in": draw(arrays(np.int64, (STEPS, NEURONS), elements=CURRENTS)),
    }


def ours(p: dict[str, Any], resets: tuple[int, ...] = ()) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """u, v and the spikes [T, neurons] of `lif_step`; u and v are zero before the steps in `resets`."""
    params = arith.LifParams(p["vth"], p["dv"], p["bias_mant"] << p["bias_exp"], p["du"])
    u, v, spikes = p["u"], p["v"], []
    for t, current in enumerate(p["a_in"]):
        u, v = (np.zeros_like(u), np.zeros_like(v)) if t in resets else (u, v)
        u, v, fired = arith.lif_step(u, v, current, params)
        spikes.append(fired)
    return u, v, np.stack(spikes)


def parameters(p: dict[str, Any]) -> dict[str, Any]:
    """A population as keywords of the stock Processes."""
    state = {name: p[name].astype(np.int32) for name in ("u", "v", "bias_mant")}
    return {"shape": (NEURONS,), **state, **{name: p[name] for name in ("du", "dv", "vth", "bias_exp")}}


@EXACT
@given(populations())
def test_lif_step_is_stock_lif(p: dict[str, Any]) -> None:
    model, spikes = run_stock(LIF(**parameters(p)), "a_in", "s_out", p["a_in"])
    u, v, expected = ours(p)
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_array_equal(model.u, u)
    np.testing.assert_array_equal(model.v, v)


@EXACT
@given(populations(), st.integers(1, 4), st.integers(0, 9))
def test_stock_reset_falls_before_the_first_frame_of_a_sample(p: dict[str, Any], timesteps: int, lag: int) -> None:
    """reset_offset = lag + 1: time steps count from 1, and the reset comes before input and bias of that very step."""
    process = LIFReset(**parameters(p), reset_interval=timesteps, reset_offset=lag + 1)
    model, spikes = run_stock(process, "a_in", "s_out", p["a_in"])
    u, v, expected = ours(p, tuple(t for t in range(STEPS) if (t - lag) % timesteps == 0))
    np.testing.assert_array_equal(spikes, expected)
    np.testing.assert_array_equal(model.u, u)
    np.testing.assert_array_equal(model.v, v)


def test_current_wraps_and_potential_saturates_as_in_lava() -> None:
    """The edges by name: u = +2^23 stays, beyond it u wraps once; v stops at ±(2^23 - 1)."""
    edge = arith.STATE_LIMIT >> arith.MEMBRANE_SHIFT
    a_in = np.array([[edge - 1, edge, edge + 1, -edge + 1, -edge, -edge - 1, 0, 0]])
    start = np.array([0] * 6 + [V_MAX, -V_MAX])
    p = {"u": np.zeros(8, np.int64), "v": start, "du": 0, "dv": 0, "vth": (1 << 17) - 1}
    p |= {"bias_mant": np.array([0] * 6 + [4095, -4096]), "bias_exp": 7, "a_in": a_in}
    model, spikes = run_stock(LIF(**parameters(p) | {"shape": (8,)}), "a_in", "s_out", a_in)
    u, v, expected = ours(p)
    np.testing.assert_array_equal(model.u, u)
    np.testing.assert_array_equal(model.v, v)
    np.testing.assert_array_equal(spikes, expected)
    assert u[1] == arith.STATE_LIMIT
    assert abs(u[2]) < arith.STATE_LIMIT
    assert v[7] == -V_MAX


SHIFTED = slice(0, -1), slice(1, None)  # a stock synapse sends in each step what it received in the step before
MATRICES = arrays(np.int64, (5, 7), elements=st.integers(-400, 400))


@pytest.mark.parametrize("kind", [Dense, Sparse])
@EXACT
@given(MATRICES, arrays(np.int64, (4, 7), elements=st.integers(0, 65535)), st.booleans())
def test_mixed_weights_are_what_stock_synapses_make_of_a_matrix(
    kind: Any, weights: NDArray[np.int64], x: NDArray[np.int64], graded: bool
) -> None:
    x = x if graded else x & 1
    process = kind(weights=weights, sign_mode=SignMode.MIXED, num_message_bits=PAYLOAD if graded else 0)
    _, currents = run_stock(process, "s_in", "a_out", x)
    expected = arith.exact_matmul(x, arith.mixed_weights(weights).T, 7 * 256 * 65535)
    np.testing.assert_array_equal(currents[SHIFTED[1]], expected[SHIFTED[0]])
    assert not currents[0].any()


@pytest.mark.parametrize("kind", [Dense, Sparse])
def test_even_weights_pass_stock_synapses_unchanged(kind: Any) -> None:
    """Also a matrix of one sign, which Lava would clip to another range if it were left to guess."""
    for weights in (np.arange(-256, 0, 2), np.arange(0, 256, 2), np.arange(-256, 256, 2)):
        square = np.diag(weights)
        x = np.ones((2, len(weights)), np.int64)
        _, currents = run_stock(kind(weights=square, sign_mode=SignMode.MIXED), "s_in", "a_out", x)
        np.testing.assert_array_equal(currents[1], weights)


@given(
    arrays(np.int64, (3, 9), elements=st.one_of(st.integers(-(1 << 17) + 1, (1 << 17) - 1), st.sampled_from([-1, 1])))
)
@EXACT
def test_excitatory_ones_pass_payloads_unchanged_whatever_their_sign(x: NDArray[np.int64]) -> None:
    """How a stream becomes a current: mixed signs have no weight of 1, and the sign mode rules weights, not payloads."""
    process = Sparse(weights=np.eye(9, dtype=np.int32), sign_mode=SignMode.EXCITATORY, num_message_bits=PAYLOAD)
    _, currents = run_stock(process, "s_in", "a_out", x)
    np.testing.assert_array_equal(currents[SHIFTED[1]], x[SHIFTED[0]])


@EXACT
@given(st.data())
def test_conv_is_stock_conv(data: st.DataObject) -> None:
    """Up to Lava's axes: [W, H, C], and kernels turned round, because Lava convolves and we correlate."""
    out, channels = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    height, width = data.draw(st.integers(3, 6)), data.draw(st.integers(3, 6))
    kernel = data.draw(st.tuples(st.integers(1, 3), st.integers(1, 3)))
    stride, padding = data.draw(st.tuples(*[st.integers(1, 2)] * 2)), data.draw(st.tuples(*[st.integers(0, 1)] * 2))
    weight = data.draw(arrays(np.int64, (out, channels, *kernel), elements=st.integers(-128, 127).map(lambda w: 2 * w)))
    x = data.draw(arrays(np.int64, (2, channels, height, width), elements=st.integers(0, 255)))
    process = Conv(
        weight=weight[:, :, ::-1, ::-1].transpose(0, 3, 2, 1),
        input_shape=(width, height, channels),
        stride=stride[::-1],
        padding=padding[::-1],
        num_message_bits=PAYLOAD,
    )
    _, currents = run_stock(process, "s_in", "a_out", x.transpose(0, 3, 2, 1))
    expected = arith.conv(x, weight, stride, padding, 255)
    np.testing.assert_array_equal(currents.transpose(0, 3, 2, 1)[1], expected[0])
