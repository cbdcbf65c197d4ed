"""What is said of a quantized node is what the program holds: formulas give its integers, figures are measured again here."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
from explanations import check_filled, check_rule, value_of
from hypothesis import given
from hypothesis import strategies as st
from networks import TinySpikformer, images, tiny_spikformer
from small_graphs import chain, fire
from small_graphs import lif as small_lif

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.explaining.explain import explain, explain_nir
from pumice.compiler.explaining.explanation import Explanation, Step
from pumice.compiler.explaining.runs import same_so_far
from pumice.compiler.importing.readings import reading
from pumice.compiler.ir import Graph, Node, TensorType, in_topological_order
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.lowering.time_constants import check_time_constants, decay_of, nearest_tau
from pumice.compiler.passes.quantize import Quantize
from pumice.compiler.pipeline import Quantized, compile_nir, finish, quantize
from pumice.errors import InputError
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.reference import Reference

CHIP = load_chip("loihi2")
NARROW = replace(CHIP, bias_mantissa_bits=8)  # biases need their exponent: the tie moves into the threshold
SHAPE = (4, 9)


def conv(name: str, source: str, seed: int, gain: float = 1.0) -> f.Conv:
    """One weight is 0, as a pruned one is."""
    rng = np.random.default_rng(seed)
    weight = gain * rng.normal(0, 0.6, (4, 4, 1, 1))
    weight[1, 2] = 0.0
    return f.Conv(name, (source,), TensorType(SHAPE), name, weight, rng.normal(0, 0.2, 4))


def lif(name: str, source: str, tau: float = 2.0, theta: float = 1.0, comparator: str = ">=") -> f.Lif:
    return f.Lif(name, (source,), TensorType(SHAPE), name, tau, theta, comparator)  # type: ignore[arg-type]


def network(*nodes: Node) -> Graph:
    first = f.Input("input", (), TensorType(SHAPE), "input")
    return Graph(in_topological_order({n.name: n for n in (first, *nodes)}), nodes[-1].name, "folded", 5, "repeat")


def streams() -> Graph:
    """Membranes that add up, levels and LIFs on a stream and on synapses, attention of levels, a mean over tokens, a read-out."""
    tokens = TensorType(SHAPE)
    levels = [f.MultiSpike(name, (f"{name}_conv",), tokens, name, 4, 4) for name in "qkv"]
    mean = f.TokenMean("mean", ("sum",), TensorType((4,)), "mean", 9)
    head = f.Linear(
        "head", ("last",), TensorType((3,)), "head", np.random.default_rng(5).normal(0, 1, (3, 4)), np.arange(3.0)
    )
    return network(
        conv("a", "input", 1, 3.0),
        lif("first", "a", 3.3, 0.7),
        conv("b", "first", 2, 0.1),
        f.Add("sum", ("a", "b"), tokens, "sum"),
        f.MultiSpike("on_stream", ("sum",), tokens, "on_stream", 4, 4),
        *(conv(f"{name}_conv", "on_stream", 7 + k) for k, name in enumerate("qkv")),
        *levels,
        f.Attention("product", ("q", "k", "v"), tokens, "product", 2, 0.3),
        lif("attended", "product", theta=0.61),
        mean,
        f.Lif("last", ("mean",), TensorType((4,)), "last", 2.0, 0.5, ">"),
        head,
        f.TimeMean("out", ("head",), TensorType((3,)), "out"),
    )


def gates() -> Graph:
    """SDT-V1's attention in miniature: LIFs with both comparators, coincidences and the neurons that count them."""
    return network(
        conv("k_conv", "input", 1, 3.0),
        lif("k", "k_conv", theta=0.8, comparator=">"),
        conv("v_conv", "k", 2, 3.0),
        lif("v", "v_conv", 1.7, 0.9),
        f.Coincidences("kv", ("k", "v"), TensorType((4, 1)), "kv"),
        f.Lif("gate", ("kv",), TensorType((4, 1)), "gate", 2.0, 0.5, ">="),
        f.SpikeGate("gated", ("gate", "v"), TensorType(SHAPE), "gated"),
    )


