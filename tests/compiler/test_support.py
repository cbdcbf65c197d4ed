"""What is said of a network before anything runs is what the compiler does with it."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, seed, settings
from hypothesis import strategies as st
from networks import TinySpikformer, tiny_spikformer
from random_graphs import RandomGraph, random_graphs
from small_graphs import chain, cuba, fire, lif, wired

from pumice.compiler import int_nodes as i
from pumice.compiler.importing.readings import reading
from pumice.compiler.importing.support import Support, support
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import PumiceError, VerifyError
from pumice.hwsim.spec import load_chip

CHIPS = {name: load_chip(name) for name in ("loihi1", "loihi2")}
# What depends on the calibration data.
NUMBERS = ("no weight scale fits", "its constants do not fit", "threshold does not fit", "worst-case accumulator")
KINDS = {
    "LIF neurons": lambda n: isinstance(n, i.IntLif),
    "programmable neurons": lambda n: isinstance(n, i.Programmable) and n.params.most > 0,
    "neurons that send their membrane": lambda n: isinstance(n, i.Programmable) and n.params.most == 0,
    "synapses": lambda n: isinstance(n, i.Synapse | i.Membrane),
    "delayed axons": lambda n: isinstance(n, i.Past | i.Feedback),
}


def outcome(case: RandomGraph, chip: str) -> Program | PumiceError:
    try:
        return compile_nir(case.graph, case.samples(4, 8, 1), CHIPS[chip], CompileOptions(reading=case.reading))
    except PumiceError as error:
        return error


def of_numbers(error: PumiceError) -> bool:
    return any(text in str(error) for text in NUMBERS)


@seed(12)
@settings(max_examples=120, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(random_graphs(), st.sampled_from(["loihi1", "loihi2", "loihi2"]))
def test_what_is_called_supported_compiles_and_the_rest_is_refused(case: RandomGraph, chip: str) -> None:
    """But for numbers that do not fit, which depend on the calibration data: the report says that it cannot know of these."""
    found, made = support(case.graph, case.reading, CHIPS[chip]), outcome(case, chip)
    refused = {name for name, node in found.nodes.items() if not node.supported}
    event(f"{chip}: {'refused' if isinstance(made, PumiceError) else 'compiled'}")
    if found.problem:  # a window larger than its map: it cannot even be read
        assert isinstance(made, PumiceError)
        return
    assert bool(refused) == bool(found.refused), "every refusal of such a graph names a node, which is told so"
    if isinstance(made, PumiceError) and of_numbers(made):
        return
    assert bool(found.refused) == isinstance(made, PumiceError), (found.refused, made)
    if isinstance(made, Program):
        check_kinds(found, made)
    elif not isinstance(made, VerifyError):
        assert {name for name in found.nodes if f"node {name!r}" in str(made)} <= refused


def check_kinds(found: Support, program: Program) -> None:
    """What a node is said to become is in the program."""
    for name, node in found.nodes.items():
        made = [n for n in program.graph.nodes.values() if n.source == name]
        for what in node.lowered:
            if what in KINDS and (made or what not in ("synapses", "delayed axons")):  # factors may be merged
                assert any(KINDS[what](n) for n in made), (name, what)


def told(node: Any, chip: str = "loihi2", **options: Any) -> tuple[tuple[str, ...], str]:
    meaning = reading("nir", **({"dt": 1e-4, "comparator": ">"} | options))
    found = support(chain((3,), (3,), n=node), meaning, CHIPS[chip])
    return found.nodes["n"].lowered, found.refused


@pytest.mark.parametrize(
    ("node", "options", "what", "fixed"),
    [
        (lif((3,)), {}, "LIF neurons", True),
        (fire((3,)), {}, "LIF neurons", True),
        (fire((3,)), {"reset": "subtract"}, "LIF neurons", False),
        (lif((3,), tau=np.full(3, 0.1)), {"comparator": ">="}, "LIF neurons", False),
        (cuba((3,)), {}, "programmable neurons", False),
        (nir.Threshold(np.ones(3)), {}, "programmable neurons", False),
        (fire((3,), v_threshold=[1.0, 2.0, 3.0]), {}, "programmable neurons", False),
        (nir.LI(np.full(3, 2e-4), np.ones(3), np.zeros(3)), {}, "neurons that send their membrane", False),
        (nir.I(np.full(3, 1e4)), {}, "neurons that send their membrane", False),
    ],
)
def test_a_chip_with_fixed_neurons_is_said_to_have_no_others(node: Any, options: Any, what: str, fixed: bool) -> None:
    assert told(node, **options) == ((what,), "")
    said, refused = told(node, "loihi1", **options)
    assert bool(refused) != fixed
    assert said == (what if fixed else "unsupported: needs programmable neurons, which loihi1 does not have",)


def test_delays_and_cycles_are_told_of() -> None:
    """A delay behind five layers may be as much longer than the chip's: the way to it takes that time anyway."""
    fires = {f"n{k}": fire((3,)) for k in range(5)}
    most = CHIPS["loihi2"].max_delay
    for steps, fits in ((most, True), (most + 5, True), (most + 6, False)):
        graph = chain((3,), (3,), **fires, d=nir.Delay(np.full(3, steps * 1e-4)), last=fire((3,)))
        found = support(graph, reading("nir", dt=1e-4, comparator=">"), CHIPS["loihi2"])
        assert (found.nodes["d"].lowered == ("delayed axons",)) == (found.refused == "") == fits
    nodes = {"input": nir.Input(np.array([3])), "n": fire((3,)), "d": nir.Delay(np.full(3, 3e-4))}
    nodes["output"] = nir.Output(np.array([3]))
    edges = [("input", "n"), ("n", "d"), ("d", "n"), ("n", "output")]
    found = support(wired(nodes, edges), reading("nir", dt=1e-4, comparator=">"), CHIPS["loihi2"])
    assert found.nodes["d"].lowered == ("3 steps around a cycle",)
    assert found.refused == ""


@pytest.mark.parametrize("chip", CHIPS)
def test_the_zoo_s_own_files_need_no_reading(chip: str) -> None:
    """Its real samples are what loihi1 cannot take, and only the samples show that."""
    found = support(tiny_spikformer(TinySpikformer()), None, CHIPS[chip])
    assert found.problem == ""
    assert bool(found.refused) == (chip == "loihi1")


def test_two_inputs_are_no_node_s_fault() -> None:
    nodes = {
        "a": nir.Input(np.array([3])),
        "b": nir.Input(np.array([3])),
        "n": fire((3,)),
        "o": nir.Output(np.array([3])),
    }
    graph = wired(nodes, [("a", "n"), ("b", "n"), ("n", "o")])
    found = support(graph, reading("nir", dt=1e-4), CHIPS["loihi2"])
    assert "2 inputs" in found.refused
    assert all(node.supported for node in found.nodes.values())
