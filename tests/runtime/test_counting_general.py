"""Counts of networks of other frameworks against counting by hand: flattened maps, several synapses, cycles, membranes."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from small_graphs import chain, wired

from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.hwsim.counters import CountTable
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference

STEPS, SAMPLES = 5, 4


def spikes(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random((SAMPLES, STEPS, *shape)) < 0.5).astype(np.float64)


def fire(*shape: int) -> nir.IF:
    return nir.IF(np.ones(shape), np.full(shape, 0.5), np.zeros(shape))


def ran(graph: nir.NIRGraph, shape: tuple[int, ...]) -> tuple[CountTable, dict[str, NDArray[Any]]]:
    meaning = reading("nir", if_gain="one")
    program = compile_nir(graph, spikes(shape, 0), load_chip("loihi2"), CompileOptions(reading=meaning))
    run = Reference().run(program, spikes(shape, 1), record=True)
    assert run.counts is not None
    return run.counts, dict(run.spikes)


def row(counts: CountTable, layer: str) -> Any:
    (found,) = [one for one in counts.rows if one.layer == layer]
    return found


def test_each_spike_of_a_flattened_map_is_a_message() -> None:
    """The neurons lie on their core as a map; who reads them sees a vector."""
    weight = np.random.default_rng(0).choice((-1.0, 1.0), (3, 18))  # none becomes 0, which is no synapse
    flat = nir.Flatten({"input": np.array([2, 3, 3])}, 0, -1)
    counts, sent = ran(chain((2, 3, 3), (3,), n=fire(2, 3, 3), f=flat, a=nir.Linear(weight), m=fire(3)), (2, 3, 3))
    total = sent["n"].sum()
    assert total > 0
    assert row(counts, "m").events.sum() == row(counts, "m").messages.sum() == total
    assert row(counts, "m").synops.sum() == 3 * total


def test_every_synapse_of_a_layer_counts_what_comes_to_it() -> None:
    """A layer that reads one layer through weights, another as it is, and itself around a cycle."""
    matrix = nir.Linear(np.random.default_rng(1).choice((-1.0, 1.0), (3, 3)))
    back = nir.Linear(np.full((3, 3), -0.25))
    nodes = {"input": nir.Input(np.array([3])), "n": fire(3), "a": matrix, "m": fire(3), "b": back}
    nodes["output"] = nir.Output(np.array([3]))
    edges = [("input", "n"), ("n", "a"), ("a", "m"), ("n", "m"), ("m", "b"), ("b", "m"), ("m", "output")]
    counts, sent = ran(wired(nodes, edges), (3,))
    came_back = sent["m"][:-1].sum()  # what is sent in a sample's last step reaches nobody
    assert came_back > 0
    assert row(counts, "m").synops.sum() == 3 * sent["n"].sum() + sent["n"].sum() + 3 * came_back
    assert row(counts, "m").spikes.sum() == sent["m"].sum()
