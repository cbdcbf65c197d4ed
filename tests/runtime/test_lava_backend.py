"""The Lava backend equals the reference bit for bit, on the real Lava runtime."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from lava_networks import both_attentions, currents, in_lists, many_delays, odd_samples, odd_shapes
from networks import TinySpikformer, images
from numpy.typing import NDArray
from split_networks import AXONS, CONFIG, split_spikformer
from stream_networks import every_node
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.compiler.program import Program
from pumice.errors import InputError, RunError
from pumice.hwsim import arith
from pumice.hwsim.arith import Signs
from pumice.hwsim.scoring import Criterion
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.lava_job import SynapseProcess
from pumice.runtime.reference import Reference
from pumice.runtime.result import RunResult

pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")

from pumice.runtime.lava_synapse import unrolled


def assert_same(lava: RunResult, reference: RunResult) -> None:
    """Read-out, masks and every layer's spikes are equal."""
    np.testing.assert_array_equal(lava.outputs, reference.outputs)
    np.testing.assert_array_equal(lava.logits, reference.logits)
    for kind in ("spikes", "masks"):
        ours, theirs = getattr(lava, kind), getattr(reference, kind)
        assert ours.keys() == theirs.keys()
        for name, value in theirs.items():
            np.testing.assert_array_equal(ours[name], value, err_msg=name)
            assert ours[name].dtype == value.dtype


def compare(
    program: Program, samples: NDArray[Any], masks: NDArray[np.bool_] | None = None, **options: Any
) -> RunResult:
    """Run both; returns the reference's result."""
    reference = Reference(counts=False).run(program, samples, masks, record=True)
    assert_same(LavaBackend(**options).run(program, samples, masks, record=True), reference)
    return reference


def test_layers_summed_in_parts_equal_the_reference() -> None:
    compare(split_spikformer(AXONS, "live"), images(CONFIG, 2, seed=7))


LIVE = TinySpikformer(pool=True, size=6, retention=0.6)
CASES = {
    "live, hold, max-pool": (LIVE, {}),
    "live, decay, scores order, no memory of the last sample": (
        TinySpikformer(timesteps=2, state="decay", criterion=Criterion(first_step="spatial")),
        {"attention_order": "scores"},
    ),
    "static, context order, one step a sample": (
        TinySpikformer(timesteps=1, criterion=Criterion("firing-rate")),
        {"masks": "static", "attention_order": "context"},
    ),
    "off, two blocks, one head": (TinySpikformer(blocks=2, heads=1, timesteps=3), {"masks": "off"}),
}


@pytest.mark.parametrize("case", CASES)
def test_every_spike_equals_the_reference(case: str, compiled: Callable[..., Program]) -> None:
    config, options = CASES[case]
    reference = compare(compiled(config, **options), images(config, 5, seed=3))
    assert all(0 < layer.mean() < 1 for name, layer in reference.spikes.items() if "lif0" in name)


def test_given_masks_route_as_in_the_reference(compiled: Callable[..., Program]) -> None:
    config = TinySpikformer(blocks=2, channels=4, timesteps=2)
    masks = np.random.default_rng(0).random((4, 2, config.timesteps, config.size**2)) < 0.5
    compare(compiled(config, masks="given"), images(config, 4), masks)


def test_odd_shapes_sums_and_biases_equal_the_reference() -> None:
    reference = compare(odd_shapes(), odd_samples(4))
    assert all(0 < layer.mean() < 1 for layer in reference.spikes.values())


def test_both_orders_of_attention_equal_the_reference_and_each_other() -> None:
    reference = compare(both_attentions(), odd_samples(3))
    assert 0.1 < reference.spikes["by_scores"].mean() < 0.9
    np.testing.assert_array_equal(reference.spikes["by_scores"], reference.spikes["by_context"])


def test_sums_of_attention_saturate_as_in_the_reference() -> None:
    free, low = (Reference(counts=False).run(both_attentions(top=top), odd_samples(3)) for top in (1 << 14, 48))
    assert not np.array_equal(free.outputs, low.outputs)
    compare(both_attentions(top=48), odd_samples(3))


def test_streams_levels_and_gates_equal_the_reference() -> None:
    reference = compare(every_node(), stream_samples(3), stream_schedule(3))
    assert {"q", "pooled", "gate_1"} < reference.spikes.keys()
    assert {layer.max() for layer in reference.spikes.values()} == {1, 4}
    assert all(layer.std() > 0 for layer in reference.spikes.values())


def test_more_delays_of_one_source_than_a_line_has_taps() -> None:
    compare(many_delays(), odd_samples(3))


def test_stock_conv_gives_the_same_as_stock_sparse() -> None:
    compare(odd_shapes(), odd_samples(2), synapse="conv")


@pytest.mark.parametrize("process", ["sparse", "conv"])
@pytest.mark.parametrize(("signs", "synapses"), [("split", 1), ("split", 3), ("mixed", 2)])
def test_weights_in_lists_of_synapses_equal_the_reference(signs: Signs, synapses: int, process: SynapseProcess) -> None:
    reference = compare(in_lists(odd_shapes(), signs, synapses), odd_samples(2), synapse=process)
    assert all(0 < layer.mean() < 1 for layer in reference.spikes.values())


def test_without_record_only_read_out_and_masks_come_back() -> None:
    program, samples = odd_shapes(), odd_samples(1)
    lava, reference = LavaBackend().run(program, samples), Reference(counts=False).run(program, samples)
    assert_same(lava, reference)
    assert not lava.spikes


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_an_unrolled_convolution_is_the_convolution(data: st.DataObject) -> None:
    shape = data.draw(st.tuples(st.integers(1, 3), st.integers(3, 6), st.integers(3, 6)))
    kernel, stride = (data.draw(st.tuples(*[st.integers(1, 3)] * 2)) for _ in range(2))
    padding, groups = data.draw(st.tuples(*[st.integers(0, 2)] * 2)), data.draw(st.sampled_from([1, shape[0]]))
    size = (data.draw(st.integers(1, 3)) * groups, shape[0] // groups, *kernel)
    weight = data.draw(arrays(np.int64, size, elements=st.integers(-128, 127).map(lambda w: 2 * w)))
    x = data.draw(arrays(np.int64, shape, elements=st.integers(-255, 255)))
    expected = arith.synaptic_currents(x, weight, stride, padding, 255, 3, groups)
    node = i.Synapse("s", ("x",), currents(*expected.shape), "s", weight, stride, padding, 1.0, groups)
    np.testing.assert_array_equal(unrolled(node, shape) @ x.reshape(-1), expected.reshape(-1))


def test_options_that_mean_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="timeout_s"):
        LavaBackend(timeout_s=0)
    with pytest.raises(InputError, match="unknown synapse"):
        LavaBackend(synapse="dense")  # type: ignore[arg-type]


def test_a_value_wider_than_a_lava_port_is_refused() -> None:
    program = odd_shapes()
    wide = replace(program.graph.nodes["all"], out=TensorType((4, 9), "graded", 0, 1 << 40))
    graph = replace(program.graph, nodes={**program.graph.nodes, "all": wide})
    with pytest.raises(RunError, match="all: values of 41 bits"):
        LavaBackend().run(replace(program, graph=graph), odd_samples(1))