def quantized(graph: Graph, chip: ChipSpec = CHIP, bits: int = 8, **lists: Any) -> Quantized:
    samples = np.random.default_rng(7).random((30, *SHAPE))
    return Quantized(graph, Quantize(samples, bits, **lists)(graph, chip), samples, "")


CASES: dict[str, Callable[[], tuple[Quantized, ChipSpec, int]]] = {
    "streams": lambda: (quantized(streams()), CHIP, 8),
    "gates": lambda: (quantized(gates()), CHIP, 8),
    "4 bits": lambda: (quantized(gates(), CHIP, 4), CHIP, 4),
    "lists by sign": lambda: (quantized(gates(), CHIP, signs="split"), CHIP, 8),
    "three synapses": lambda: (quantized(streams(), CHIP, signs="split", synapses=3), CHIP, 8),
    "bias exponents": lambda: (quantized(gates(), NARROW), NARROW, 8),
    "levels with bias exponents": lambda: (quantized(streams(), NARROW), NARROW, 8),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Quantized, tuple[Explanation, ...]]:
    network, chip, bits = CASES[request.param]()
    return network, explain(network, chip, bits)


def test_the_formulas_give_the_integers(case: tuple[Quantized, tuple[Explanation, ...]]) -> None:
    steps = [step for one in case[1] for step in one.steps]
    assert len(steps) > 10
    for step in steps:
        check_rule(step)


def test_the_formulas_with_their_numbers_say_the_same(case: tuple[Quantized, tuple[Explanation, ...]]) -> None:
    """Shown with six digits, so that a result of many may be off in its last."""
    for step in (step for one in case[1] for step in one.steps):
        check_filled(step)


def integers_of(node: Node, synapse: Node | None) -> dict[str, Any]:
    """What a program holds, by the names that formulas use."""
    match node:
        case i.IntLif():
            return {"vth": node.vth, "dv": node.dv, "bias": node.bias_mant.tolist()}
        case i.Levels():
            return {"thresholds": node.thresholds.tolist(), "bias": node.bias_mant.tolist()}
        case i.Membrane():
            return {"shift": node.shift, "bias": node.bias_values.tolist(), "log2(s)": np.log2(node.scale)}
        case i.Readout():
            return {"offset": node.offset.tolist()}
        case i.TokenSum():
            return {"shift": node.shift}
        case _:
            return {}


def test_the_integers_are_the_program_s(case: tuple[Quantized, tuple[Explanation, ...]]) -> None:
    network, found = case
    for one in found:
        node = network.graph.nodes[one.node]
        feed = network.graph.nodes[node.inputs[0]] if node.inputs else None
        said = {step.result: step.integers for step in one.steps}
        held = {} if one.exact else integers_of(node, feed)
        assert {name: said[name] for name in held} == held
        if isinstance(feed, i.Synapse):
            assert abs(said["w_int"]) in np.abs(feed.weight)  # type: ignore[arg-type]
        if isinstance(feed, i.IntAttention | i.SpikeMatmul):
            assert said["shift"] == feed.shift


def test_a_compiled_program_holds_them() -> None:
    config = TinySpikformer()
    network, options = quantize(tiny_spikformer(config), images(config, 12), CHIP, CompileOptions()), CompileOptions()
    program = finish(network, CHIP, options)
    found = {one.node: one for one in explain(network, CHIP, 8)}
    neurons = [n for n in program.graph.nodes.values() if isinstance(n, i.IntLif)]
    assert len(neurons) == 9
    for node in neurons:
        said = {step.result: step.integers for step in found[node.name].steps}
        assert (said["vth"], said["dv"], said["bias"]) == (node.vth, node.dv, node.bias_mant.tolist())


