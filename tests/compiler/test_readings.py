"""Readings: what each assumes, that a tie tells > from >=, that the file's own word comes first, and the one warning."""

from __future__ import annotations

import math
from typing import Any

import nir
import numpy as np
import pytest
from small_graphs import chain, cuba, fire, lif, ran, wired

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.dialect import annotation
from pumice.compiler.importing.ambiguity import open_question
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import READINGS, Reading, choices, reading
from pumice.errors import InputError, UnsupportedNode

NAMES = sorted(READINGS)
DOCUMENTED = {
    "nir": (1e-4, ">", "zero"),
    "norse": (1e-4, ">", "zero"),
    "snntorch": (1e-4, ">", "zero"),
    "spikingjelly": (1e-4, ">=", "zero"),
    "sinabs": (1.0, ">=", "subtract"),
    "rockpool": (1e-3, ">=", "subtract"),
    "lava-dl": (1e-4, ">=", "zero"),
    "nengo": (1e-3, ">", "zero"),
}


def test_every_reading_is_documented_and_says_whether_it_was_measured() -> None:
    assert {n: (r.dt, r.comparator, r.reset) for n, r in READINGS.items()} == DOCUMENTED
    assert {n for n, r in READINGS.items() if r.measured} == {"norse", "snntorch", "spikingjelly", "sinabs"}
    assert all("not measured" in r.source for n, r in READINGS.items() if not r.measured and n != "nir")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("above", [0.0, 1e-9])
def test_an_exact_tie_tells_the_comparators_apart(name: str, above: float) -> None:
    """An IF whose gain is 1 under every reading is driven to its threshold exactly, then just beyond."""
    meaning = READINGS[name]
    node = fire(r=np.array([1 / meaning.dt]))
    spikes = ran(chain((1,), (1,), n=node), np.full((1, 1, 1), 1.0 + above), meaning)["n"]
    assert spikes.item() == (1.0 if above or meaning.comparator == ">=" else 0.0)
    other = reading(name, comparator=">" if meaning.comparator == ">=" else ">=")
    swapped = ran(chain((1,), (1,), n=node), np.full((1, 1, 1), 1.0 + above), other)["n"]
    assert (swapped.item() != spikes.item()) == (above == 0)


