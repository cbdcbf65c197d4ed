"""Explanations of general neurons: their formulas give the program's integers, their figures are measured again here."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from explanations import check_filled, check_rule, stands_for
from hypothesis import HealthCheck, assume, given, seed, settings
from networks import TinySpikformer, images, tiny_spikformer
from random_graphs import RandomGraph, random_graphs
from small_graphs import chain, fire, wired

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.explaining.explain import MADE_WITH_THEIR_NEURONS, explain, explain_nir
from pumice.compiler.explaining.explanation import Explanation, Step
from pumice.compiler.explaining.single import needed_for
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.errors import PumiceError
from pumice.hwsim.spec import load_chip

CHIP, OPTIONS = load_chip("loihi2"), CompileOptions()
ONES, OWN = np.ones(5), np.linspace(0.5, 1.5, 5)
LEAKY = {"r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}
FILTER = {"tau_syn": 2e-4, "tau_mem": 3e-4, "w_in": 1.5, "r": 1.0, "v_leak": 0.0}


def neurons(kind: Any, **values: Any) -> Any:
    return kind(**{name: value * ONES for name, value in values.items()})


SUBTRACTING = neurons(nir.CubaLIF, **FILTER, v_threshold=OWN, v_reset=0.0)

# The last layer of a network, and how it is to be read.
LAST: dict[str, tuple[Any, dict[str, Any]]] = {
    "thresholds of their own": (neurons(nir.IF, r=1e4, v_threshold=OWN, v_reset=-0.3), {}),
    "taus of their own": (neurons(nir.LIF, **LEAKY, tau=OWN * 4e-4), {}),
    "a rest, and a start there": (neurons(nir.LIF, **LEAKY | {"v_leak": 0.2}, tau=3e-4), {"start": "v_leak"}),
    "a current": (neurons(nir.CubaLIF, **FILTER, v_threshold=0.7, v_reset=0.0), {}),
    "a current with a rest": (
        neurons(nir.CubaLIF, **FILTER | {"v_leak": 0.1 * OWN}, v_threshold=0.7, v_reset=-0.1),
        {"leaky_current": True, "start": "v_leak"},
    ),
    "several spikes, and a floor": (
        neurons(nir.IF, r=1e4, v_threshold=0.6, v_reset=0.0),
        {"spikes": "many", "reset": "subtract", "floor": "threshold"},
    ),
    "a reset in the next step": (SUBTRACTING, {"reset": "subtract", "reset_at": "next"}),
    "both resets": (SUBTRACTING, {"reset": "subtract", "reset_at": "both"}),
    "no memory": (nir.Threshold(0.4 * OWN), {}),
    "LI": (neurons(nir.LI, tau=4e-4, r=1.5, v_leak=0.0), {}),
    "LI, each its own": (neurons(nir.LI, tau=OWN * 4e-4, r=OWN, v_leak=0.3), {}),
    "CubaLI": (neurons(nir.CubaLI, **FILTER), {}),
    "I": (neurons(nir.I, r=0.7e4), {}),
    "Affine": (nir.Affine(np.random.default_rng(4).normal(0, 1, (5, 5)), 0.3 * OWN), {}),
}  # fmt: skip


def network(last: Any) -> nir.NIRGraph:
    rng = np.random.default_rng(3)
    before = nir.Affine(rng.normal(0.2, 0.7, (5, 6)), rng.normal(0, 0.2, 5))
    return chain((6,), (5,), a=before, n=fire((5,)), b=nir.Linear(rng.normal(0.2, 0.7, (5, 5))), last=last)


def quantized(graph: nir.NIRGraph, shape: tuple[int, ...], **options: Any) -> Quantized:
    samples = (np.random.default_rng(7).random((20, 8, *shape)) < 0.4).astype(float)
    meaning = reading("nir", **({"dt": 1e-4, "comparator": ">="} | options))
    return quantize(graph, samples, CHIP, CompileOptions(reading=meaning))


@pytest.fixture(scope="module", params=LAST)
def case(request: pytest.FixtureRequest) -> tuple[Quantized, Explanation]:
    node, options = LAST[request.param]
    found = quantized(network(node), (6,), **options)
    return found, explain(found, CHIP, 8, "last")[0]


def test_the_formulas_give_the_integers(case: tuple[Quantized, Explanation]) -> None:
    assert len(case[1].steps) >= 3
    for step in case[1].steps:
        check_rule(step)
        check_filled(step)


def test_the_integers_are_the_program_s(case: tuple[Quantized, Explanation]) -> None:
    """What is not said is what neurons have without it: no start, no floor, no current."""
    node, said = case[0].graph.nodes["last"], {step.result: step.integers for step in case[1].steps}
    if not isinstance(node, i.Programmable):
        assert isinstance(node, i.Membrane)
        return
    p, shape = node.params, node.out.shape
    for name in ("bias", "current_bias", "start", "current_start"):
        assert name in said or not np.any(getattr(p, name)), name
    assert ("du" in said) == bool(np.any(p.du != 4096))
    assert ("threshold" in said) == (p.most > 0)
    assert said.get("shift", 0) == p.shift
    assert said.get("most", min(p.most, 1)) == p.most
    held = [
        name for name in ("threshold", "dv", "du", "bias", "current_bias", "start", "v_reset", "floor") if name in said
    ]
    assert {"dv"} < set(held)
    for name in held:
        assert stands_for(said[name], getattr(p, name), shape), name


def test_the_errors_are_those_that_quantization_counted(case: tuple[Quantized, Explanation]) -> None:
    (counted,) = (c.data for c in case[0].graph.log if c.node == "last" and {"mismatch", "mean_error"} & set(c.data))
    errors = case[1].errors
    assert errors is not None
    if errors.sent:
        assert errors.changed == counted["mismatch"]
        assert errors.before_change is not None
        assert (
            0 < errors.before_change < 0.1
        )  # thresholds are 0.2 to 1.5: a membrane after its reset would be off by that
    else:
        assert errors.mean == pytest.approx(counted.get("mismatch", errors.mean))
        assert 0 < errors.mean < 0.05


def step_of(one: Explanation, result: str) -> Step:
    return next(step for step in one.steps if step.result == result)


@pytest.mark.parametrize("kind", ["CubaLIF", "CubaLI"])
def test_v_is_measured_again(kind: str) -> None:
    """By the equations of a CubaLIF and a CubaLI, one neuron and one step at a time."""
    fires = {"v_threshold": 0.7, "v_reset": 0.0} if kind == "CubaLIF" else {}
    found = quantized(network(neurons(getattr(nir, kind), **FILTER, **fires)), (6,))
    values = evaluate(found.folded, found.calibration).values
    synapse, node = found.graph.nodes["b"], found.graph.nodes["last"]
    assert isinstance(synapse, i.Synapse)
    assert isinstance(node, i.Programmable)
    p = node.params
    dv, du, threshold = (array.item() for array in (p.dv, p.du, p.threshold))
    bias = np.broadcast_to(p.current_bias, (5, 1))
    spikes = values["n"].reshape(8, 20, 5).astype(int)
    errors, changed = [], 0
    for sample, k in np.ndindex(20, 5):
        u = v = 0.0
        big_u = big_v = 0
        for t in range(8):
            u += (1.5 * values["b"][t, sample, k] - u) / 2  # tau_syn: 2 timesteps, w_in 1.5
            v += (u - v) / 3
            current = int(synapse.weight[k, :, 0, 0] @ spikes[t, sample])
            big_u = int(big_u * (4096 - du) / 4096) + 64 * current + int(bias[k, 0])
            big_v = int(big_v * (4096 - dv) / 4096) + big_u
            sent = int(np.floor(big_v * 2.0**p.shift + 0.5))
            if not fires:
                errors.append(abs(sent / node.norm - v))
                continue
            errors.append(abs(big_v * (1.5 / 2 / 3) / (64 * node.scale) - v))
            changed += (v >= 0.7) != (big_v >= threshold)
            v, big_v = 0.0 if v >= 0.7 else v, 0 if big_v >= threshold else big_v
    (one,) = explain(found, CHIP, 8, "last")
    assert one.errors is not None
    assert one.errors.mean == pytest.approx(np.mean(errors))
    assert one.errors.largest == pytest.approx(max(errors))
    assert one.errors.changed == (changed / len(errors) if fires else None)


def test_each_synapse_of_a_layer_has_its_weights() -> None:
    """A recurrent layer: spikes from before, and its own of the step before, each with a matrix."""
    rng, two = np.random.default_rng(1), nir.Delay(np.full(3, 2e-4))
    into, back = rng.normal(0.3, 0.6, (3, 4)), rng.normal(0, 0.1, (3, 3))
    back[0, 0] = 1e-5
    nodes = {"input": nir.Input(np.array([4])), "a": nir.Affine(into, OWN[:3]), "r": nir.Linear(back), "d": two}
    nodes |= {"n": fire((3,)), "output": nir.Output(np.array([3]))}
    edges = [("input", "a"), ("a", "n"), ("n", "d"), ("d", "r"), ("r", "n"), ("n", "output")]
    found = quantized(wired(nodes, edges), (4,))
    one = explain(found, CHIP, 8, "n")[0]
    each = dict(one.synapses)
    assert (each["a"].count, each["r"].count) == (12, 9)
    assert one.weights is not None
    assert one.weights.count == 21
    assert one.weights.zeroed == each["a"].zeroed + each["r"].zeroed > 0
    for name, real in (("a", into), ("r", back)):
        synapse = found.graph.nodes[name]
        assert isinstance(synapse, i.Synapse)
        assert each[name].zeroed == (synapse.weight == 0).sum()
        assert each[name].largest_error == pytest.approx(
            np.abs(synapse.weight[:, :, 0, 0] / synapse.scale - real).max()
        )
        assert abs(step_of(one, f"w_int of {name}").integers) == np.abs(synapse.weight).max()  # type: ignore[arg-type]
        assert explain(found, CHIP, 8, name) == (one,)
    for step in one.steps:
        check_rule(step)
    kinds = {other.node: other.kind for other in explain(found, CHIP, 8) if other.exact}
    assert {"Feedback", "Currents"} <= {kind.partition(":")[0] for kind in kinds.values()}


@seed(11)
@settings(max_examples=40, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(random_graphs())
def test_whatever_compiles_is_explained(case: RandomGraph) -> None:
    """Every node has its page, with formulas that give its integers; a node of the user's leads to what it became."""
    samples = case.samples(4, 8, 1)
    try:
        found = quantize(case.graph, samples, CHIP, CompileOptions(reading=case.reading))
        finish(found, CHIP, OPTIONS)
    except PumiceError:
        assume(False)
    pages = explain(found, CHIP, 8)
    nodes = [n for n in found.graph.nodes.values() if not isinstance(n, MADE_WITH_THEIR_NEURONS)]
    assert [one.node for one in pages] == [n.name for n in nodes]
    for one in pages:
        assert one.exact != bool(one.steps)
        assert one.exact == (one.errors is None)
        for step in one.steps:
            check_rule(step)
    known = {name for one in pages for name in one.covers}
    for name, node in case.graph.nodes.items():
        if not isinstance(node, nir.Output | nir.Flatten):  # a shape is nobody's: it may move behind neurons
            assert name in known, name


