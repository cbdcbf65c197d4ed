"""Spike rates for placement: measured while values are freed, equal to those of a walk that keeps everything."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from networks import TinySpikformer, images
from numpy.typing import NDArray
from stream_networks import every_node, samples

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import origin
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.program import Program
from pumice.compiler.spike_rates import all_routed, carried, measure_rates
from pumice.compiler.walk import graded_frames, walk, walk_through
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2)


@cache
def graph() -> Graph:
    return every_node().graph


def sent_by_hand(graph: Graph, x: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Messages a sample of every node, [C, P], from all values at once."""
    values, _ = walk(graph, graded_frames(graph, x), all_routed(graph, len(x)))
    return {name: (value != 0).sum(axis=(0, 1)) / len(x) for name, value in values.items()}


def test_rates_are_those_of_a_walk_that_keeps_all_values() -> None:
    x = samples(5)
    rates, sent = measure_rates(graph(), x), sent_by_hand(graph(), x)
    assert set(rates) == set(carried(graph()))
    for name, rate in rates.items():
        assert rate.dtype == np.float32
        np.testing.assert_allclose(rate.ravel(), sent[name].ravel(), rtol=1e-6)
    assert sum(rate.any() for rate in rates.values()) > len(rates) * 0.8


def test_there_is_a_rate_for_all_that_reaches_a_core() -> None:
    """Every neuron, and every stream whose axons a slice of a group counts, in the shape of the neurons that send it."""
    rates = measure_rates(graph(), samples(1))
    network = network_of(graph(), load_chip("loihi2"))
    for name, group in network.groups.items():
        assert rates[name].shape == group.extent
        for fan in network.wiring.fans(group, *(np.arange(count) for count in group.extent)):
            channels, *positions = origin(fan.stream, graph()).out.shape
            assert rates[fan.stream].shape == (channels, int(np.prod(positions)))


def test_a_gate_thins_out_what_its_block_reads(compiled: Callable[..., Program]) -> None:
    live = compiled(CONFIG, masks="live").graph
    rates = measure_rates(live, images(CONFIG, 6))
    gates = [node for node in live.nodes.values() if isinstance(node, i.TokenGate)]
    for gate in gates:
        whole, thinned = rates[origin(gate.name, live).name], rates[gate.name]
        assert np.all(thinned <= whole)
        assert 0 < thinned.sum() < whole.sum()


def test_rates_add_up_to_the_spikes_that_a_run_counts(compiled: Callable[..., Program]) -> None:
    program, x = compiled(CONFIG), images(CONFIG, 6)
    rates, counts = measure_rates(program.graph, x), Reference().run(program, x).counts
    assert counts is not None
    for layer in {row.layer for row in counts.rows}:
        if not isinstance(program.graph.nodes[layer], i.Readout):
            spikes = sum(float(row.spikes.sum()) for row in counts.rows if row.layer == layer)
            assert float(rates[layer].sum()) == pytest.approx(spikes / 6)


def test_batches_do_not_change_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once = measure_rates(graph(), samples(5))
    monkeypatch.setattr("pumice.compiler.walk.BATCH", 2)
    few = measure_rates(graph(), samples(5))
    assert all(np.array_equal(rate, few[name]) for name, rate in at_once.items())


def test_values_are_freed_after_their_last_reader() -> None:
    """Those that a delay or another shape passes on live as long as these do."""
    passing = i.Delay | i.Reshape | i.OneToOne
    readers = graph().consumers()
    freed = {n.name for n in graph().nodes.values() if not any(isinstance(r, passing) for r in readers[n.name])}
    freed -= {n.name for n in graph().nodes.values() if isinstance(n, passing | i.GradedInput)}
    alive: dict[str, weakref.ref[Any]] = {}
    seen: set[str] = set()

    def see(node: Node, value: NDArray[Any]) -> None:
        done = {name for name in freed & seen if {reader.name for reader in readers[name]} <= seen}
        assert {name for name in done if alive[name]() is not None} == set()
        seen.add(node.name)
        alive[node.name] = weakref.ref(value)

    x = samples(2)
    walk_through(graph(), graded_frames(graph(), x), all_routed(graph(), 2), see)
    assert seen == set(graph().nodes)
    assert len(freed) > len(seen) / 3
