"""Cycles, delays and residual edges as integers: where nothing is rounded, no spike differs from the float executor's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray
from small_graphs import Shape, wired

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import dumps, read_artifact, write_artifact
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import Reading, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import axon_delays, depths, latency_steps
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.compiler.streams import scale_of
from pumice.errors import UnsupportedNode, VerifyError
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference

SIZE, STEPS, DT = 4, 8, 1e-4
WEIGHTS = (-127.0, -63.0, 0.0, 64.0, 127.0)  # the grid is 2 a unit, and sums meet the threshold of 127 exactly


def layer(seed: int, bias: bool = False) -> nir.Affine:
    rng = np.random.default_rng(seed)
    weight = rng.choice(WEIGHTS, (SIZE, SIZE))
    weight[0, 0] = 127.0
    return nir.Affine(weight, rng.choice((-32.0, 16.0, 33.0), SIZE) if bias else np.zeros(SIZE))


def fire(*shape: int) -> nir.IF:
    return nir.IF(np.ones(shape or SIZE), np.full(shape or SIZE, 127.0), np.zeros(shape or SIZE))


def delay(*steps: float) -> nir.Delay:
    return nir.Delay(DT * np.broadcast_to(steps, SIZE))


def net(nodes: Mapping[str, Any], *paths: str, shape: Shape = (SIZE,), out: Shape = (SIZE,)) -> nir.NIRGraph:
    """A graph of paths such as "input a n output"."""
    edges = [pair for path in paths for pair in zip(path.split(), path.split()[1:], strict=False)]
    ends = {"input": nir.Input(np.array(shape)), "output": nir.Output(np.array(out))}
    return wired({**ends, **nodes}, sorted(set(edges)))


MAP = (2, 5, 5)
MAPPED = np.random.default_rng(9).choice(WEIGHTS, (2, 2, 3, 3))
NETWORKS: dict[str, nir.NIRGraph] = {
    "neurons that hear themselves": net({"a": layer(1), "n": fire()}, "input a n output", "n n"),
    "a recurrent layer": net({"a": layer(1), "n": fire(), "r": layer(2)}, "input a n output", "n r n"),
    "a recurrent layer with a bias": net({"a": layer(1), "n": fire(), "r": layer(2, True)}, "input a n output", "n r n"),
    "two recurrent layers": net(
        {"a": layer(1), "n": fire(), "r": layer(2), "b": layer(3), "m": fire(), "s": layer(4, True)},
        *("input a n b m output", "n r n", "m s m"),
    ),
    "two layers in a cycle of two steps": net(
        {"a": layer(1), "n": fire(), "b": layer(2), "m": fire(), "c": layer(3), "d": delay(2)},
        *("input a n b m output", "m d c n"),
    ),
    "a delay of spikes": net({"a": layer(1), "n": fire(), "d": delay(3), "b": layer(2), "m": fire()}, "input a n d b m output"),
    "a delay of a current": net({"a": layer(1), "d": delay(2), "n": fire()}, "input a d n output"),
    "each neuron its own delay": net(
        {"a": layer(1), "n": fire(), "d": delay(0, 1, 2, 5), "b": layer(2), "m": fire()}, "input a n d b m output"
    ),
    "a residual edge": net({"a": layer(1), "n": fire(), "b": layer(2), "m": fire()}, "input a n b m output", "n m"),
    "a residual edge over two layers": net(
        {"a": layer(1), "n": fire(), "b": layer(2), "m": fire(), "c": layer(3), "o": fire()},
        *("input a n b m c o output", "n o", "input m"),
    ),
    "a residual edge of currents": net(
        {"a": layer(1), "b": layer(2), "n": fire(), "m": fire(), "c": layer(3)}, "input a n c m output", "input b m"
    ),
    "a layer that neurons and the output read": net({"a": layer(1), "n": fire(), "r": layer(2)}, "input a n r output", "r n"),
    "a convolution around a cycle": net(
        {"a": nir.Conv2d((5, 5), MAPPED, 1, "same", 1, 1, np.zeros(2)), "n": fire(*MAP),
         "r": nir.Conv2d((5, 5), MAPPED[::-1], 1, "same", 1, 1, np.zeros(2))},
        *("input a n output", "n r n"), shape=MAP, out=MAP,
    ),
    "a dilated convolution with padding on one side": net(
        {"a": nir.Conv1d(7, MAPPED[..., 0][:, :, :2], 1, "same", 3, 1, np.zeros(2)), "n": fire(2, 7)},
        "input a n output", shape=(2, 7), out=(2, 7),
    ),
    "one matrix at each place": net(
        {"a": nir.Linear(MAPPED.reshape(4, 9)[:3, :4]), "n": fire(2, 3)}, "input a n output", shape=(2, 4), out=(2, 3)
    ),
}  # fmt: skip


def spikes(graph: nir.NIRGraph, count: int, seed: int) -> NDArray[np.float64]:
    shape = tuple(int(n) for n in graph.nodes["input"].input_type["input"])
    return (np.random.default_rng(seed).random((count, STEPS, *shape)) < 0.4).astype(np.float64)


def compiled(graph: nir.NIRGraph, meaning: Reading, chip: str = "loihi2") -> Program:
    return compile_nir(graph, spikes(graph, 8, 1), load_chip(chip), CompileOptions(reading=meaning))


def in_float(graph: nir.NIRGraph, meaning: Reading, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    imported = import_nir(graph, meaning)
    (entry,) = input_nodes(imported)
    frames, _ = graph_frames(imported, {entry.name: samples})
    return {name: np.asarray(value) for name, value in run_graph(imported, frames).values.items()}


def meaning_of(recurrence: str = "zero", reset: str = "zero") -> Reading:
    return reading("nir", recurrence=recurrence, reset=reset, if_gain="one", dt=DT)


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
