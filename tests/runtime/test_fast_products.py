"""Scores times values where nobody counts: as queries times context, where these are the same integers."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from one_node import STEPS, batch_of, by_walk, drawn, of, run_nodes

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.lanes import Held, Layout, rows_of
from pumice.runtime.fast.plan import plan_of


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
    run_nodes(batch, "S", "Y")
    assert np.array_equal(batch.dense("Y"), wanted)
    assert "S" not in batch.values or sizes[3] > 127 or scores_saturate or sizes[1] * sizes[2] > 2 * sizes[3] ** 2


@pytest.mark.parametrize("counted", [True, False])
def test_scores_are_made_where_they_are_counted(counted: bool) -> None:
    graph, rng = attention((2, 4, 4, 9), 0, 36, 4), np.random.default_rng(0)
    inputs = {name: drawn(graph.nodes[name].out, rng) for name in "qkv"}
    batch = replace(batch_of(graph, inputs), counted=counted)
    run_nodes(batch, "S")
    assert ("S" in batch.values) == counted


def with_neurons(graph: Graph, order: str, rng: np.random.Generator, gate: Any) -> Graph:
    """`attention` with the LIF neurons that read it, gated or not; order: of its products."""
    product = graph.nodes["Y"]
    assert isinstance(product, i.SpikeMatmul)
    shapes = {name: graph.nodes[name].out.shape for name in "qkv"}
    width, inner = shapes["v"][0] // product.heads, shapes["k"][0] // product.heads
    nodes = dict(graph.nodes)
    if order == "context":
        tokens = shapes["q"][1]
        context = of((inner * product.heads, width), 0, tokens)
        nodes["S"] = i.SpikeMatmul("S", ("k", "v"), context, "S", "keys-values", product.heads, 0)
        nodes["Y"] = replace(product, inputs=("q", "S"), pattern="queries-context")
    bias = rng.choice([0, 1, -500], shapes["v"][0])
    spikes = replace(product.out, dtype="spike", low=0, high=1)
    dv, vth = int(rng.choice([2048, 1365])), int(rng.integers(1, max(2, product.out.high // 4)))
    lif = i.IntLif("n", ("Y",), spikes, "n", vth, dv, bias, 3, 1.0)
    if gate:
        nodes["m"] = i.GradedInput("m", (), of(shapes["q"][1:], 0, 1, "mask"), "m", 1.0)
        lif = replace(lif, inputs=("Y", "m"), gate_state=gate)
    return replace(graph, nodes=nodes | {"n": lif}, output="n")


def packed(batch: Batch, name: str) -> Held:
    """A node's values with routed tokens only."""
    packing, whole = batch.packing(batch.plan.graph.nodes["n"]), batch.values[name]
    assert packing is not None
    layout = Layout(batch.samples, (whole.layout.shape[0], packing.kept))
    rows = rows_of(layout, batch.steps, np.uint8, batch.memory)
    for t in range(batch.steps):
        rows[t, :, : layout.used] = whole.rows[t][:, packing.on[t % len(packing.on)] != 0]
    return Held(rows, layout, packing)


@settings(deadline=None, max_examples=150)
@given(
    st.integers(0, 2**32 - 1),
    st.tuples(st.integers(1, 3), st.integers(1, 13), st.integers(1, 13), st.sampled_from([16, 48, 64, 80, 112])),
    st.integers(0, 2),
    st.sampled_from(["scores", "context"]),
    st.sampled_from(["", "hold", "decay"]),
    st.booleans(),
)
def test_neurons_compute_the_attention_that_they_read(
    seed: int, sizes: tuple[int, int, int, int], shift: int, order: str, gate: str, pack: bool
) -> None:
    """In either order of its products, of all tokens or of packed ones, where nobody counts."""
    rng, tokens = np.random.default_rng(seed), sizes[3]
    graph = with_neurons(attention(sizes, shift, sizes[1] * tokens << shift, sizes[1]), order, rng, gate)
    inputs = {name: (drawn(graph.nodes[name].out, rng) > 0).astype(np.int64) for name in "qkv"}
    if gate:
        kept = int(rng.integers(1, tokens // 2 + 1))
        drawn_by = rng.random((STEPS, inputs["q"].shape[1], tokens))
        inputs["m"] = (drawn_by.argsort(axis=-1).argsort(axis=-1) < kept).astype(np.int64)
    values = dict(inputs)
    for name in ("S", "Y", "n"):
        values[name], _ = by_walk(graph, graph.nodes[name], [values[x] for x in graph.nodes[name].inputs])
    batch = replace(batch_of(graph, inputs), counted=False)
    assert ("n" in batch.plan.attention) == (order == "context" or sizes[1] * sizes[2] <= 2 * tokens**2)
    if gate and pack:  # what gated neurons send is 0 where they are not routed
        batch.values.update({name: packed(batch, name) for name in "qkv"})
        keep = inputs["m"][:, :, None]
        routed = {name: inputs[name] * keep for name in "qkv"}
        for name in ("S", "Y", "n"):
            routed[name], _ = by_walk(
                graph, graph.nodes[name], [routed.get(x, values[x]) for x in graph.nodes[name].inputs]
            )
        values["n"] = routed["n"]
    run_nodes(batch, "S", "Y", "n")
    assert (batch.values["n"].packing is not None) == bool(gate and pack)
    assert np.array_equal(batch.dense("n"), values["n"])
    assert "Y" not in batch.values


def test_attention_that_may_saturate_is_computed_product_by_product() -> None:
    rng, worst = np.random.default_rng(0), 4 * 16
    for order, most in (("scores", worst - 1), ("context", worst - 1)):
        graph = with_neurons(attention((2, 4, 4, 16), 0, most, 4), order, rng, "")
        assert not plan_of(graph).attention
        enough = with_neurons(attention((2, 4, 4, 16), 0, worst, 4), order, rng, "")
        assert set(plan_of(enough).attention) == {"n"}