def test_what_weights_lost_is_measured_again() -> None:
    network = quantized(gates(), bits=4)
    real, node = network.folded.nodes["v_conv"], network.graph.nodes["v_conv"]
    assert isinstance(real, f.Conv)
    assert isinstance(node, i.Synapse)
    (one,) = explain(network, CHIP, 4, "v")
    lost = one.weights
    assert lost is not None
    pairs = [(w, q) for w, q in zip(real.weight.ravel().tolist(), node.weight.ravel().tolist(), strict=True)]
    assert lost.zeroed == sum(w != 0 and q == 0 for w, q in pairs)
    assert lost.clipped == sum(not -8 <= round(w * node.scale / 2) <= 7 for w, _ in pairs)
    errors = [abs(q / node.scale - w) for w, q in pairs]
    assert lost.largest_error == pytest.approx(max(errors))
    assert lost.mean_error == pytest.approx(sum(errors) / len(errors))


def test_v_and_spikes_are_measured_again() -> None:
    """By the chip's equation and the neuron's, one neuron and one step at a time."""
    network = quantized(gates(), bits=4)
    values = evaluate(network.folded, network.calibration).values
    pixels = network.graph.nodes["input"]
    assert isinstance(pixels, i.GradedInput)
    synapse, neurons = network.graph.nodes["k_conv"], network.graph.nodes["k"]
    assert isinstance(synapse, i.Synapse)
    assert isinstance(neurons, i.IntLif)
    errors, alike, changed = [], [], 0
    current = np.einsum("oc,tbcn->tbon", synapse.weight[:, :, 0, 0], np.rint(values["input"] * pixels.scale))
    for sample, channel, token in np.ndindex(*values["k"].shape[1:]):
        v, big, same = 0.0, 0, True
        for t in range(5):
            v = v + (values["k_conv"][t, sample, channel, token] - v) / 2
            big = int(big * (4096 - neurons.dv) / 4096) + 64 * int(current[t, sample, channel, token])
            big += int(neurons.bias[channel, 0])
            errors.append(abs(big / (64 * neurons.scale * 2) - v))
            alike += errors[-1:] if same else []
            fires, sends = v > 0.8, big > 64 * neurons.vth
            changed, same = changed + (fires != sends), same and fires == sends
            v, big = 0.0 if fires else v, 0 if sends else big
    (one,) = explain(network, CHIP, 4, "k")
    assert one.errors is not None
    assert (one.errors.of, one.errors.sent, one.errors.compared) == ("v", "spikes", len(errors))
    assert one.errors.mean == pytest.approx(np.mean(errors))
    assert one.errors.largest == pytest.approx(max(errors))
    assert one.errors.before_change == pytest.approx(max(alike))
    assert one.errors.changed == changed / len(errors)
    assert max(errors) > max(alike) > 0 < changed  # or this could not fail


def test_neurons_are_alike_until_they_first_differ() -> None:
    first = np.array([[0, 0, 0], [1, 0, 1], [0, 1, 0], [0, 1, 0]])
    second = np.array([[0, 1, 0], [1, 0, 1], [0, 1, 1], [0, 1, 0]])
    alike = np.array([[1, 1, 1], [1, 0, 1], [1, 0, 1], [1, 0, 0]])
    assert np.array_equal(same_so_far(first, second), alike)


def test_changed_spikes_are_those_that_quantization_counted(case: tuple[Quantized, tuple[Explanation, ...]]) -> None:
    network, found = case
    counted = {c.node: c.data["mismatch"] for c in network.graph.log if "mismatch" in c.data}
    said = {one.node: one.errors.changed for one in found if one.errors and one.errors.sent in ("spikes", "levels")}
    assert said == counted


