"""The scale of a layer's weights: what rounding errors leave in membranes, and that the search finds the least of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumice.compiler.evaluate import conv as float_conv
from pumice.compiler.float_nodes import Conv
from pumice.compiler.importing.readings import reading
from pumice.compiler.ir import TensorType
from pumice.compiler.moments import membrane_moments
from pumice.compiler.options import CompileOptions
from pumice.compiler.scale_search import (
    FACTORS,
    Part,
    current_fits,
    error_variance,
    exact_scale,
    fitting_scale,
    membrane_error,
    scales_by_error,
    some_outputs,
    worst,
)
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.arith import ACTIVATION_LIMIT, ONE_SYNAPSE, Signs, synapse_counts, synapse_lists, ungrouped

Floats = NDArray[np.float64]
KEEP, CURRENT_KEEP = 0.75, 0.5
PLAIN = Part(np.zeros((1, 1, 1, 1)), 1, 1.0, (0, 1), lambda: np.zeros((1, 1, 1)), lambda w: w)
GRIDS = [WeightGrid(8, signs, synapses) for signs in ONE_SYNAPSE for synapses in (1, 2, 3, 4)]


def conv_of(weight: Floats, groups: int) -> Conv:
    out = TensorType((len(weight), 5, 4), "float")
    return Conv("c", ("x",), out, "c", weight, np.zeros(len(weight)), (1, 1), (1, 1), groups)


def spikes(rng: np.random.Generator, channels: int) -> NDArray[np.int64]:
    """[T, B, C, H, W], channels of different rates."""
    return (rng.random((6, 8, channels, 5, 4)) < rng.uniform(0.05, 0.6, (channels, 1, 1))).astype(np.int64)


def part_of(rng: np.random.Generator, groups: int) -> Part:
    weight, x = rng.normal(0, 1, (6, 4 // groups, 3, 3)), spikes(rng, 4)
    return Part(weight, groups, 1.0, (0, 1), lambda: membrane_moments(x, conv_of(weight, groups), KEEP), lambda w: w)


def left_in_membranes(error: Floats, groups: int, x: Floats, current_keep: float) -> Floats:
    """Variance [O] that errors of the weights leave, by running membranes that never fire."""
    into = float_conv(x, ungrouped(error, groups), np.zeros(len(error)), (1, 1), (1, 1))
    into = into - into.mean(axis=(0, 1), keepdims=True).mean(axis=(3, 4), keepdims=True)
    current, v, total = np.zeros_like(into[0]), np.zeros_like(into[0]), np.zeros(len(error))
    for step in into:
        current = current_keep * current + step
        v = KEEP * v + current
        total += (v**2).mean(axis=(0, 2, 3))
    return total / len(into)


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("current_keep", [0.0, CURRENT_KEEP])
def test_moments_say_what_errors_leave_in_the_membranes(groups: int, current_keep: float) -> None:
    rng = np.random.default_rng(groups)
    x, error = spikes(rng, 4), rng.normal(0, 1, (8, 4 // groups, 3, 3))
    moments = membrane_moments(x, conv_of(error, groups), KEEP, current_keep)
    wanted = left_in_membranes(error, groups, x.astype(float), current_keep)
    np.testing.assert_allclose(error_variance(error, groups, moments), wanted, rtol=1e-3)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**16), st.sampled_from([1, 2]), st.sampled_from(GRIDS))
def test_scales_come_by_what_they_leave(seed: int, groups: int, grid: WeightGrid) -> None:
    """The first is the best, and where it does not fit the neurons, the next is the best of the others."""
    part = part_of(np.random.default_rng(seed), groups)
    moments, fitting = [part.moments()], fitting_scale((part,), grid)
    found = islice(scales_by_error((part,), grid, float), len(FACTORS))
    errors = [membrane_error((part,), moments, grid, scale) for scale in found]
    assert errors == sorted(membrane_error((part,), moments, grid, fitting * factor) for factor in FACTORS)


@given(st.integers(0, 2**16), st.floats(1.0, 2000.0), st.sampled_from(GRIDS))
def test_weights_are_the_nearest_on_their_grid(seed: int, scale: float, grid: WeightGrid) -> None:
    ideal = np.random.default_rng(seed).uniform(-1, 1, 50) * scale
    weight, clipped = grid.nearest(ideal)
    inside = (ideal >= grid.low * grid.step) & (ideal <= grid.largest)
    assert np.all(np.abs(weight - ideal)[inside] <= grid.step / 2 + 1e-9)
    assert clipped <= (~inside).sum()
    assert grid.holds(weight)
    assert not grid.holds(weight * 0 + grid.largest + grid.step)


def test_lists_of_one_sign_are_twice_as_fine_and_synapses_add_range() -> None:
    ranges = {(g.signs, g.synapses): (g.step, g.low * g.step, g.largest) for g in GRIDS}
    assert ranges["mixed", 1] == (2, -256, 254)
    assert ranges["split", 1] == (1, -255, 255)
    assert ranges["mixed", 2] == (2, -512, 508)
    assert ranges["split", 3] == (1, -765, 765)


@given(st.integers(0, 2**16), st.sampled_from(GRIDS), st.floats(0.01, 1.0))
def test_lists_of_synapses_make_the_weights_again(seed: int, grid: WeightGrid, size: float) -> None:
    """Every list holds what one stock synapse can, and there are as many synapses as are counted."""
    weight, _ = grid.nearest(np.random.default_rng(seed).uniform(-size, size, (6, 7)) * grid.largest)
    lists = list(synapse_lists(weight, grid.signs))
    low, high = ONE_SYNAPSE[grid.signs]
    assert np.array_equal(sum((part for _, part in lists), np.zeros_like(weight)), weight)
    assert np.array_equal(
        sum(((part != 0) for _, part in lists), np.zeros_like(weight)), synapse_counts(weight, grid.signs)
    )
    assert synapse_counts(weight, grid.signs).max() <= grid.synapses
    for sign, part in lists:
        assert part.min() >= (0 if sign == 1 else low)
        assert part.max() <= (0 if sign == -1 else high)
        assert not np.any(part % grid.step)


def test_no_scale_makes_the_accumulator_wrap() -> None:
    part, grid = part_of(np.random.default_rng(0), 1), WeightGrid(8, "split")
    wide = replace(part, input_range=(0, 60))
    free, bound = (next(scales_by_error((p,), grid, float)) for p in (part, wide))
    assert bound < free
    assert wide.worst(grid.nearest(wide.ideal(bound))[0]) < ACTIVATION_LIMIT
    assert not list(
        scales_by_error((replace(part, input_range=(0, 1 << 17)),), WeightGrid(8, "split", 4), lambda s: None)
    )


def test_the_currents_of_two_convolutions_share_a_scale_and_an_accumulator() -> None:
    rng, grid = np.random.default_rng(1), WeightGrid(8)
    parts = tuple(replace(part_of(rng, groups), input_range=(0, 15)) for groups in (1, 2))
    alone = [next(scales_by_error((part,), grid, float)) for part in parts]
    together = next(scales_by_error(parts, grid, float))
    worst = [part.worst(grid.nearest(part.ideal(together))[0]) for part in parts]
    assert sum(worst) < ACTIVATION_LIMIT
    assert together <= max(alone) * max(FACTORS)


@pytest.mark.parametrize("signs", ONE_SYNAPSE)
def test_a_layer_without_weights_has_a_scale(signs: Signs) -> None:
    part = part_of(np.random.default_rng(2), 1)
    empty = replace(part, weight=0 * part.weight)
    assert next(scales_by_error((empty,), WeightGrid(8, signs), float)) > 0


@given(st.lists(st.integers(-127, 127), min_size=4, max_size=40), st.floats(1e-3, 10.0), st.sampled_from([1, 3]))
def test_weights_that_lie_on_a_grid_keep_it(whole: list[int], step: float, synapses: int) -> None:
    """Also in float32, as files store them; and in one synapse each, which holds them."""
    weight = (np.array([*whole, 1]) * step).astype(np.float32).astype(np.float64).reshape(-1, 1, 1, 1)
    grid = WeightGrid(8, "split", synapses)
    scale = exact_scale((replace(PLAIN, weight=weight),), grid)
    assert scale is not None
    made, clipped = grid.nearest(weight * scale)
    assert clipped == 0
    assert np.allclose(made, weight * scale, atol=1e-3)
    assert np.abs(made).max() <= 255


def test_trained_weights_lie_on_no_grid() -> None:
    weight = np.random.default_rng(0).normal(size=(40, 3, 3, 3))
    assert exact_scale((replace(PLAIN, weight=weight),), WeightGrid(8, "split", 3)) is None
    assert exact_scale((replace(PLAIN, weight=0 * weight),), WeightGrid(8)) is None


FOREIGN: dict[str, Any] = {"reading": reading("snntorch", reset="zero")}


@pytest.mark.parametrize(
    ("said", "grid"),
    [
        ({}, WeightGrid(8, "mixed", 1)),
        ({"signs": "split"}, WeightGrid(8, "split", 1)),
        (FOREIGN, WeightGrid(8, "split", 3)),
        (FOREIGN | {"signs": "mixed"}, WeightGrid(8, "mixed", 1)),
        (FOREIGN | {"synapses": 2}, WeightGrid(8, "split", 2)),
        (FOREIGN | {"weight_bits": 6}, WeightGrid(6, "split", 1)),
    ],
)
def test_what_auto_stands_for(said: dict[str, Any], grid: WeightGrid) -> None:
    """The plainest for our own dialect; for another framework's file what keeps its spikes (decision 0016)."""
    assert CompileOptions(**said).weights == grid


