"""`pumice convert`: files that the other commands read again; everything wrong is one line, and leaves old files alone."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from convert_networks import mixed, pooled, tied
from netx_runs import DOCUMENT

from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.exporting.netx import netx_bytes, netx_file
from pumice.runtime.cli import main
from pumice.runtime.reference import Reference


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with three programs in it, and the process in it."""
    monkeypatch.chdir(tmp_path)
    for name, net in {"tied": tied(), "mixed": mixed(0), "pooled": pooled()}.items():
        write_artifact(net.program, Path(f"{name}.pumice"))
        np.save(f"{name}.npy", net.samples)
    return tmp_path


def convert(*words: str) -> int:
    return main(["convert", *words])


def test_a_nir_file_runs_in_float_without_a_reading(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("tied.pumice", "--to", "nir", "-o", "a.nir") == 0
    text = capsys.readouterr().out
    assert "every layer fires in float as on the chip" in text
    assert "a.nir: " in text
    assert "spikes, 0 and 1" in text
    assert main(["run", "a.nir", "--backend", "float", "--input", "tied.npy", "--output", "y.npz", "--record"]) == 0
    assert capsys.readouterr().err == ""
    wanted = Reference(counts=False).run(read_artifact(Path("tied.pumice")), np.load("tied.npy"), record=True).spikes
    with np.load("y.npz") as found:
        assert np.array_equal(found["output"], np.moveaxis(wanted["m"][..., 0], 0, 1))


def test_layers_that_float_may_miss_are_told(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("pooled.pumice", "--to", "nir", "-o", "a.nir") == 0
    assert "m: float may differ from the chip: a decay of 1365/4096 is no power of two" in capsys.readouterr().out


def test_a_netx_file_says_how_to_run_it(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("tied.pumice", "--to", "netx", "-o", "a.net") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "reset_interval=9, reset_offset=1); output 2 steps late" in text
    assert "n: v >= threshold as v > threshold - 1" in text
    with h5py.File("a.net") as file:
        assert list(file["layer"]) == ["0", "1", "2"]
        assert (file.attrs["timesteps"], file.attrs["input_scale"], file.attrs["input_message_bits"]) == (9, 1.0, 0)


def test_rounded_biases_come_with_their_program(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert convert("mixed.pumice", "--to", "netx", "-o", "a.net", "--round-biases", "whole.pumice") == 0
    assert "n0: biases rounded to whole currents, by up to 0." in capsys.readouterr().out
    assert convert("whole.pumice", "--to", "netx", "-o", "b.net") == 0
    assert Path("a.net").read_bytes() == Path("b.net").read_bytes()
    assert main(["run", "whole.pumice", "--input", "mixed.npy", "--output", "y.npz"]) == 0


def test_the_document_s_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(DOCUMENT.parents[1] / "tests")
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    first, *lines = (shlex.split(line[2:]) for line in block.splitlines())
    subprocess.run([sys.executable, *first[1:]], check=True, timeout=60)
    assert len(lines) == 4
    for words in lines:
        assert main(words[1:]) == 0, words
    before, after = (read_artifact(Path(f"{name}.pumice")) for name in ("net", "rounded"))
    x = np.load("x.npy")
    with np.load("y.npz") as found:
        wanted = Reference(counts=False).run(before, x, record=True).spikes
        same = [found[name] == layer.swapaxes(0, 1).reshape(found[name].shape) for name, layer in wanted.items()]
    assert np.concatenate([layer.ravel() for layer in same]).mean() > 0.999
    assert netx_bytes(netx_file(after)) == Path("net.net").read_bytes()


WRONG = [
    (("mixed.pumice", "--to", "netx", "-o", "old.net"), "error: node 'n0' (IntLif 'n0'): bias "),
    (("mixed.pumice", "--to", "onnx", "-o", "old.net"), "error: --to onnx: no such format"),
    (("mixed.pumice", "--to", "netx", "-o", "old.nir"), "error: old.nir: the output must end in .net"),
    (("mixed.pumice", "--to", "nir", "-o", "no/a.nir"), "error: no/a.nir: the folder no does not exist"),
    (("none.pumice", "--to", "nir", "-o", "old.nir"), "error: none.pumice: no such file"),
    (("tied.pumice", "--to", "netx", "-o", "old.net", "--dt", "1e-3"), "error: --dt goes with --to nir"),
    (("tied.pumice", "--to", "nir", "-o", "old.nir", "--dt", "0"), "error: dt 0.0 is no timestep"),
    (("tied.pumice", "--to", "nir", "-o", "old.nir", "--round-biases", "r.pumice"), "error: --round-biases goes with"),
    (
        ("mixed.pumice", "--to", "netx", "-o", "old.net", "--round-biases", "mixed.pumice"),
        "error: mixed.pumice: is the program itself",
    ),
]


@pytest.mark.parametrize(("words", "complaint"), WRONG)
def test_what_is_wrong_is_one_line_and_old_files_stay(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    for name in ("old.net", "old.nir"):
        Path(name).write_bytes(b"before")
    before = sorted(workdir.iterdir())
    assert convert(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(complaint)
    assert captured.err.count("\n") == 1
    assert sorted(workdir.iterdir()) == before
    assert {Path(name).read_bytes() for name in ("old.net", "old.nir")} == {b"before"}