def test_the_first_layer_s_spikes_are_those_of_a_run() -> None:
    """Its input is the float network's, so a run of the whole program says the same of it."""
    config = TinySpikformer()
    samples, options = images(config, 12), CompileOptions(masks="off", weight_bits=3)
    network = quantize(tiny_spikformer(config), samples, CHIP, options)
    spikes = Reference().run(finish(network, CHIP, options), samples, record=True).spikes["lif0"]
    target = evaluate(network.folded, samples, gated=False).values["lif0"]
    (one,) = explain(network, CHIP, 3, "lif0")
    assert one.errors is not None
    assert one.errors.changed == (spikes != target).mean() > 0


def test_the_read_out_s_error_is_that_of_its_logits() -> None:
    network = quantized(streams())
    values = evaluate(network.folded, network.calibration).values
    synapse, readout = network.graph.nodes["head"], network.graph.nodes["out"]
    assert isinstance(synapse, i.Synapse)
    assert isinstance(readout, i.Readout)
    totals = readout.offset + np.einsum("tbc,kc->bk", values["last"].reshape(5, 30, 4), synapse.weight[:, :, 0, 0])
    error = np.abs(totals * readout.scale - values["out"][-1])
    (one,) = explain(network, CHIP, 8, "out")
    assert one.errors is not None
    assert (one.errors.mean, one.errors.largest) == (pytest.approx(error.mean()), pytest.approx(error.max()))
    assert one.errors.changed == (totals.argmax(axis=1) != values["out"][-1].argmax(axis=1)).mean()