@pytest.mark.parametrize("name", ["nir", "snntorch", "spikingjelly", "lava-dl"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_ties_of_a_lif_survive_the_file_s_rounding(name: str, kind: type) -> None:
    """tau and r as an exporter rounds them: r dt / tau misses 1 in the last places, and is taken for 1."""
    meaning = READINGS[name]
    tau = np.full(1, 3e-4, kind)
    node = nir.LIF(tau=tau, r=tau / kind(1e-4), v_leak=0 * tau, v_threshold=np.ones(1, kind), v_reset=0 * tau)
    assert ran(chain((1,), (1,), n=node), np.ones((1, 1, 1)), meaning)["n"].item() == (meaning.comparator == ">=")


def said(**changes: Any) -> dict[str, Any]:
    return annotation({"dt": 1e-4, "comparator": ">=", "reset": "hard"} | changes)


@pytest.mark.parametrize("name", NAMES)
def test_a_node_that_says_all_of_it_means_the_same_by_every_reading(name: str) -> None:
    for shape in ((1,), (3, 2)):
        node = import_nir(chain(shape, shape, n=lif(shape, metadata=said())), READINGS[name]).nodes["n"]
        assert isinstance(node, f.Lif)
        assert (node.tau, node.threshold, node.comparator) == (2.0, 1.0, ">=")
    strict = import_nir(chain((1,), (1,), n=lif(metadata=said()))).nodes["n"]
    assert isinstance(strict, f.Lif)
    assert (strict.tau, strict.threshold, strict.comparator) == (2.0, 1.0, ">=")


def test_what_a_node_says_in_part_comes_before_the_reading() -> None:
    graph = chain((1,), (1,), n=lif(metadata=annotation({"reset": "soft", "dt": 5e-5})))
    node = import_nir(graph, READINGS["spikingjelly"]).nodes["n"]
    assert isinstance(node, g.Neuron)
    assert node.firing is not None
    assert (node.firing.reset, node.firing.comparator) == ("subtract", ">=")
    assert node.membrane.keep.item() == pytest.approx(0.75)


def test_a_node_that_says_what_nobody_knows_is_refused() -> None:
    for changes in ({"reset": "wrap"}, {"comparator": "<"}, {"dt": -1}, {"dt": "soon"}):
        with pytest.raises(UnsupportedNode, match="'n'"):
            import_nir(chain((1,), (1,), n=lif(metadata=said(**changes))), READINGS["norse"])


def one(node: Any, x: list[float], name: str, **options: Any) -> list[float]:
    return list(ran(chain((1,), (1,), n=node), np.array(x).reshape(-1, 1, 1), name, **options)["n"][:, 0, 0])


def test_sinabs_fires_several_times_a_step_and_forgets_what_is_far_below() -> None:
    node = fire(r=np.ones(1))
    assert one(node, [3.5, 0.5, 0.0], "sinabs") == [3, 1, 0]
    assert one(node, [-5.0, 1.5, 0.5], "sinabs") == [0, 0, 1], "v is kept above -1"
    assert one(node, [3.0], "sinabs", comparator=">") == [2]


def test_exponential_leaks_and_input_that_leaks_with_them() -> None:
    node = nir.LI(np.array([4.0]), np.ones(1), np.zeros(1))
    keep = math.exp(-1 / 4)
    assert one(node, [1.0, 0.0], "sinabs") == pytest.approx([1, keep])
    assert one(node, [1.0, 0.0], "rockpool", dt=1.0) == pytest.approx([keep, keep**2])
    assert one(node, [1.0, 0.0], "nengo", dt=1.0) == pytest.approx([1 - keep, (1 - keep) * keep])


def test_rockpool_s_current_leaks_in_the_step_that_it_comes() -> None:
    node = nir.CubaLI(np.array([2e-3]), np.array([4e-3]), np.array([7.0]), np.zeros(1))
    a, b = math.exp(-1 / 4), math.exp(-1 / 2)
    assert one(node, [1.0, 0.0], "rockpool") == pytest.approx([b, a * b + b * b])


def test_norse_starts_at_rest_and_lets_the_current_of_a_cubalif_leak_there_too() -> None:
    node = nir.CubaLI(np.array([2e-4]), np.array([4e-4]), np.ones(1), np.array([0.5]))
    i = 0.5 + 0.5 * (0.5 - 0.5 + 1.0)
    assert one(node, [1.0], "norse") == pytest.approx([0.5 + 0.25 * (0.5 - 0.5 + i)])
    assert one(node, [1.0], "nir") == pytest.approx([0.25 * (0.5 + 0.5)])


def test_what_a_reading_passes_over_is_in_the_log() -> None:
    graph = chain((1,), (1,), n=lif(r=np.array([3.0]), v_reset=np.array([-1.0])))
    texts = [change.text for change in import_nir(graph, READINGS["norse"]).log]
    assert any(
        text.startswith("where the file does not say it, read as norse: euler steps of 0.0001 s") for text in texts
    )
    assert any("r = 3 is not read" in text for text in texts)
    assert any("v_reset = -1 is not read" in text for text in texts)


@pytest.mark.parametrize("decay", ["euler", "exponential"])
def test_a_time_constant_below_the_timestep_is_an_error_with_the_nearest_that_goes(decay: str) -> None:
    graph = chain((2,), (2,), n=lif((2,), tau=np.array([2e-4, 5e-5])))
    with pytest.raises(InputError, match=r"'n': tau = 5e-05 s is shorter than a timestep, dt = 0\.0001 s") as error:
        import_nir(graph, reading("nir", decay=decay))
    assert "nearest that a step can follow is 0.0001 s" in error.value.hint
    assert import_nir(graph, reading("nir", decay=decay, dt=5e-5)).nodes["n"]
    with pytest.raises(InputError, match=r"'n': tau_syn = 0\.0002 s is shorter"):
        import_nir(chain((1,), (1,), n=cuba()), reading("nir", decay=decay, dt=3e-4))


def test_unknown_names_and_values_are_refused() -> None:
    with pytest.raises(InputError, match="unknown reading 'brian'"):
        reading("brian")
    for field in choices():
        with pytest.raises(InputError, match="'maybe' is unknown"):
            reading("norse", **{field: "maybe"})
    for dt in (0.0, -1e-4, math.nan, math.inf):
        with pytest.raises(InputError, match="no timestep"):
            reading("norse", dt=dt)


def test_one_warning_names_the_first_node_the_choices_and_the_difference() -> None:
    graph = chain((1,), (1,), b=lif(tau=np.array([1e-3])), a=fire())
    text = open_question(graph, READINGS["nir"])
    assert text.startswith("node 'b': the file does not say the dt, comparator and reset of this LIF")
    for wanted in ("0.1 at 0.0001 s", "1 at 0.001 s", "v - 1 (sinabs", "at v = 1 exactly", "assumed >"):
        assert wanted in text
    assert "1e-4 s 1 x (spikingjelly)" in open_question(chain((1,), (1,), a=fire()), READINGS["nir"])


@pytest.mark.parametrize(("name", "field"), [("snntorch", "reset"), ("spikingjelly", "reset"), ("norse", "")])
def test_a_framework_s_name_leaves_open_what_it_exports_alike(name: str, field: str) -> None:
    graph = chain((1,), (1,), n=lif())
    text = open_question(graph, reading(name), named=True)
    assert text.startswith(f"node 'n': {name} exports all alike, so the file does not say the reset") == bool(field)
    assert bool(text) == bool(field)
    assert open_question(graph, reading(name, reset="zero"), named=True) == ""


def test_a_file_that_says_all_asks_nothing() -> None:
    assert open_question(chain((1,), (1,), n=lif(metadata=said())), READINGS["nir"]) == ""
    assert "reset" not in open_question(chain((1,), (1,), n=nir.I(np.ones(1))), READINGS["nir"])


def test_a_cycle_asks_what_crosses_it_first() -> None:
    ends = {"input": nir.Input(np.array([1])), "output": nir.Output(np.array([1]))}
    nodes = {**ends, "n": lif(metadata=said()), "w": nir.Affine(np.ones((1, 1)), np.ones(1))}
    graph = wired(nodes, [("input", "n"), ("n", "w"), ("w", "n"), ("n", "output")])
    assert "'n': lies on a cycle" in open_question(graph, READINGS["nir"])
    with pytest.raises(UnsupportedNode, match=r"'n' lies on a cycle without a delay \('n' → 'w'\)"):
        import_nir(graph, READINGS["sinabs"])


def test_a_reading_is_its_own_json() -> None:
    for meaning in READINGS.values():
        assert Reading(**meaning.as_dict()) == meaning