@pytest.mark.parametrize("kind", ["a current", "LI, each its own", "several spikes, and a floor"])
def test_one_node_asked_for_is_explained_as_among_all(kind: str) -> None:
    """Only what it needs is quantized then; the rest changes nothing about it."""
    node, options = LAST[kind]
    after = nir.Affine(np.random.default_rng(5).normal(0, 1, (5, 5)), OWN)
    graph = chain(
        (6,), (5,), **{n: x for n, x in network(node).nodes.items() if n not in ("input", "output")}, after=after
    )
    samples = (np.random.default_rng(7).random((20, 8, 6)) < 0.4).astype(float)
    meaning = reading("nir", dt=1e-4, comparator=">=", **options)
    pages = explain_nir(graph, samples, CHIP, CompileOptions(reading=meaning))
    for name in (*graph.nodes, *(one.node for one in pages)):
        if name != "output":
            (one,) = explain_nir(graph, samples, CHIP, CompileOptions(reading=meaning), only=name)
            assert one in pages, name


@pytest.mark.parametrize("config", [TinySpikformer(), TinySpikformer(blocks=2, pool=True, size=6)])
def test_so_is_each_node_of_a_transformer(config: TinySpikformer) -> None:
    graph, samples = tiny_spikformer(config), images(config, 6)
    pages = explain_nir(graph, samples, CHIP, OPTIONS)
    for name in {name for one in pages for name in one.covers}:
        (one,) = explain_nir(graph, samples, CHIP, OPTIONS, only=name)
        assert one in pages, name
        assert name in one.covers


def test_what_stands_beside_one_node_is_not_quantized() -> None:
    network = tiny_spikformer(TinySpikformer())
    folded = quantize(network, images(TinySpikformer(), 4), CHIP, OPTIONS).folded
    wanted, given = needed_for("block.0.fc1_bn", folded)
    assert wanted is not None
    assert {"block.0.fc1_lif", "block.0.fc1_linear"} <= wanted < set(folded.nodes)
    neurons = [name for name in wanted if isinstance(folded.nodes[name], f.Lif)]
    assert neurons == ["block.0.fc1_lif"]
    assert {node.name for node in given} >= {"block.0.proj_lif"}