def test_a_clipped_stream_is_said_to_be_clipped() -> None:
    """Its range made smaller than what quantization chose."""
    network = quantized(streams())
    node = network.graph.nodes["a"]
    small = replace(node, out=replace(node.out, low=-node.out.high // 9, high=node.out.high // 9))
    tight = replace(network, graph=replace(network.graph, nodes={**network.graph.nodes, "a": small}))
    said = [float(explain(n, CHIP, 8, "a")[0].notes[0].partition("%")[0]) for n in (network, tight)]
    assert said[0] == 0 < said[1]


@pytest.mark.parametrize(
    ("name", "node"), [("v", "v"), ("v_conv", "v"), ("kv", "gate"), ("k_conv", "k"), ("gated", "gated")]
)
def test_a_node_of_the_user_s_leads_to_what_it_became(name: str, node: str) -> None:
    (one,) = explain(quantized(gates()), CHIP, 8, name)
    assert one.node == node
    assert name in one.covers


def test_a_batchnorm_leads_to_the_neurons_it_was_folded_into() -> None:
    config = TinySpikformer()
    found = explain_nir(tiny_spikformer(config), images(config, 8), CHIP, CompileOptions(), only="rpe_bn")
    assert [one.node for one in found] == ["rpe_lif"]
    found = explain_nir(tiny_spikformer(config), images(config, 8), CHIP, CompileOptions(), only="token_mean")
    assert [one.node for one in found] == ["time_mean"]


def test_a_name_that_leads_nowhere_is_refused_with_names_that_do() -> None:
    with pytest.raises(InputError, match="no node 'lif7'") as caught:
        explain(quantized(gates()), CHIP, 8, "lif7")
    assert "gate" in caught.value.hint


def test_only_what_moves_integers_is_called_exact(case: tuple[Quantized, tuple[Explanation, ...]]) -> None:
    for one in case[1]:
        counter = one.node.endswith(".counts")  # of a network that ends in spikes
        moves = counter or isinstance(case[0].graph.nodes[one.node], i.SpikeAnd | i.Sum | i.Reshape)
        assert one.exact == moves
        assert bool(one.steps) == (one.errors is not None) == (not moves)


def step_of(one: Explanation, result: str) -> Step:
    return next(step for step in one.steps if step.result == result)


def test_a_rounded_threshold_and_decay_say_what_the_chip_has() -> None:
    """Neurons that read counts: 2 · 0.61 · 16 / 0.3 counts are no whole number, at any shift that fits."""
    (one,) = explain(quantized(streams()), CHIP, 8, "attended")
    vth = step_of(one, "vth")
    theta = float(vth.integers) / float(vth.numbers["s"]) / 2  # type: ignore[arg-type]
    assert vth.remark.startswith("rounded from ")
    assert f"the threshold is {theta:.6g} on the chip" in vth.remark
    (one,) = explain(quantized(gates()), CHIP, 8, "v")
    assert step_of(one, "vth").remark.startswith("whole: ")
    (one,) = explain(quantized(streams()), CHIP, 8, "first")
    assert "rounded: tau is 3.30056 on the chip, +0.02%" in step_of(one, "dv").remark
    assert step_of(explain(quantized(gates()), CHIP, 8, "k")[0], "dv").remark == "exact"


@given(st.floats(0.01, 1e6))
def test_the_nearest_tau_has_a_decay_of_12_bits(tau: float) -> None:
    fitting = nearest_tau(tau)
    assert 1 <= decay_of(fitting) <= 4095
    if 1 <= decay_of(tau) <= 4095:
        assert fitting == tau
    else:
        held = [4096 / dv for dv in range(1, 4096)]
        assert fitting == min(held, key=lambda t: abs(t - tau))


@pytest.mark.parametrize(("tau", "said"), [(1.0, "too short"), (0.5, "too short"), (9000.0, "too long")])
def test_a_tau_beyond_the_register_is_refused_with_the_nearest(tau: float, said: str) -> None:
    with pytest.raises(InputError, match=f"node 'x': tau of {tau:g} timesteps is {said}") as caught:
        check_time_constants(network(lif("x", "input", tau)))
    assert caught.value.hint == f"the nearest tau that the register holds is {'1.000244' if tau < 2 else '4096'}"


def test_neurons_without_leak_need_no_decay() -> None:
    check_time_constants(network(lif("x", "input", math.inf)))


@pytest.mark.parametrize("tau", [1.0, 9000.0])
def test_a_file_with_such_a_tau_is_neither_compiled_nor_explained(tau: float) -> None:
    config = TinySpikformer()
    graph = tiny_spikformer(config)
    graph.nodes["rpe_lif"].tau[:] = tau * 1e-4
    for made in (explain_nir, compile_nir):
        with pytest.raises(InputError, match="'rpe_lif': tau of"):
            made(graph, images(config, 4), CHIP, CompileOptions())


@pytest.mark.parametrize("meaning", ["snntorch", "norse"])
def test_a_network_of_another_framework_is_explained(meaning: str) -> None:
    """Neurons with a gain of their own, without leak, that subtract their threshold; pools; an output of spikes."""
    rng = np.random.default_rng(3)
    shape = (3, 4, 4)
    graph = chain(
        (2, 8, 8),
        (5,),
        conv=nir.Conv2d((8, 8), rng.normal(0, 0.6, (3, 2, 3, 3)), 1, 1, 1, 1, rng.normal(0, 0.1, 3)),
        pool=nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        fire=fire(shape),
        flat=nir.Flatten({"input": np.array(shape)}, 0, -1),
        linear=nir.Affine(rng.normal(0, 0.4, (5, 48)), rng.normal(0, 0.1, 5)),
        leaky=small_lif((5,), tau=np.full(5, 3e-4)),
    )
    samples = (rng.random((6, 7, 2, 8, 8)) < 0.3).astype(float)
    network = quantize(graph, samples, CHIP, CompileOptions(reading=reading(meaning, dt=1e-4)))
    found = explain(network, CHIP, 8)
    for one in found:
        assert one.exact or one.steps, one
        for step in one.steps:
            value = value_of(step.rule, dict(step.numbers))
            assert np.array_equal(np.rint(value).astype(np.int64), step.integers), step
    counted = {c.node: c.data["mismatch"] for c in network.graph.log if "mismatch" in c.data}
    said = {one.node: one.errors.changed for one in found if one.errors and one.errors.sent == "spikes"}
    assert said == counted
    assert len(said) == 2
    steps = {step.filled for one in found for step in one.steps}
    assert {"rint(4096/inf) = 0", "rint(4096/3) = 1365"} <= steps
