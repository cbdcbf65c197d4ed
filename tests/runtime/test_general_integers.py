"""General NIR neurons as integers: where the chip holds the weights exactly, no spike differs from the float executor's."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from general_networks import (
    GENERAL,
    IF,
    LEAKS,
    LEAKY,
    LEVELS,
    OWN,
    READ_OUTS,
    RESETS,
    SLOW,
    STEPS,
    compiled,
    fire,
    if_reading,
    in_float,
    mapped,
    network,
    neurons,
    spikes,
)
from small_graphs import chain

from pumice.compiler import int_nodes as i
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.streams import scale_of
from pumice.errors import InputError, PumiceError, UnsupportedNode, VerifyError
from pumice.hwsim.spec import load_chip
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference


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


@pytest.mark.parametrize("comparator", [">", ">="])
@pytest.mark.parametrize("kind", GENERAL)
def test_what_a_plain_lif_has_not_programmable_neurons_have_exactly(kind: str, comparator: str) -> None:
    node, options = GENERAL[kind]
    graph = chain((6,), (5,), a=mapped(np.random.default_rng(3), 5, 6), n=node)
    meaning = reading("nir", **({"comparator": comparator, "if_gain": "one"} | options))
    x = spikes((30, STEPS, 6), 2)
    program, wanted = compiled(graph, meaning, (6,)), in_float(graph, meaning, x)["n"]
    made = Reference(counts=False).run(program, x, record=True)
    assert isinstance(program.graph.nodes["n"], i.Programmable)
    assert np.array_equal(made.spikes["n"][..., 0], wanted)
    assert np.array_equal(made.outputs, wanted.sum(axis=0))
    assert len(np.unique(wanted)) > (2 if options.get("spikes") == "many" else 1)


@pytest.mark.parametrize("kind", LEAKS)
@pytest.mark.parametrize("name", ["nir", "norse", "lava-dl", "nengo"])  # Nengo's have a floor at 0
def test_leaky_neurons_of_all_kinds_fire_as_in_float(kind: str, name: str) -> None:
    graph = chain((6,), (5,), a=mapped(np.random.default_rng(3), 5, 6), n=LEAKS[kind])
    meaning, x = reading(name, dt=1e-4), spikes((30, STEPS, 6), 2)
    made = Reference(counts=False).run(compiled(graph, meaning, (6,)), x, record=True)
    wanted = in_float(graph, meaning, x)["n"]
    assert wanted.any()
    assert (
        made.spikes["n"][..., 0] == wanted
    ).mean() > 0.995  # 12-bit decays, 24-bit membranes in 1/64 of a weight unit


@pytest.mark.parametrize("kind", READ_OUTS)
def test_a_read_out_that_does_not_spike_is_a_payload_in_known_units(kind: str) -> None:
    """The trace is the membrane in fixed point; the network's output is its sum over the sample, in the same units."""
    layers = {"a": mapped(np.random.default_rng(3), 7, 6), "n": fire(7), "b": mapped(np.random.default_rng(4), 5, 7)}
    graph = chain((6,), (5,), **layers, **({} if kind == "Affine" else {"last": READ_OUTS[kind]}))
    meaning, x = reading("nir", if_gain="one"), spikes((20, STEPS, 6), 2)
    program = compiled(graph, meaning, (6,))
    last = "b" if kind == "Affine" else "last"
    made, wanted = Reference(counts=False).run(program, x, record=True), in_float(graph, meaning, x)[last]
    unit = scale_of(last, program.graph.nodes)
    trace = made.spikes[last][..., 0] / unit
    assert np.abs(trace - wanted).max() < 0.02 * np.abs(wanted).max()
    assert np.array_equal(made.outputs, made.spikes[last].sum(axis=0)[..., 0])
    assert np.allclose(made.logits, trace.sum(axis=0))


REFUSED: list[tuple[Any, dict[str, Any], type[PumiceError], str]] = [
    (neurons(nir.IF, IF, r=-1.0), {"if_gain": "ode"}, UnsupportedNode, "'n': an input gain of -0.0001"),
    (nir.IF(np.ones(5), -OWN, np.zeros(5)), {"spikes": "many"}, InputError, "'n': threshold -254 with several"),
    (neurons(nir.LIF, LEAKY, tau=1e3), {}, InputError, r"'n': tau of .* is too long"),
    (neurons(nir.LIF, LEAKY, tau=[2e-4, 1e3, 2e-4, 2e-4, 2e-4]), {}, InputError, r"'n': tau of .* is too long"),
    (
        neurons(nir.CubaLI, {**SLOW, "tau_syn": 1e3, "v_threshold": None, "v_reset": None}),
        {},
        InputError,
        "'n': tau of",
    ),
]


@pytest.mark.parametrize(("node", "options", "error", "message"), REFUSED)
def test_what_no_chip_neuron_can_do_is_refused_by_name(
    node: Any, options: dict[str, Any], error: type[PumiceError], message: str
) -> None:
    with pytest.raises(error, match=message):
        compiled(chain((5,), (5,), n=node), reading("nir", **({"if_gain": "one"} | options)), (5,))


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
        compile_nir(network(), spikes((4, STEPS, 6), 1), load_chip("loihi1"), CompileOptions(reading=meaning))
