"""General NIR neurons as integers: where the chip holds the weights exactly, no spike differs from the float executor's."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from numpy.typing import NDArray
from small_graphs import chain

from pumice.compiler import int_nodes as i
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import Reading, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import InputError, PumiceError, UnsupportedNode, VerifyError
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference

LEVELS = (-127.0, 0.0, 63.0, 64.0, 127.0)  # sums meet the threshold of 127 exactly, again and again
RESETS = [("zero", "spike"), ("subtract", "spike"), ("subtract", "next"), ("subtract", "both")]
STEPS = 9


def fire(size: int, threshold: float = 127.0) -> nir.IF:
    ones = np.ones(size)
    return nir.IF(ones, threshold * ones, 0 * ones)


def mapped(rng: np.random.Generator, out: int, into: int) -> nir.Affine:
    weight = rng.choice(LEVELS, (out, into))
    weight[0, 0] = 127.0  # the largest: the grid is 2 a unit
    return nir.Affine(weight, rng.choice((0.0, 1.0, -63.0), out))


def network(seed: int = 0) -> nir.NIRGraph:
    rng = np.random.default_rng(seed)
    return chain((6,), (5,), a=mapped(rng, 7, 6), n=fire(7), b=mapped(rng, 5, 7), m=fire(5))


def spikes(shape: tuple[int, ...], seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(shape) < 0.4).astype(np.float64)


def compiled(graph: nir.NIRGraph, meaning: Reading, shape: tuple[int, ...]) -> Program:
    return compile_nir(graph, spikes((8, STEPS, *shape), 1), load_chip("loihi2"), CompileOptions(), reading=meaning)


def in_float(graph: nir.NIRGraph, meaning: Reading, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    imported = import_nir(graph, meaning)
    (entry,) = input_nodes(imported)
    frames, _ = graph_frames(imported, {entry.name: samples})
    return {name: np.asarray(value) for name, value in run_graph(imported, frames).values.items()}


def if_reading(reset: str, reset_at: str, comparator: str) -> Reading:
    return reading("nir", reset=reset, reset_at=reset_at, comparator=comparator, if_gain="one")


@pytest.mark.parametrize("comparator", [">", ">="])
@pytest.mark.parametrize(("reset", "reset_at"), RESETS)
def test_exact_weights_give_exact_spikes_ties_included(reset: str, reset_at: str, comparator: str) -> None:
    meaning, x = if_reading(reset, reset_at, comparator), spikes((30, STEPS, 6), 2)
    wanted = in_float(network(), meaning, x)
    run = Reference(counts=False).run(compiled(network(), meaning, (6,)), x, record=True)
    for name in ("n", "m"):
        assert run.spikes[name].any()
        assert np.array_equal(run.spikes[name][..., 0], wanted[name])
    other = in_float(network(), if_reading(reset, reset_at, ">" if comparator == ">=" else ">="), x)
    assert not np.array_equal(other["m"], wanted["m"]), "no exact tie: the comparator was not tested"


@pytest.mark.parametrize(("reset", "reset_at"), RESETS)
def test_lava_runs_every_reset_bit_for_bit(reset: str, reset_at: str) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    program, x = compiled(network(), if_reading(reset, reset_at, ">="), (6,)), spikes((4, STEPS, 6), 3)
    lava, reference = (b.run(program, x, record=True) for b in (LavaBackend(), Reference(counts=False)))
    assert np.array_equal(lava.outputs, reference.outputs)
    assert all(np.array_equal(lava.spikes[name], value) for name, value in reference.spikes.items())


@pytest.mark.parametrize("pool", [nir.AvgPool2d, nir.SumPool2d])
def test_a_pool_before_a_convolution_is_summed_without_rounding(pool: Any) -> None:
    """A 3 x 3 mean is no binary fraction; its sum is whole."""
    rng, one = np.random.default_rng(4), np.ones((2, 9, 9))
    size, weight = np.array([3, 3]), rng.choice(LEVELS, (4, 2, 2, 2))
    graph = chain(
        (2, 9, 9),
        (4, 2, 2),
        n=nir.IF(one, 0.5 * one, 0 * one),
        p=pool(size, size, np.array([0, 0])),
        c=nir.Conv2d((3, 3), weight, 1, 0, 1, 1, np.zeros(4)),
        m=nir.IF(np.ones((4, 2, 2)), np.full((4, 2, 2), 127.0), np.zeros((4, 2, 2))),
    )
    meaning, x = if_reading("subtract", "spike", ">="), spikes((10, STEPS, 2, 9, 9), 5)
    program = compiled(graph, meaning, (2, 9, 9))
    sums = program.graph.nodes["p"]
    assert isinstance(sums, i.Membrane)
    assert (sums.out.low, sums.out.high, sums.scale) == (0, 9, 9.0 if pool is nir.AvgPool2d else 1.0)
    run = Reference(counts=False).run(program, x, record=True)
    wanted = in_float(graph, meaning, x)
    assert np.array_equal(run.spikes["n"], wanted["n"])
    if pool is nir.SumPool2d:  # a ninth is not exact in the float executor either, so that its ties are not ties
        assert np.array_equal(run.spikes["m"], wanted["m"])
    else:
        assert (run.spikes["m"] == wanted["m"]).mean() > 0.99


def test_a_pool_that_only_neurons_read_is_their_synapses() -> None:
    ones = np.ones((2, 2, 2))
    size = np.array([2, 2])
    pooled = nir.SumPool2d(size, size, np.array([0, 0]))
    graph = chain((2, 4, 4), (2, 2, 2), p=pooled, m=nir.IF(ones, 2 * ones, 0 * ones))
    meaning, x = if_reading("zero", "spike", ">="), spikes((10, STEPS, 2, 4, 4), 6)
    program = compiled(graph, meaning, (2, 4, 4))
    assert isinstance(program.graph.nodes["p"], i.Synapse)
    run = Reference(counts=False).run(program, x, record=True)
    assert np.array_equal(run.spikes["m"], in_float(graph, meaning, x)["m"])


VARIED = np.array([1.0, 2.0])
REFUSED: list[tuple[Any, dict[str, Any], type[PumiceError], str]] = [
    (nir.IF(np.ones(2), VARIED, np.zeros(2)), {}, UnsupportedNode, "'n': threshold differs between neurons"),
    (fire(2), {"spikes": "many"}, UnsupportedNode, "'n': several spikes a step"),
    (fire(2), {"floor": "threshold"}, UnsupportedNode, "'n': v has a floor"),
    (nir.IF(np.ones(2), VARIED[:1].repeat(2), -np.ones(2)), {}, UnsupportedNode, "'n': a spike resets v to v_reset"),
    (
        nir.LI(VARIED[:1].repeat(2), np.ones(2), np.zeros(2)),
        {},
        UnsupportedNode,
        "'n': neurons that give their membrane",
    ),
    (
        nir.LIF(np.full(2, 1e3), np.full(2, 5.0), np.zeros(2), np.ones(2), np.zeros(2)),
        {},
        InputError,
        r"'n': tau of .* is too long",
    ),
]


@pytest.mark.parametrize(("node", "options", "error", "message"), REFUSED)
def test_what_no_chip_neuron_can_do_is_refused_by_name(
    node: Any, options: dict[str, Any], error: type[PumiceError], message: str
) -> None:
    with pytest.raises(error, match=message):
        compiled(chain((2,), (2,), n=node), reading("nir", if_gain="one", **options), (2,))


def test_linear_layers_in_a_row_need_no_neurons_between_them() -> None:
    rng = np.random.default_rng(8)
    layers = {name: nir.Linear(rng.normal(size=(5, 5)) / 2) for name in "abc"}
    graph, x = chain((5,), (5,), **layers, n=fire(5, 1.0)), spikes((10, STEPS, 5), 9)
    meaning = if_reading("subtract", "spike", ">=")
    run = Reference(counts=False).run(compiled(graph, meaning, (5,)), x, record=True)
    assert (run.spikes["n"][..., 0] == in_float(graph, meaning, x)["n"]).mean() > 0.95


def test_a_chip_with_fixed_neurons_takes_no_subtraction() -> None:
    meaning = if_reading("subtract", "spike", ">")
    with pytest.raises(VerifyError, match=r"n .* reset by subtraction .* loihi1"):
        compile_nir(network(), spikes((4, STEPS, 6), 1), load_chip("loihi1"), CompileOptions(), reading=meaning)


def test_a_network_that_ends_in_no_neurons_is_refused() -> None:
    with pytest.raises(UnsupportedNode, match="'a': the network ends in Linear"):
        compiled(chain((2,), (2,), a=nir.Linear(np.eye(2))), reading("nir"), (2,))