@pytest.mark.parametrize("synapses", [1, 2])
def test_some_outputs_tell_the_scale_of_a_very_large_layer(monkeypatch: pytest.MonkeyPatch, synapses: int) -> None:
    """Within three percent of the least error that all of them find, at a tenth of the work."""
    rng, grid = np.random.default_rng(3), WeightGrid(8, "split", synapses)
    weight, x = rng.normal(0, 1, (400, 4, 3, 3)), spikes(rng, 4)
    moments = membrane_moments(x, conv_of(weight, 1), KEEP)
    part = Part(weight, 1, 1.0, (0, 1), lambda: moments, lambda w: w)
    least = membrane_error((part,), [moments], grid, next(scales_by_error((part,), grid, float)))
    monkeypatch.setattr("pumice.compiler.scale_search.WORK", weight.size * moments.shape[-1] // 10)
    (some,), stand_for = some_outputs((part,), [moments])
    assert len(some.weight) == 40
    assert stand_for.sum() == 400
    assert membrane_error((part,), [moments], grid, next(scales_by_error((part,), grid, float))) < 1.03 * least


@given(st.integers(0, 2**16), st.sampled_from(GRIDS), st.integers(1, 2000))
def test_a_layer_that_could_wrap_is_found_by_its_rounded_weights(seed: int, grid: WeightGrid, high: int) -> None:
    """The estimate from unrounded weights only spares the work of rounding them."""
    part = replace(part_of(np.random.default_rng(seed), 1), input_range=(0, high))
    fitting = fitting_scale((part,), grid)
    fits = current_fits((part,), grid, fitting)
    for factor in (0.5, 1.0, 1.6):
        assert fits(fitting * factor) == (worst((part,), grid, fitting * factor) < ACTIVATION_LIMIT)
