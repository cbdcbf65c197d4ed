"""Routing masks scored while samples run are those of `compiler.walk`, which sums by other code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import batch_of, by_walk, drawn, graph_of, of

from pumice.compiler import int_nodes as i
from pumice.hwsim.kernels.token_sums import sum_tokens
from pumice.hwsim.scoring import Criterion
from pumice.runtime.fast import scores
from pumice.runtime.fast.operations import run_node

CRITERIA = st.builds(
    Criterion,
    rule=st.sampled_from(["irtop-paper", "firing-rate"]),
    window=st.sampled_from([1, 3, 5, 7]),
    alpha=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    first_step=st.sampled_from(["both", "spatial"]),
    per_step=st.booleans(),
    silent=st.sampled_from([0.0, 1.0]),
)


def mask_node(grid: tuple[int, int], criterion: Criterion, retention: float = 0.5) -> i.LiveMask:
    tokens = grid[0] * grid[1]
    return i.LiveMask("m", ("x",), of((tokens,), 0, 1, "mask"), "m", 0, grid, retention, criterion)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    CRITERIA,
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 7),
    st.sampled_from([1, 2, 9, 255, 300]),
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
)
def test_masks_are_those_of_the_walk(
    seed: int, criterion: Criterion, grid: tuple[int, int], channels: int, most: int, sizes: tuple[int, int]
) -> None:
    """Ties, tokens without a spike, windows larger than the map, counts that do not fit a byte."""
    rng, (steps, samples) = np.random.default_rng(seed), sizes
    node, source = mask_node(grid, criterion, float(rng.uniform(0.05, 1.0))), of((channels, grid[0] * grid[1]), 0, most)
    graph = graph_of(node, source, steps=steps)
    x = drawn(source, rng, steps, samples) * (rng.random((steps, samples, 1, source.shape[1])) < 0.7)
    batch = batch_of(graph, {"x": x})
    batch.values["m"] = run_node(batch, node)
    assert np.array_equal(batch.dense("m"), by_walk(graph, node, [x])[0])


@pytest.mark.parametrize(("channels", "most", "window"), [(2048, 9, 5), (3, 255, 17)])
def test_sums_that_the_kernel_could_not_hold_are_left_to_the_walk(
    channels: int, most: int, window: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("the kernel was asked")

    node, source = mask_node((2, 2), Criterion(window=window)), of((channels, 4), 0, most)
    graph, x = graph_of(node, source), np.full((3, 1, channels, 4), most)
    monkeypatch.setattr(scores, "sum_tokens", never)
    batch = batch_of(graph, {"x": x})
    if channels * (most * window**2) ** 2 < 1 << 31 and most * window**2 < 1 << 16:
        with pytest.raises(AssertionError, match="asked"):
            run_node(batch, node)
    else:
        run_node(batch, node)


def test_the_largest_counts_that_it_takes() -> None:
    x = np.full((2, 3600, 64), 30, np.uint8)
    beside, sums = np.ones((2, 1, 2, 64), np.uint8), np.empty((2, 4, 64), np.int32)
    for side, axis in enumerate((1, 8)):
        beside[side, 0, 0, :axis] = beside[side, 0, 1, 64 - axis :] = 0
    sum_tokens(x, 8, beside, sums)
    inner = 27  # a token whose window is all on the map
    assert [*sums[0, :, inner]] == [3600 * 30 * 270, 3600 * 900, 3600 * 270**2, 3600 * 900]
    assert not sums[1, 3].any()
