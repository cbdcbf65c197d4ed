"""`pumice run --backend float` and `pumice inspect` on networks that other frameworks wrote."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer
from nir_cases import case_path
from small_graphs import chain, fire, lif, wired

from pumice.compiler.dialect import annotation
from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import READINGS
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli import main
from pumice.runtime.inspection_nir import inspect_nir

RUN = ["run", "net.nir", "--backend", "float", "--input", "x.npy", "--output", "y.npz"]


@pytest.fixture(autouse=True)
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(graph: nir.NIRGraph, x: np.ndarray | None = None) -> None:
    nir.write("net.nir", graph, compression=None)
    np.save("x.npy", np.zeros((4, 2)) if x is None else x)


def test_a_batch_comes_before_time_and_one_sample_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    x = np.random.default_rng(0).normal(1, 1, (3, 5, 2))
    write(chain((2,), (2,), n=lif((2,))), x)
    assert main([*RUN, "--from", "norse", "--record"]) == 0
    with np.load("y.npz") as y:
        together = {name: y[name] for name in y}
    assert set(together) == {"input", "n", "output"}
    assert np.array_equal(together["input"], x)
    assert "3 samples, 2 layers recorded" in capsys.readouterr().out
    for number in range(3):
        np.save("x.npy", x[number])
        assert main([*RUN, "--from", "norse"]) == 0
        with np.load("y.npz") as y:
            assert np.array_equal(y["output"], together["output"][number])


def test_without_a_reading_there_is_one_warning_and_a_run(capsys: pytest.CaptureFixture[str]) -> None:
    write(chain((2,), (2,), a=fire((2,)), b=lif((2,))))
    assert main(RUN) == 0
    error = capsys.readouterr().err
    assert error.startswith("warning: node 'a': the file does not say")
    assert error.count("\n") == 1
    assert main([*RUN, "--from", "snntorch"]) == 0
    assert "snntorch exports all alike" in capsys.readouterr().err
    assert main([*RUN, "--from", "snntorch", "--reset", "subtract"]) == 0
    assert capsys.readouterr().err == ""


def test_each_answer_of_a_reading_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    write(chain((2,), (2,), n=lif((2,))))
    options = ["--dt", "2e-4", "--decay", "exponential", "--gain", "one", "--if-gain", "one", "--comparator", ">="]
    options += ["--reset", "subtract", "--reset-at", "next", "--no-v-reset", "--spikes", "many", "--floor", "zero"]
    options += ["--start", "v_leak", "--leaky-current", "--recurrence", "bias"]
    assert main([*RUN, *options, "--json", "y.json"]) == 0
    found = json.loads(Path("y.json").read_text())["reading"]
    wanted = {
        "dt": 2e-4,
        "decay": "exponential",
        "gain": "one",
        "if_gain": "one",
        "comparator": ">=",
        "reset": "subtract",
    }
    wanted |= {"reset_at": "next", "v_reset": False, "spikes": "many", "floor": "zero", "start": "v_leak"}
    wanted |= {"leaky_current": True, "recurrence": "bias", "name": "nir"}
    assert {key: found[key] for key in wanted} == wanted


def test_several_inputs_come_in_an_archive_and_several_outputs_leave_by_name() -> None:
    ends = {name: nir.Input(np.array([2])) for name in ("left", "right")}
    ends |= {name: nir.Output(np.array([2])) for name in ("up", "down")}
    edges = [("left", "s"), ("right", "s"), ("s", "up"), ("left", "down")]
    write(wired({**ends, "s": nir.Scale(np.full(2, 3.0))}, edges))
    x = {"left": np.ones((4, 2)), "right": np.full((4, 2), 2.0)}
    np.savez("x.npz", **x)
    assert main([word.replace("x.npy", "x.npz") for word in RUN]) == 0
    with np.load("y.npz") as y:
        assert set(y) == {"up", "down"}
        assert np.array_equal(y["up"], np.full((4, 2), 9.0))
    assert main(RUN) == 2, "one array for two inputs"


def test_a_dialect_file_runs_as_its_graph_when_asked_to() -> None:
    config = TinySpikformer()
    samples = images(config, 2)
    write(tiny_spikformer(config), samples)
    assert main([*RUN, "--from", "sinabs", "--record"]) == 0
    wanted = evaluate(import_nir(tiny_spikformer(config)), samples).values
    with np.load("y.npz") as y:
        assert np.allclose(y["output"], np.moveaxis(wanted["time_mean"], 0, 1))
        assert np.array_equal(y["lif0"], np.moveaxis(wanted["lif0"], 0, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "brian"], "unknown reading 'brian'"),
        (["--reset", "soft"], "reset 'soft' is unknown"),
        (["--from", "sinabs"], "'n': tau = 0.0002 s is shorter than a timestep, dt = 1 s"),
        (["--masks", "x.npy"], "--masks goes with programs"),
        (["--backend", "reference", "--from", "norse"], "reference runs programs"),
    ],
)
def test_bad_options_are_one_line_and_lose_nothing(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write(chain((2,), (2,), n=lif((2,), metadata=annotation({"dt": 1e-4})) if "--masks" in words else lif((2,))))
    Path("y.npz").write_bytes(b"precious")
    assert main([*RUN, *words]) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ")
    assert message in error[-1]
    assert Path("y.npz").read_bytes() == b"precious"


def test_inspect_tells_of_each_node_before_anything_runs(capsys: pytest.CaptureFixture[str]) -> None:
    path = case_path("snntorch_conv_shaped_zero")
    assert main(["inspect", str(path), "--chip", "loihi2", "--from", "snntorch", "--json", "i.json"]) == 0
    text = capsys.readouterr().out
    assert "nothing is known that keeps it from running on loihi2" in text
    assert "read as snntorch" in text
    found = {node["name"]: node for node in json.loads(Path("i.json").read_text())["nodes"]}
    assert (found["0"]["imported"], found["0"]["lowered"]) == (["Conv"], ["synapses"])
    assert (found["2"]["imported"], found["2"]["lowered"]) == (["Pool"], ["synapses, or neurons that count"])
    assert found["1"]["notes"] == ["repaired: r · dt / tau = 1.00000002 taken for 1"]


def test_inspect_tells_of_every_node_that_cannot_be_read() -> None:
    bad = np.array([1.0, np.nan])
    write(chain((2,), (2,), a=nir.Scale(bad), n=lif((2,), tau=np.full(2, 1e-6)), d=nir.Delay(np.full(2, 8e-3))))
    found = inspect_nir(Path("net.nir"), READINGS["nir"], load_chip("loihi1"))
    nodes = {node.name: node for node in found.nodes}
    assert "'a': scale holds NaN" in nodes["a"].problem
    assert "'n': tau = 1e-06 s is shorter than a timestep" in nodes["n"].problem
    assert nodes["d"].lowered == (f"unsupported: delay 80/{load_chip('loihi1').max_delay} steps",)
    assert found.problem == nodes["a"].problem
