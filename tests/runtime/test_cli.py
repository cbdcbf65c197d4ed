"""The command line: every bad input is one line that names it, exit code 2, and nothing overwritten."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.artifact import read_artifact
from pumice.runtime.cli import main
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer()


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.nir, cal.npy, x.npy and net.pumice in it, and the process in it."""
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", tiny_spikformer(CONFIG))
    np.save("cal.npy", images(CONFIG, 10))
    np.save("x.npy", images(CONFIG, 3, seed=7))
    assert main(["compile", "net.nir", "-o", "net.pumice", "--calibration", "cal.npy", "-q"]) == 0
    return tmp_path


def test_run_writes_outputs_and_recorded_spikes(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "net.pumice", "--input", "x.npy", "--output", "y.npz", "--record", "--json", "c.json"]) == 0
    expected = Reference().run(read_artifact(Path("net.pumice")), np.load("x.npy"), record=True)
    with np.load("y.npz") as y:
        assert np.array_equal(y["output"], expected.outputs)
        assert all(np.array_equal(y[name], spikes) for name, spikes in expected.spikes.items())
    facts = json.loads(Path("c.json").read_text())
    assert facts["synops"] > 0
    assert (
        set(facts["latency_model"]) == set(facts["energy_nj"]) == {"horowitz45", "loihi1_davies2018", "loihi1_sanafe"}
    )
    assert facts["latency_model"]["loihi1_sanafe"]["us_per_sample"] > 0
    assert "latency model, loihi1_sanafe: " in capsys.readouterr().out


def test_lava_writes_the_same_file_as_reference(workdir: Path) -> None:
    for backend in ("reference", "lava"):
        words = [
            "run",
            "net.pumice",
            "--backend",
            backend,
            "--input",
            "x.npy",
            "--output",
            f"{backend}.npz",
            "--record",
        ]
        assert main(words) == 0
    with np.load("reference.npz") as expected, np.load("lava.npz") as got:
        assert set(expected) == set(got)
        assert all(np.array_equal(expected[name], got[name]) for name in expected)


def test_compile_reports_what_each_pass_did(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(["compile", "net.nir", "-o", "b.pumice", "--calibration", "cal.npy", "--json", "r.json"]) == 0
    printed = capsys.readouterr().out
    assert "folded bn0 into conv0" in printed
    report = json.loads(Path("r.json").read_text())
    assert report["latency_steps"] == 17
    assert "synaptic_words_per_core" in report["unchecked_limits"]
    assert Path("b.pumice").read_bytes() == Path("net.pumice").read_bytes()


BAD: list[tuple[list[str], str]] = [
    (["run", "nowhere.pumice", "--input", "x.npy", "--output", "y.npz"], "nowhere.pumice: no such file"),
    (["run", "net.nir", "--input", "x.npy", "--output", "y.npz"], "net.nir: not a whole .pumice file"),
    (["run", "net.pumice", "--input", "x.npy", "--output", "y.npz", "--backend", "gpu"], "unknown backend 'gpu'"),
    (
        ["run", "net.pumice", "--input", "x.npy", "--output", "y.npz", "--backend", "float"],
        "the float backend runs the model",
    ),
    (["run", "net.pumice", "--input", "nowhere.npy", "--output", "y.npz"], "nowhere.npy: no such file"),
    (["run", "net.pumice", "--input", "net.nir", "--output", "y.npz"], "net.nir: not a whole .npy array"),
    (["run", "net.pumice", "--input", "wrong.npy", "--output", "y.npz"], "input: shape (2, 2)"),
    (["run", "net.pumice", "--input", "pickle.npy", "--output", "y.npz"], "pickle.npy: not a whole .npy array"),
    (["run", "net.pumice", "--input", "x.npy", "--output", "y.txt"], "y.txt: the output must end in .npz"),
    (["run", "net.pumice", "--input", "x.npy", "--output", "no/y.npz"], "the folder no does not exist"),
    (["compile", "nowhere.nir", "-o", "o.pumice", "--calibration", "cal.npy"], "nowhere.nir: no such file"),
    (["compile", "x.npy", "-o", "o.pumice", "--calibration", "cal.npy"], "x.npy: not a readable HDF5 file"),
    (["compile", "net.nir", "-o", "o.pumice", "--calibration", "wrong.npy"], "calibration data: shape (2, 2)"),
    (["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--chip", "loihi9"], "unknown chip 'loihi9'"),
    (
        ["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--chip", "loihi1"],
        "graded spike of 5/0 bits",
    ),
    (
        ["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--masks", "maybe"],
        "unknown mask mode 'maybe'",
    ),
    (["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--weight-bits", "9"], "weight bits 9/8"),
    (
        ["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--signs", "plus"],
        "unknown signs 'plus' — choose one of auto, mixed, split",
    ),
    (
        ["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--synapses", "5"],
        "5/4 synapses for a weight",
    ),
    (
        ["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--synapses", "2", "--weight-bits", "6"],
        "2 synapses for a weight of 6 bits",
    ),
    (["compile", "net.nir", "-o", "o.pumice", "--calibration", "cal.npy", "--bits", "9"], "No such option: --bits"),
    (["compile", "net.nir", "-o", "o.pumice"], "--calibration"),
    (["inspect", "nowhere.nir"], "nowhere.nir: no such file"),
    (["export", "nothing-like-it", "-o", "o.nir"], "nothing-like-it"),
    (["train", "resnet"], "unknown recipe 'resnet'"),
    (["fly"], "No such command 'fly'"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(b[0][:2]) + " " + b[1][:40] for b in BAD])
def test_bad_input_is_one_line_and_exit_code_2(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    np.save("wrong.npy", np.zeros((2, 2)))
    np.save("pickle.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    Path("y.npz").write_bytes(b"precious")
    Path("o.pumice").write_bytes(b"precious")
    capsys.readouterr()
    assert main(words) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("y.npz").read_bytes() == Path("o.pumice").read_bytes() == b"precious"
    assert not [p for p in workdir.iterdir() if p.name.startswith(".")]


READING = "from dt decay gain if-gain comparator reset reset-at v-reset spikes floor start leaky-current recurrence"


@pytest.mark.parametrize("command", ["run", "compile", "inspect", "explain"])
def test_every_command_that_reads_nir_has_the_options_of_a_reading(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--help"]) == 0
    listed = {line.split()[0].rstrip(",") for line in capsys.readouterr().out.splitlines() if line.startswith("  --")}
    listed = {name.split("/")[0].strip() for name in listed}
    assert {f"--{name}" for name in READING.split()} <= listed
    assert "--reading" not in listed


@pytest.mark.parametrize("command", ["run", "compile", "inspect", "explain"])
def test_a_reading_is_refused_where_it_is_wrong_by_every_command(
    workdir: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    more = {"run": ["--input", "x.npy", "--output", "y.npz", "--backend", "float"], "inspect": []}
    calibrated = [*(["-o", "o.pumice"] if command == "compile" else []), "--calibration", "cal.npy"]
    capsys.readouterr()
    assert main([command, "net.nir", "--reset-at", "noon", *more.get(command, calibrated)]) == 2
    assert "reset at 'noon' is unknown" in capsys.readouterr().err


def test_our_own_errors_are_exit_code_1(
    workdir: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(*_: object, **__: object) -> None:
        raise ZeroDivisionError("boom")

    monkeypatch.setattr("pumice.runtime.reference.Reference.run", explode)
    assert main(["run", "net.pumice", "--input", "x.npy", "--output", "y.npz"]) == 1
    assert "internal error: ZeroDivisionError: boom" in capsys.readouterr().err


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pumice ")
