"""What is computed part by part, or once for all timesteps, is what it was as a whole."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.compiler import float_nodes as f
from pumice.compiler import tiles
from pumice.compiler.evaluate import conv, lif
from pumice.compiler.ir import TensorType
from pumice.compiler.quantization import run_layer
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.arith import LifParams, lif_step

SHAPES = st.tuples(*(st.integers(1, most) for most in (4, 6, 5)))


@given(SHAPES, st.integers(1, 200))
def test_tiles_take_each_value_once_and_no_more_than_they_may(shape: tuple[int, ...], most: int) -> None:
    taken = np.zeros(shape, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "VALUES", most)
        for samples, channels in tiles.tiles(shape):
            assert taken[samples, channels].size <= max(most, shape[2])
            taken[samples, channels] += 1
    assert (taken == 1).all()


@given(SHAPES, st.integers(1, 40), st.sampled_from(["hard", "soft", "next", "both"]), st.integers(0, 100))
@settings(max_examples=40, deadline=None)
def test_parts_of_a_layer_spike_as_the_whole(shape: tuple[int, ...], most: int, reset: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    current = rng.integers(-90, 140, (3, *shape))
    params = LifParams(60, 1365, rng.integers(-900, 900, (shape[1], 1)), reset=reset)  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiles, "VALUES", most)
        spikes, peak = run_layer(current, params)
    u = v = np.zeros(shape, np.int64)
    highest = 0
    for t in range(3):
        u, v, wanted = lif_step(u, v, current[t], params)
        highest = max(highest, int(np.abs(v).max()))
        assert np.array_equal(spikes[t], wanted)
    assert peak == highest


@pytest.mark.parametrize("state", ["hold", "decay"])
@pytest.mark.parametrize("routed", [True, False])
def test_parts_of_a_float_layer_spike_as_the_whole(state: str, routed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    x = rng.normal(1.0, 1.0, (4, 5, 6, 7))
    mask = rng.random((4, 5, 7)) < 0.5 if routed else None
    node = f.Lif("lif", ("x",), TensorType((6, 7), "real", 0, 1), "lif", 2.0, 1.0, ">=")
    whole = lif(x, node, mask, state)
    monkeypatch.setattr(tiles, "VALUES", 10)
    assert 0 < whole.mean() < 1
    assert np.array_equal(lif(x, node, mask, state), whole)


def test_a_frame_that_every_step_shows_is_convolved_as_each_would_be() -> None:
    rng = np.random.default_rng(2)
    frame, weight, bias = rng.integers(-4, 5, (2, 3, 6, 6)), rng.integers(-9, 9, (5, 3, 3, 3)), np.arange(5.0)
    shown = np.broadcast_to(frame.astype(np.float64), (4, *frame.shape))
    at_once, each = (conv(x, weight.astype(np.float64), bias, (1, 1), (1, 1)) for x in (shown, shown.copy()))
    assert at_once.shape == (4, 2, 5, 6, 6)
    assert np.array_equal(at_once, each)


@given(st.integers(0, 1000), st.sampled_from(["mixed", "split"]), st.integers(1, 3))
def test_rounding_errors_are_those_of_the_nearest_weights(seed: int, signs: str, synapses: int) -> None:
    grid = WeightGrid(6, signs, synapses)  # type: ignore[arg-type]
    ideal = np.random.default_rng(seed).normal(0, grid.largest / 2, (4, 9))
    assert grid.rounding_error(ideal).tobytes() == (grid.nearest(ideal)[0] - ideal).tobytes()
