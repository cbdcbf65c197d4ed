"""Real exports of snnTorch, SpikingJelly and Norse: by the reading of their framework, not one spike differs from its own run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from nir_cases import CASES, Case, case_arrays, case_path

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nir_file import read_nir_file
from pumice.compiler.importing.readings import reading
from pumice.runtime.cli import main
from pumice.runtime.float_graph import GraphRun, graph_frames, input_nodes, run_graph


def run_case(case: Case, **options: str) -> GraphRun:
    file = read_nir_file(case_path(case.file))
    graph = import_nir(file.graph, reading(case.reading, **(case.options | options)), file.repairs)
    (entry,) = input_nodes(graph)
    frames, batched = graph_frames(graph, {entry.name: case_arrays(case.file)[case.input]})
    assert not batched
    return run_graph(graph, frames)


def mismatches(case: Case, run: GraphRun) -> dict[str, int]:
    stored = case_arrays(case.file)
    found = {key: run.values[node] if node else next(iter(run.outputs.values())) for key, node in case.wanted.items()}
    return {key: int((values[:, 0] != stored[key]).sum()) for key, values in found.items()}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_every_spike_is_the_framework_s(case: Case) -> None:
    assert mismatches(case, run_case(case)) == dict.fromkeys(case.wanted, 0)
    assert all(case_arrays(case.file)[key].sum() > 0 for key in case.wanted), "no spikes, nothing compared"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("snntorch_conv_shaped_zero", "snntorch_conv_shaped_subtract"),
        ("spikingjelly_conv_hard_nodecay", "spikingjelly_conv_soft"),
    ],
)
def test_two_files_are_one_and_only_the_reset_option_tells_them_apart(first: str, second: str) -> None:
    zero, subtract = (next(case for case in CASES if case.file == name) for name in (first, second))
    left, right = (import_nir(read_nir_file(case_path(n)).graph, reading(zero.reading)) for n in (first, second))
    assert [type(node) for node in left.nodes.values()] == [type(node) for node in right.nodes.values()]
    assert all(mismatches(subtract, run_case(subtract, reset="zero")).values())
    assert all(mismatches(zero, run_case(zero, reset="subtract")).values())


@pytest.mark.parametrize("reset_at", ["spike", "next"])
def test_when_snntorch_subtracts_is_told_apart_by_its_own_trace(reset_at: str) -> None:
    case = next(case for case in CASES if case.file == "snntorch_conv_shaped_subtract")
    assert all(mismatches(case, run_case(case, reset_at=reset_at)).values())


def test_the_command_writes_the_framework_s_spikes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    case = next(case for case in CASES if case.file == "spikingjelly_conv_soft")
    stored = case_arrays(case.file)
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", stored["input"])
    words = ["run", str(case_path(case.file)), "--backend", "float", "--from", "spikingjelly", "--reset", "subtract"]
    assert main([*words, "--input", "x.npy", "--output", "y.npz", "--record", "--json", "y.json"]) == 0
    printed = capsys.readouterr()
    assert "read as spikingjelly" in printed.out
    assert printed.err == ""
    with np.load("y.npz") as y:
        assert np.array_equal(y["output"], stored["output"])
        assert np.array_equal(y["_1"], stored["act_1"])
        assert y["_2"].shape == (12, 6, 6, 6)
    assert '"comparator": ">="' in Path("y.json").read_text()
