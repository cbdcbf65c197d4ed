"""Cycles, delays and residual edges as integers: where nothing is rounded, no spike differs from the float executor's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cycle_networks import NETWORKS, compiled, delay, fire, in_float, layer, meaning_of, net, spikes

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import dumps, read_artifact, write_artifact
from pumice.compiler.passes.balance_delays import axon_delays, depths, latency_steps
from pumice.compiler.streams import scale_of
from pumice.errors import UnsupportedNode, VerifyError
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference


@pytest.mark.parametrize("reset", ["zero", "subtract"])
@pytest.mark.parametrize("recurrence", ["zero", "bias"])
@pytest.mark.parametrize("name", NETWORKS)
def test_every_spike_is_that_of_the_float_executor(name: str, recurrence: str, reset: str) -> None:
    graph, meaning = NETWORKS[name], meaning_of(recurrence, reset)
    x = spikes(graph, 40, 2)
    program, wanted = compiled(graph, meaning), in_float(graph, meaning, x)
    made = Reference(counts=False).run(program, x, record=True)
    assert made.spikes
    for layer_name, sent in made.spikes.items():
        assert sent.any()
        values = sent / scale_of(layer_name, program.graph.nodes)
        assert np.array_equal(values, wanted[layer_name].reshape(sent.shape)), layer_name


def test_where_a_recurrent_bias_begins_shows_in_the_spikes() -> None:
    graph = NETWORKS["a recurrent layer with a bias"]
    x = spikes(graph, 40, 2)
    first, second = (Reference(counts=False).run(compiled(graph, meaning_of(r)), x).outputs for r in ("zero", "bias"))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("name", NETWORKS)
def test_lava_sends_the_same_and_a_sample_finds_nothing_of_the_one_before(name: str) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    graph = NETWORKS[name]
    program, x = compiled(graph, meaning_of()), spikes(graph, 3, 3)
    lava, reference = (b.run(program, x, record=True) for b in (LavaBackend(), Reference(counts=False)))
    assert np.array_equal(lava.outputs, reference.outputs)
    assert all(np.array_equal(lava.spikes[layer_name], sent) for layer_name, sent in reference.spikes.items())


@pytest.mark.parametrize("name", ["two recurrent layers", "each neuron its own delay"])
def test_such_a_program_is_the_same_after_its_artifact(name: str, tmp_path: Path) -> None:
    program = compiled(NETWORKS[name], meaning_of())
    write_artifact(program, tmp_path / "net.pumice")
    assert dumps(read_artifact(tmp_path / "net.pumice")) == dumps(program)


def test_a_delay_hides_the_steps_that_its_path_takes_anyway() -> None:
    """Two layers in a row take two steps; with two steps of the user's delay in front, the read-out waits no longer for them."""
    layers = {"a": layer(1), "n": fire(), "b": layer(2), "m": fire()}
    plain = compiled(net(layers, "input a n b m output"), meaning_of())
    late = compiled(net({**layers, "d": delay(1)}, "input a n d b m output"), meaning_of())
    assert latency_steps(late.graph) == latency_steps(plain.graph) - 1
    (past,) = [node for node in late.graph.nodes.values() if isinstance(node, i.Past)]
    assert not axon_delays(past, depths(late.graph)).any()


def test_a_cycle_that_takes_longer_than_its_delay_is_refused_by_name() -> None:
    layers = {"a": layer(1), "n": fire(), "b": layer(2), "m": fire(), "c": layer(3)}
    graph = net(layers, "input a n b m output", "m c n")
    with pytest.raises(
        UnsupportedNode, match=r"'m': the cycle behind it has 1 timestep of delay, fewer than the synapses"
    ):
        compiled(graph, meaning_of())


def test_a_cycle_without_neurons_is_refused_by_name() -> None:
    graph = net({"a": layer(1), "r": layer(2), "n": fire()}, "input a n output", "a r a")
    with pytest.raises(UnsupportedNode, match=r"'[ar]': a cycle without neurons"):
        compiled(graph, meaning_of())


def test_a_delay_longer_than_the_chip_s_axons_is_refused_with_used_and_limit() -> None:
    graph = net({"a": layer(1), "n": fire(), "d": delay(70), "b": layer(2), "m": fire()}, "input a n d b m output")
    with pytest.raises(VerifyError, match=r"d: delay 69/62 steps"):
        compiled(graph, meaning_of())
