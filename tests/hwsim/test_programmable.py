"""Programmable neurons: stock Lava's where they are plain, and what they add stated as properties."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from pumice.hwsim import arith
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams, neuron_step, program_of, thresholds_in

NEURONS, STEPS = 16, 7
V_MAX = arith.STATE_LIMIT - 1
CURRENTS = arrays(np.int64, (STEPS, NEURONS), elements=st.integers(-4000, 4000))
STATES = arrays(np.int64, NEURONS, elements=st.integers(-V_MAX, V_MAX))


def one(value: int) -> NDArray[np.int64]:
    return np.array([value])


def plain(threshold: int = 6400, dv: int = 1024, du: int = arith.DECAY_UNITY, **more: Any) -> NeuronParams:
    """One threshold, nothing added, nothing below which v could not fall."""
    zeros = {name: one(0) for name in ("bias", "current_bias", "start", "current_start", "v_reset")}
    return replace(NeuronParams(one(threshold), one(dv), one(du), floor=one(NO_FLOOR), **zeros), **more)


def run(params: NeuronParams, currents: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """What is sent, and the membranes, [T, N]."""
    u, v = params.begin(currents.shape[1:])
    sent, membranes = [], []
    for a_in in currents:
        u, v, out = neuron_step(u, v, a_in, params)
        sent.append(out)
        membranes.append(v)
    return np.stack(sent), np.stack(membranes)


@given(CURRENTS, st.integers(1, 500), st.integers(0, 4095), st.integers(-500, 500), st.booleans())
@pytest.mark.parametrize("reset", get_args(arith.Reset))
def test_without_memory_of_their_current_they_are_the_lif_of_the_chip(
    reset: arith.Reset, currents: NDArray[np.int64], vth: int, dv: int, bias: int, inclusive: bool
) -> None:
    lif = arith.LifParams(vth, dv, one(bias), reset=reset, inclusive=inclusive)
    sent, membranes = run(program_of(lif, 1), currents)
    u = v = np.zeros(NEURONS, np.int64)
    for t, a_in in enumerate(currents):
        u, v, spikes = arith.lif_step(u, v, a_in, lif)
        assert np.array_equal(v, membranes[t])
        assert np.array_equal(spikes, sent[t])


@given(CURRENTS, st.integers(1, 500), st.integers(0, 4095), st.integers(256, 4095))
@settings(deadline=None, max_examples=30)
def test_with_memory_of_their_current_they_are_stock_lava_s_lif(
    currents: NDArray[np.int64], vth: int, dv: int, du: int
) -> None:
    """Lava leaks one part in 4096 more of a current than its du says. These currents cannot fill 24 bits."""
    lif = pytest.importorskip("lava.proc.lif.process", reason="needs pumice[lava] on Python 3.10")
    from lava_models import run_stock

    process = lif.LIF(shape=(NEURONS,), du=du - 1, dv=dv, vth=vth)
    _, spikes = run_stock(process, "a_in", "s_out", currents)
    assert np.array_equal(run(plain(vth << 6, dv, du), currents)[0], spikes)


@given(STATES, st.integers(1, 1 << 20), st.integers(2, 200), st.booleans())
def test_spikes_are_the_whole_thresholds_in_a_membrane(
    v: NDArray[np.int64], theta: int, most: int, inclusive: bool
) -> None:
    """n spikes take n thresholds; one more would not be due, unless the neuron has sent the most it can."""
    n = thresholds_in(v, plain(theta, most=most, inclusive=inclusive))
    due = (lambda k: v >= k * theta) if inclusive else (lambda k: v > k * theta)
    assert np.all((n == 0) | due(n))
    assert np.all((n == most) | ~due(n + 1))


@given(CURRENTS, st.integers(1, 4000))
def test_what_is_subtracted_is_what_was_sent(currents: NDArray[np.int64], theta: int) -> None:
    """Without leak nothing is lost: all that came in is in the membrane or was sent."""
    sent, membranes = run(plain(theta, dv=0, reset="soft", most=255), currents)
    assert np.array_equal(membranes[-1] + theta * sent.sum(axis=0), currents.sum(axis=0) << arith.MEMBRANE_SHIFT)


@given(CURRENTS, st.integers(-3000, 0))
def test_a_membrane_never_ends_a_step_below_its_floor(currents: NDArray[np.int64], floor: int) -> None:
    free, kept = (run(plain(floor=one(level)), currents)[1] for level in (NO_FLOOR, floor))
    assert (kept >= floor).all()
    assert np.array_equal(kept, free) == bool((free >= floor).all())


@given(CURRENTS, st.integers(-8, 2), st.integers(1, 30_000))
def test_neurons_that_do_not_fire_send_their_membrane(currents: NDArray[np.int64], shift: int, limit: int) -> None:
    sent, membranes = run(plain(most=0, shift=shift, limits=(-limit, limit)), currents)
    assert np.array_equal(sent, np.clip(np.floor(membranes * 2.0**shift + (0.5 if shift < 0 else 0)), -limit, limit))


def test_each_neuron_has_its_own_parameters_and_start() -> None:
    params = replace(
        plain(reset="hard"),
        threshold=np.array([100, 200, 300]),
        dv=np.array([0, 2048, 4096]),
        start=np.array([90, 90, 90]),
        v_reset=np.array([-5, 0, 7]),
    )
    sent, membranes = run(params, np.array([[1, 1, 1], [2, 3, 5]]))  # 64, then 128, 192, 320
    assert np.array_equal(sent, [[1, 0, 0], [1, 1, 1]])
    assert np.array_equal(membranes, [[-5, 109, 64], [-5, 0, 7]])
