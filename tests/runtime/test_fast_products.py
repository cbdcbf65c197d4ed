"""Scores times values where nobody counts: as queries times context, where these are the same integers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import STEPS, batch_of, by_walk, drawn, of

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.runtime.fast.operations import run_node


def attention(sizes: tuple[int, int, int, int], shift: int, most: int, scores_most: int) -> Graph:
    """Spikes q, k, v; scores S that saturate at scores_most; their product Y at `most`."""
    h, d, w, n = sizes
    shapes = {"q": (h * d, n), "k": (h * d, n), "v": (h * w, n)}
    sources = [i.GradedInput(name, (), of(shape, 0, 1, "spike"), name, 1.0) for name, shape in shapes.items()]
    scores = i.SpikeMatmul("S", ("q", "k"), of((h * n, n), 0, scores_most), "S", "scores", h, 0)
    product = i.SpikeMatmul("Y", ("S", "v"), of((h * w, n), 0, most, "current"), "Y", "scores-values", h, shift)
    return Graph({node.name: node for node in (*sources, scores, product)}, "Y", "balanced", STEPS, "frames")


@settings(deadline=None, max_examples=80)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(
        st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 2, 9, 64, 65, 127, 128, 200])
    ),
    st.integers(0, 3),
    st.booleans(),
    st.booleans(),
)
def test_either_order_gives_the_same(
    seed: int, sizes: tuple[int, int, int, int], shift: int, saturates: bool, scores_saturate: bool
) -> None:
    """Also where scores saturate, or a context of more tokens than a byte counts would not fit."""
    worst = sizes[1] * sizes[3] << shift
    graph = attention(
        sizes, shift, max(1, worst // 3) if saturates else worst, sizes[1] - (scores_saturate and sizes[1] > 1)
    )
    rng = np.random.default_rng(seed)
    shares = {name: rng.choice([0.5, 1.0]) for name in "qkv"}
    inputs = {name: (drawn(graph.nodes[name].out, rng) > 0) | (share == 1.0) for name, share in shares.items()}
    inputs = {name: value.astype(np.int64) for name, value in inputs.items()}
    scores, _ = by_walk(graph, graph.nodes["S"], [inputs["q"], inputs["k"]])
    wanted, _ = by_walk(graph, graph.nodes["Y"], [scores, inputs["v"]])
    batch = replace(batch_of(graph, inputs), counted=False)
    for name in "SY":
        made = run_node(batch, graph.nodes[name])
        batch.values.update({name: made} if made else {})
    assert np.array_equal(batch.dense("Y"), wanted)
    assert "S" not in batch.values or sizes[3] > 127 or scores_saturate or sizes[1] * sizes[2] > 2 * sizes[3] ** 2


@pytest.mark.parametrize("counted", [True, False])
def test_scores_are_made_where_they_are_counted(counted: bool) -> None:
    graph, rng = attention((2, 4, 4, 9), 0, 36, 4), np.random.default_rng(0)
    inputs = {name: drawn(graph.nodes[name].out, rng) for name in "qkv"}
    batch = replace(batch_of(graph, inputs), counted=counted)
    assert (run_node(batch, graph.nodes["S"]) is not None) == counted
