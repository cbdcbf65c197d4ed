"""What the importer mends and says, and what it refuses: one line that names the node."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_graphs import chain, cuba, fire, lif, ran, random_input, wired

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nir_file import read_nir_file
from pumice.compiler.importing.readings import READINGS, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.errors import InputError, PumiceError, UnsupportedNode
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import run_graph

NIR = READINGS["nir"]


def repaired(graph: nir.NIRGraph) -> list[str]:
    return [change.text for change in import_nir(graph, NIR).log if change.data.get("repaired")]


@pytest.mark.parametrize(
    ("threshold", "said"),
    [
        (0.25, "repaired: one value taken for all of (2, 3, 3)"),
        (np.array([0.25]), "repaired: one value taken for all of (2, 3, 3)"),
        (np.array([0.1, 0.4]), "repaired: tau of (2,) taken for all of (2, 3, 3)"),
        (np.array([0.1, 0.4]).reshape(2, 1, 1), "repaired: tau of (2, 1, 1) taken for all of (2, 3, 3)"),
        (np.array([0.1, 0.4]).reshape(1, 2, 1, 1), "repaired: tau of (1, 2, 1, 1) taken for all of (2, 3, 3)"),
        (np.full((2, 3, 3), 0.25), ""),
    ],
)
def test_parameters_fit_their_layer_and_it_says_so(threshold: Any, said: str) -> None:
    shape = np.shape(threshold)
    graph = chain((2, 3, 3), (2, 3, 3), n=lif(shape, v_threshold=threshold))
    full = np.broadcast_to(np.reshape(threshold, (-1, 1, 1) if np.size(threshold) == 2 else shape[-3:]), (2, 3, 3))
    whole = chain((2, 3, 3), (2, 3, 3), n=lif((2, 3, 3), v_threshold=full))
    x = random_input(6, 2, 2, 3, 3)
    assert np.array_equal(ran(graph, x)["n"], ran(whole, x)["n"])
    assert repaired(graph) == ([f"n: {said}"] if said else [])


def test_parameters_that_fit_nothing_are_refused() -> None:
    with pytest.raises(InputError, match=r"'n': tau has shape \(5,\), its input \(2, 3, 3\)"):
        import_nir(chain((2, 3, 3), (2, 3, 3), n=lif((5,))), NIR)


def test_what_nir_s_own_check_refuses_is_read_from_a_file_all_the_same(tmp_path: Path) -> None:
    """Grouped and oblong convolutions, a scalar beside arrays, tokens through a Linear, all of it inside a nested graph."""
    rng = np.random.default_rng(0)
    neuron = lif((), v_threshold=np.array(0.3))
    inner = chain(
        (4, 6, 5), (8, 6, 4),
        conv=nir.Conv2d((6, 5), rng.normal(size=(8, 2, 3, 4)), 1, (1, 1), 1, 2, np.zeros(8)),
        n=neuron,
    )  # fmt: skip
    graph = chain((4, 6, 5), (8, 6, 3), part=inner, fc=nir.Linear(rng.normal(size=(3, 4))))
    nir.write(tmp_path / "net.nir", graph, compression=None)
    with pytest.raises(ValueError, match=r"type mismatch|no input type|no output type|inference"):
        nir.read(tmp_path / "net.nir")
    file = read_nir_file(tmp_path / "net.nir")
    x = random_input(5, 2, 4, 6, 5)
    run = run_graph(import_nir(file.graph, NIR, file.repairs), {"input": x})
    assert np.array_equal(run.outputs["output"], ran(graph, x)["output"])
    texts = "\n".join(change.text for change in import_nir(file.graph, NIR, file.repairs).log)
    for wanted in (
        "read without NIR's type check",
        "part.conv: repaired: 2 groups, 4 input channels",
        "part.conv: repaired: output shape of a window (3, 4)",
        "part.n: repaired: one value",
        "fc: repaired: applied along the last axis of (8, 6, 4)",
    ):
        assert wanted in texts


def test_parameters_of_different_shapes_in_one_neuron_are_read_from_a_file(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", chain((3,), (3,), n=lif((3,))))
    import h5py

    with h5py.File(tmp_path / "net.nir", "a") as raw:
        del raw["node/nodes/n/r"]
        raw["node/nodes/n/r"] = np.float32(1.0)
    file = read_nir_file(tmp_path / "net.nir")
    assert "n: repaired: r taken for all of (3,)" in [change.text for change in file.repairs]
    assert isinstance(import_nir(file.graph, NIR, file.repairs).nodes["n"], f.Lif)


def test_a_delay_between_timesteps_is_rounded_and_said() -> None:
    graph = chain((2,), (2,), d=nir.Delay(np.array([1e-4, 2.4e-4])))
    assert repaired(graph) == ["d: repaired: delay rounded to timesteps, by up to 0.4 of one"]
    with pytest.raises(InputError, match=r"'d': a delay of -1"):
        import_nir(chain((1,), (1,), d=nir.Delay(np.array([-1e-4]))), NIR)


def test_plain_nodes_stay_those_that_the_passes_lower() -> None:
    rng = np.random.default_rng(1)
    nodes = {
        "conv": nir.Conv2d((4, 4), rng.normal(size=(4, 2, 3, 3)), 1, "same", 1, 1, np.zeros(4)),
        "n": lif((4, 4, 4)),
        "flat": nir.Flatten({"input": np.array([4, 4, 4])}, 1, 2),
        "tokens": nir.Conv1d(16, rng.normal(size=(3, 4, 1)), 1, 0, 1, 1, np.zeros(3)),
        "m": lif((3, 16)),
    }
    graph = import_nir(chain((2, 4, 4), (3, 16), **nodes), NIR)
    kinds = [type(graph.nodes[name]) for name in nodes]
    assert kinds == [f.Conv, f.Lif, f.Reshape, f.Conv, f.Lif]


def test_without_a_reading_the_compiler_refuses_what_is_left_open_by_name() -> None:
    with pytest.raises(UnsupportedNode, match="'n': IF is not supported"):
        compile_nir(chain((2,), (2,), n=fire((2,))), np.zeros((3, 1, 2)), load_chip("loihi2"), CompileOptions())


ENDS = {"input": nir.Input(np.array([2])), "output": nir.Output(np.array([2]))}
ONES = nir.Scale(np.full(2, 3.0))
STRAIGHT = [("input", "a"), ("a", "output")]
CONV = nir.Conv2d((4, 4), np.ones((2, 2, 3, 3)), 1, 0, 1, 1, np.zeros(2))
POOL = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
NAN = np.array([1.0, np.nan])
BAD: list[tuple[nir.NIRGraph, type[PumiceError], str]] = [
    (wired({**ENDS, "a": ONES, "b": ONES}, STRAIGHT), UnsupportedNode, "'b' has no input"),
    (wired({**ENDS, "a": ONES, "b": ONES}, [*STRAIGHT, ("b", "b")]), UnsupportedNode, "'b' is reached from no input"),
    (wired({**ENDS, "a": ONES, "b": ONES}, [*STRAIGHT, ("a", "b")]), UnsupportedNode, "'b' leads to no output"),
    (wired({**ENDS, "a": ONES}, [*STRAIGHT, ("a", "c")]), InputError, "names 'c', which is not a node"),
    (wired({**ENDS, "a": ONES}, [*STRAIGHT, ("input", "a")]), InputError, r"edge \('input', 'a'\) stands 2 times"),
    (wired({**ENDS, "a": ONES}, [("input", "a")]), UnsupportedNode, "'output' has no input"),
    (wired({**ENDS, "a": ONES}, [*STRAIGHT, ("a", "input")]), UnsupportedNode, "input 'input' is fed by 'a'"),
    (wired({"input": ENDS["input"], "a": ONES}, [("input", "a")]), UnsupportedNode, "0 output nodes"),
    (wired({"output": ENDS["output"], "a": ONES}, [("a", "output")]), UnsupportedNode, "0 input nodes"),
    (chain((2,), (2,), a=nir.Scale(NAN)), InputError, "'a': scale holds NaN"),
    (chain((2,), (2,), a=nir.Delay(NAN)), InputError, "'a': delay holds NaN"),
    (chain((2,), (2,), a=lif((2,), tau=NAN)), InputError, "'a': tau holds NaN"),
    (chain((2,), (2,), a=nir.Scale(np.array(["x", "y"], object))), InputError, "'a': scale holds NaN, infinity or no numbers"),
    (chain((2,), (2,), a=nir.Linear(np.ones((2, 3)))), InputError, r"'a': weight \(2, 3\) does not fit its input \(2,\)"),
    (chain((2,), (2,), a=nir.Affine(np.ones((2, 2)), np.ones((2, 7)))), InputError, "."),
    (chain((2,), (2,), a=CONV), InputError, r"'a': weight \(2, 2, 3, 3\) over \(2,\)"),
    (chain((3, 4, 4), (2, 2, 2), a=CONV), InputError, "in 1 groups, its input has 3 channels"),
    (chain((2, 2, 2), (2, 2, 2), a=CONV), InputError, "the map|a window"),
    (chain((2,), (2,), a=POOL), InputError, r"'a': pools \(2,\)"),
    (chain((2,), (2,), a=nir.Flatten({"input": np.array([2])}, 1, 2)), InputError, "'a': flattens axes 1 to 2"),
    (chain((2,), (2,), a=lif((2,), tau=np.array([1e-4, 1e-6]))), InputError, "'a': tau = 1e-06 s is shorter"),
    (
        chain((2,), (2,), a=wired({**ENDS, "more": nir.Input(np.array([2])), "x": ONES}, [("input", "x"), ("x", "output")])),
        UnsupportedNode,
        "'a' is a graph with 2 inputs",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("graph", "error", "message"), BAD, ids=[f"{n}-{b[2][:30]}" for n, b in enumerate(BAD)])
def test_bad_graphs_are_one_line(graph: nir.NIRGraph, error: type[PumiceError], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        import_nir(graph, NIR)
    assert "\n" not in str(caught.value)


def test_all_nodes_that_cannot_be_read_are_told_of_when_asked() -> None:
    graph = chain((2,), (2,), a=nir.Scale(NAN), b=lif((2,)), c=nir.Delay(NAN), d=nir.Scale(np.ones(2)))
    told: dict[str, str] = {}
    made = import_nir(graph, NIR, failed=lambda name, error: told.update({name: str(error)}))
    assert set(told) == {"a", "c"}
    assert {name for name, node in made.nodes.items() if isinstance(node, g.Unknown)} == {"a", "c"}
    with pytest.raises(PumiceError, match="'a'"):
        run_graph(made, {"input": np.zeros((2, 1, 2))})


KINDS = (lif, fire, cuba)


@st.composite
def graphs(draw: st.DrawFn) -> nir.NIRGraph:
    """Up to 10 nodes over 3 values, wired at random: residual, recurrent, sometimes nonsense."""
    size = draw(st.integers(1, 10))
    nodes: dict[str, Any] = {"input": nir.Input(np.array([3])), "output": nir.Output(np.array([3]))}
    for number in range(size):
        kind = draw(st.integers(0, 6))
        made = KINDS[kind]((3,)) if kind < 3 else (
            nir.Scale(np.full(3, 0.5)),
            nir.Delay(np.full(3, 1e-4 * draw(st.integers(0, 2)))),
            nir.Affine(np.eye(3) * 0.5, np.full(3, 0.2)),
            nir.Threshold(np.zeros(3)),
        )[kind - 3]  # fmt: skip
        nodes[f"n{number}"] = made
    names = [f"n{number}" for number in range(size)]
    edges = {("input", "n0"), (names[-1], "output"), *pairwise(names)}
    edges |= draw(st.sets(st.tuples(st.sampled_from(names), st.sampled_from(names)), max_size=6))
    edges -= draw(st.sets(st.sampled_from(sorted(edges)), max_size=1))
    return wired(nodes, sorted(edges))


@given(graphs(), st.sampled_from(sorted(READINGS)))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_any_graph_runs_to_finite_numbers_or_is_refused_with_a_typed_error(graph: nir.NIRGraph, name: str) -> None:
    try:
        imported = import_nir(graph, reading(name, dt=1e-4))
    except (InputError, UnsupportedNode):
        return
    run = run_graph(imported, {"input": np.ones((4, 2, 3))})
    assert run.outputs["output"].shape == (4, 2, 3)
    assert np.isfinite(run.outputs["output"]).all()
