"""Streams of real values in integers: one scale for all that is added, exact neurons behind it, levels without a lost tie."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate, lif
from pumice.compiler.ir import Graph, Node, TensorType, in_topological_order
from pumice.compiler.passes.merge_factors import MergeFactors, pair_costs, product
from pumice.compiler.passes.quantize import Quantize
from pumice.compiler.quantization import level_integers, neuron_integers
from pumice.compiler.quantizers.streams import components, stream_grids
from pumice.compiler.streams import scale_of
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import load_chip

CHIP = load_chip("loihi2")
SHAPE = (4, 9)


def tokens(shape: tuple[int, ...] = SHAPE) -> TensorType:
    return TensorType(shape)


def conv(name: str, source: str, out: int = 4, into: int = 4, seed: int = 0, gain: float = 1.0) -> f.Conv:
    rng = np.random.default_rng(seed)
    weight = gain * rng.normal(0, 0.6, (out, into, 1, 1))
    return f.Conv(name, (source,), tokens((out, SHAPE[1])), name, weight, rng.normal(0, 0.2, out))


def fire(name: str, source: str, channels: int = 4) -> f.Lif:
    return f.Lif(name, (source,), tokens((channels, SHAPE[1])), name, 2.0, 1.0, ">=")


def network(*nodes: Node, output: str) -> Graph:
    first = f.Input("input", (), tokens(), "input")
    graph = in_topological_order({node.name: node for node in (first, *nodes)})
    return Graph(graph, output, "folded", 4, "repeat")


def shortcut() -> Graph:
    """x = A(in); x + B(LIF(x)), which a second LIF reads: SDT-V1's membrane shortcut in miniature."""
    stream = f.Add("stream", ("a", "b"), tokens(), "stream")
    layers = (conv("a", "input", seed=1, gain=3.0), fire("first", "a"), conv("b", "first", seed=2, gain=0.1))
    return network(*layers, stream, fire("second", "stream"), output="second")


def samples(count: int = 40) -> NDArray[np.float64]:
    return np.random.default_rng(7).random((count, *SHAPE))


def test_what_is_added_up_is_one_stream() -> None:
    assert sorted(sorted(part) for part in components(shortcut())) == [["a", "stream"]]


def test_a_stream_s_scale_is_the_largest_power_of_two_with_headroom() -> None:
    graph = shortcut()
    values = evaluate(graph, samples()).values
    grid = stream_grids(graph, values, CHIP)["stream"]
    largest = max(np.abs(values[name]).max() for name in ("a", "stream"))
    assert np.log2(grid.scale) == round(np.log2(grid.scale))
    assert 2 * largest * grid.scale <= grid.limit < 4 * largest * grid.scale


def test_layers_of_very_different_weights_meet_on_one_grid() -> None:
    """Each synapse keeps its own 8-bit grid; the neurons shift it onto the stream's."""
    done = Quantize(samples())(shortcut(), CHIP).nodes
    a, stream = done["a"], done["stream"]
    assert isinstance(a, i.Membrane)
    assert isinstance(stream, i.Membrane)
    assert a.shift != stream.shift
    assert scale_of("a", done) == scale_of("stream", done)
    for name in ("a.synapse", "b"):
        synapse = done[name]
        assert isinstance(synapse, i.Synapse)
        assert np.abs(synapse.weight).max() > 100  # of 254: no more than a factor of two is given away


@given(st.integers(0, 2**32 - 1), st.sampled_from([0.5, 1.0]), st.sampled_from([256.0, 1024.0]))
def test_a_lif_on_a_stream_fires_as_the_float_lif_on_the_same_payloads(seed: int, theta: float, scale: float) -> None:
    node = replace(fire("x", "s", 1), threshold=theta)
    integers = neuron_integers(node, np.zeros(1), scale, CHIP)
    assert integers is not None
    assert integers.scale == scale  # the threshold is whole as it is
    payload = np.random.default_rng(seed).integers(-int(2 * scale), int(3 * scale), (4, 1, 1, 500))
    payload[:, :, :, :250] = payload[:, :, :, :250] // 64 * 64  # many exact ties
    spikes, _ = integers.run(payload)
    assert np.array_equal(spikes, lif(payload / scale, node, None, "hold"))


