"""The reference executor against the float graph it was compiled from, and its refusals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer
from stream_networks import every_node
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.ir import Graph
from pumice.compiler.passes.fold_batchnorm import FoldBatchNorm
from pumice.compiler.program import Program
from pumice.compiler.walk import batch_size, walk
from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference, input_frames, mask_schedule

CONFIG = TinySpikformer(blocks=2)


@pytest.mark.parametrize("masks", ["off", "live"])
def test_spikes_follow_the_float_graph(compiled: Callable[..., Program], masks: str) -> None:
    """Each layer alone changes few spikes; through sixteen of them the changes add up, but stay a small share."""
    x = images(CONFIG, 40, seed=5)
    program = compiled(CONFIG, masks=masks)
    mismatches = [c.data["mismatch"] for c in program.graph.log if "mismatch" in c.data]
    assert len(mismatches) == 16
    assert max(mismatches) < 0.01
    run = Reference().run(program, x, record=True)
    values = evaluate(folded(), x, gated=masks == "live").values
    agreement = [float((run.spikes[name] == values[name]).mean()) for name in run.spikes]
    assert min(agreement) > 0.88
    assert np.mean(agreement) > 0.94


def folded() -> Graph:
    return FoldBatchNorm()(import_nir(tiny_spikformer(CONFIG)), load_chip("loihi2"))


def test_logits_are_totals_in_float_units(compiled: Callable[..., Program]) -> None:
    x = images(CONFIG, 40, seed=5)
    run = Reference().run(compiled(CONFIG, masks="off"), x)
    expected = evaluate(folded(), x, gated=False).values["time_mean"][-1]
    assert np.abs(run.logits - expected).mean() < 0.1 * np.abs(expected).mean()
    assert np.array_equal(run.predictions, run.outputs.argmax(axis=1))


def test_a_sample_does_not_depend_on_its_neighbours(compiled: Callable[..., Program]) -> None:
    x = images(CONFIG, 60)
    program = compiled(CONFIG)
    together = Reference().run(program, x, record=True)
    alone = Reference().run(program, x[37:38], record=True)
    assert all(np.array_equal(together.spikes[n][:, 37:38], alone.spikes[n]) for n in alone.spikes)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (np.zeros((3, 1, 5, 4)), r"input: shape \(3, 1, 5, 4\), the network's 'input' takes \[samples, 1, 4, 4\]"),
        (np.zeros((0, 1, 4, 4)), r"shape \(0, 1, 4, 4\)"),
        (np.full((1, 1, 4, 4), np.nan), "non-finite"),
        (np.full((1, 1, 4, 4), "a"), "dtype <U1"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(compiled: Callable[..., Program], inputs: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Reference().run(compiled(CONFIG), inputs)


def test_a_large_network_is_walked_a_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    program, x, masks = every_node(), stream_samples(5), stream_schedule(5)
    whole = Reference().run(program, x, masks, record=True)
    assert batch_size(program.graph) == 48
    monkeypatch.setattr("pumice.compiler.walk.VALUES", 1 << 13)
    assert 1 <= batch_size(program.graph) < 5
    parts = Reference().run(program, x, masks, record=True)
    assert np.array_equal(parts.outputs, whole.outputs)
    assert all(np.array_equal(parts.spikes[name], whole.spikes[name]) for name in whole.spikes)
    assert parts.counts is not None
    assert whole.counts is not None
    assert parts.counts.total("synops") == whole.counts.total("synops")


def test_levels_and_streams_follow_their_masks() -> None:
    """A token that is not routed sends no level, and its stream passes as it came; elsewhere both are what they add up to."""
    program, count = every_node(), 8
    frames = input_frames(program.graph, stream_samples(count))
    masks = mask_schedule(program.graph, stream_schedule(count), count)
    values, _ = walk(program.graph, frames, masks)
    routed = values["static"][:, :, None, :] > 0
    assert 0 < routed.mean() < 1
    q, mid = (program.graph.nodes[name] for name in ("q", "mid"))
    assert isinstance(q, i.Levels)
    assert isinstance(mid, i.Membrane)
    exceeded = sum((values["to_q"] * 64 + q.bias > threshold).astype(np.int64) for threshold in q.thresholds)
    np.testing.assert_array_equal(values["q"], exceeded * routed)
    added = (values["proj"] * 2**mid.shift + mid.bias) * routed
    np.testing.assert_array_equal(values["mid"], np.clip(values["tokens"] + added, mid.out.low, mid.out.high))
    passed = np.broadcast_to(~routed, added.shape)
    np.testing.assert_array_equal(values["mid"][passed], values["tokens"][passed])


def test_levels_are_recorded_and_streams_are_not() -> None:
    program = every_node()
    run = Reference().run(program, stream_samples(2), stream_schedule(2), record=True)
    wanted = {name for name, node in program.graph.nodes.items() if isinstance(node, i.IntLif | i.Levels)}
    assert run.spikes.keys() == wanted
    assert all(layer.dtype == np.uint8 for layer in run.spikes.values())


def test_spikes_pass_where_their_gate_spikes_and_keys_meet_values_channel_by_channel() -> None:
    """SDT-V1's attention: q where LIF(sum over tokens of k * v) spikes; the factor 2^6 is the shift."""
    program, count = every_node(), 4
    frames = input_frames(program.graph, stream_samples(count))
    values, _ = walk(program.graph, frames, mask_schedule(program.graph, stream_schedule(count), count))
    met = (values["s"] * values["fired_tokens"]).sum(axis=-1, keepdims=True)
    np.testing.assert_array_equal(values["kv"], met * 64)
    np.testing.assert_array_equal(values["passed_1"], values["gate_1"] * values["s"])