@given(st.integers(-3000, 3000), st.sampled_from([2.0, 8.0, 37.0, 254.5]))
def test_levels_round_half_to_even(x: int, scale: float) -> None:
    node = f.MultiSpike("m", ("x",), tokens((1, 1)), "m", 4, 4)
    integers = level_integers(node, np.zeros(1), scale, CHIP)
    assert integers is not None
    near = np.array([x, *(round((d + 0.5) * scale) for d in range(4))]).reshape(1, 1, 1, -1)
    levels, _ = integers.run(near)
    assert np.array_equal(levels, np.rint(np.clip(near / scale, 0, 4)))


def test_a_pool_of_currents_does_not_change_the_stream_s_units() -> None:
    shape = (4, 3, 3)
    pool = f.MaxPool("pool", ("map",), TensorType((4, 2, 2)), "pool", 3, 2, 1)
    nodes = (conv("a", "input"), f.Reshape("map", ("a",), TensorType(shape), "map"), pool)
    head = f.Lif("out", ("pool",), TensorType((4, 2, 2)), "out", 2.0, 1.0, ">=")
    done = Quantize(samples())(network(*nodes, head, output="out"), CHIP).nodes
    assert isinstance(done["pool"], i.MaxPool)
    assert scale_of("pool", done) == scale_of("a", done) > 1


def test_spikes_and_currents_do_not_add_up() -> None:
    mixed = f.Add("mixed", ("first", "b"), tokens(), "mixed")
    nodes = (conv("a", "input"), fire("first", "a"), conv("b", "first"), mixed, fire("out", "mixed"))
    with pytest.raises(UnsupportedNode, match="'mixed': adds streams in different units"):
        Quantize(samples())(network(*nodes, output="out"), CHIP)


def low_rank(rank: int, busy: float) -> Graph:
    """A spiking layer of 4 channels, a factor pair to 16 and its neurons. busy: how strongly the first layer is driven."""
    first, second = conv("low", "spikes", rank, 4, seed=3), conv("high", "low", 16, rank, seed=4)
    drive = replace(conv("drive", "input", seed=5), bias=np.full(4, busy))
    return network(drive, fire("spikes", "drive"), first, second, fire("out", "high", 16), output="out")


def test_a_factor_pair_and_its_product_compute_the_same() -> None:
    graph = low_rank(2, 1.0)
    merged = MergeFactors(samples(), "merge")(graph, CHIP)
    assert "low" not in merged.nodes
    one, two = (evaluate(g, samples()).values["high"] for g in (merged, graph))
    np.testing.assert_allclose(one, two, atol=1e-12)
    assert MergeFactors(samples(), "keep")(graph, CHIP).nodes.keys() == graph.nodes.keys()


@pytest.mark.parametrize(("rank", "busy", "merged"), [(1, 9.0, False), (1, -9.0, True), (4, 9.0, True)])
def test_the_form_with_fewer_operations_is_taken(rank: int, busy: float, merged: bool) -> None:
    """Rank 1, all neurons firing: 4 + 16 operations as a pair, 64 as one; silent neurons: 16 and 0."""
    graph = low_rank(rank, busy)
    chosen = MergeFactors(samples())(graph, CHIP)
    assert ("low" not in chosen.nodes) == merged
    low, high = graph.nodes["low"], graph.nodes["high"]
    assert isinstance(low, f.Conv)
    assert isinstance(high, f.Conv)
    assert pair_costs(low, high, product(low, high), 1.0) == {"pair": rank * 4 + 16 * rank, "merged": 64}


def test_a_kept_pair_is_a_stream_of_few_bits_between_two_synapses() -> None:
    done = Quantize(samples())(low_rank(2, 1.0), CHIP).nodes
    low = done["low"]
    assert isinstance(low, i.Membrane)
    assert low.out.high == 127
    assert isinstance(done["high"], i.Synapse)
