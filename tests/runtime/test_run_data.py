"""`pumice run --data`: what comes out is what `--input` gives, however the data set is cut; memory does not grow with it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.artifact import write_artifact
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.hwsim.spec import load_chip
from pumice.progress import Progress
from pumice.runtime import streaming
from pumice.runtime.cli import main
from pumice.runtime.reference import Reference
from pumice.runtime.sample_sources import from_file

CONFIG = TinySpikformer()
X = images(CONFIG, 11, seed=7)
LABELS = np.arange(11) % CONFIG.classes
COUNTED = ("synops", "spikes", "messages", "hops_ew", "energy_nj", "latency_model", "busiest_links")


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.pumice, x.npy, labels.npy and shards/, and the process in it; chunks hold 4 samples."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(streaming, "chunk_size", lambda program: 4)
    program = compile_nir(tiny_spikformer(CONFIG), images(CONFIG, 10), load_chip("loihi2"), CompileOptions())
    write_artifact(program, Path("net.pumice"))
    np.save("x.npy", X)
    np.save("labels.npy", LABELS)
    Path("shards").mkdir()
    np.savez("shards/b.npz", inputs=X[3:8], labels=LABELS[3:8])
    np.savez_compressed("shards/a.npz", inputs=X[:3], labels=LABELS[:3])
    np.savez("shards/c.npz", inputs=X[8:], labels=LABELS[8:])
    return tmp_path


def run(*words: str) -> int:
    return main(["run", "net.pumice", *words, "--output", "y.npz", "--json", "f.json"])


@pytest.mark.parametrize("words", [["--data", "x.npy", "--labels", "labels.npy"], ["--data", "shards"]])
def test_a_streamed_run_is_the_run_of_all_samples_at_once(workdir: Path, words: list[str]) -> None:
    assert main(["run", "net.pumice", "--input", "x.npy", "--output", "whole.npz", "--json", "whole.json"]) == 0
    assert run(*words) == 0
    with np.load("whole.npz") as whole, np.load("y.npz") as y:
        assert all(np.array_equal(whole[name], y[name]) for name in whole)
        assert np.array_equal(y["predictions"], whole["output"].argmax(axis=1))
        assert np.array_equal(y["labels"], LABELS)
        right = float((y["predictions"] == LABELS).mean())
    facts, expected = (json.loads(Path(name).read_text()) for name in ("f.json", "whole.json"))
    assert {name: facts[name] for name in COUNTED} == {name: expected[name] for name in COUNTED}
    assert facts["samples"] == 11
    assert facts["accuracy"] == right


def test_the_same_run_writes_the_same_bytes(workdir: Path) -> None:
    assert run("--data", "x.npy") == 0
    first = Path("y.npz").read_bytes()
    assert run("--data", "x.npy") == 0
    assert Path("y.npz").read_bytes() == first


def test_a_shipped_data_set_comes_with_its_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    config = TinySpikformer(size=8, classes=10)
    program = compile_nir(tiny_spikformer(config), images(config, 4), load_chip("loihi2"), CompileOptions())
    write_artifact(program, Path("net.pumice"))
    assert run("--data", "digits") == 0
    with np.load("y.npz") as y:
        assert y["predictions"].shape == y["labels"].shape == (360,)
        assert json.loads(Path("f.json").read_text())["accuracy"] == (y["predictions"] == y["labels"]).mean()


def bad_shards(what: str) -> None:
    if what == "shape":
        np.savez("shards/d.npz", inputs=X[:2, :, :3], labels=LABELS[:2])
    if what == "unlabelled":
        np.save("shards/d.npy", X[:2])
    if what == "labels":
        np.savez("shards/d.npz", inputs=X[:2], labels=LABELS[:3])
    if what == "names":
        np.savez("shards/d.npz", x=X[:2])
    if what == "archive":
        Path("shards/d.npz").write_bytes(Path("shards/a.npz").read_bytes()[:-30])
    if what == "objects":
        np.save("shards/d.npy", np.array([{}], dtype=object))
    if what == "columns":
        np.save("shards/d.npy", np.asfortranarray(X))


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("shape", r"d.npz: inputs: samples of shape \(1, 3, 4\), those before have \(1, 4, 4\)"),
        ("unlabelled", "d.npy: no labels, unlike the shards before"),
        ("labels", r"d.npz: labels: int64 \(3,\) for 2 samples"),
        ("names", "d.npz: no array 'inputs' in it"),
        ("archive", "d.npz: not a whole .npz archive"),
        ("objects", "d.npy: an array of objects"),
        ("columns", "d.npy: stored column by column"),
    ],
)
def test_a_bad_shard_is_named_before_anything_runs(
    workdir: Path, capsys: pytest.CaptureFixture[str], what: str, message: str
) -> None:
    Path("y.npz").write_bytes(b"good")
    bad_shards(what)
    assert run("--data", "shards") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert re.search(message, line), line
    assert Path("y.npz").read_bytes() == b"good"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "exactly one of the two"),
        (["--data", "x.npy", "--input", "x.npy"], "exactly one of the two"),
        (["--data", "x.npy", "--record"], "--record does not go with --data"),
        (["--data", "x.npy", "--masks", "x.npy"], "--masks does not go with --data"),
        (["--data", "x.npy", "--backend", "float"], "--backend float does not go with --data"),
        (["--input", "x.npy", "--labels", "labels.npy"], "labels go with --data FILE.npy"),
        (["--data", "shards", "--labels", "labels.npy"], "labels go with --data FILE.npy"),
        (["--data", "nowhere.npy"], "nowhere.npy: no such file"),
        (["--data", "x.npy", "--per-core"], "this backend does not count"),
    ],
)
def test_what_does_not_go_together_is_one_line(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert run(*words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_a_damaged_file_leaves_the_old_result_and_nothing_beside_it(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("y.npz").write_bytes(b"good")
    Path("x.npy").write_bytes(Path("x.npy").read_bytes()[:-8])
    before = sorted(os.listdir())
    assert run("--data", "x.npy") == 2
    assert "x.npy: ends before row 11 of 11" in capsys.readouterr().err
    assert Path("y.npz").read_bytes() == b"good"
    assert sorted(os.listdir()) == before


def test_an_interrupted_run_leaves_the_old_result_and_nothing_beside_it(workdir: Path) -> None:
    np.save("many.npy", np.repeat(X, 3000, axis=0))
    Path("y.npz").write_bytes(b"good")
    before = sorted(os.listdir())
    words = [
        "-c",
        "from pumice.runtime.cli import entry; entry()",
        "run",
        "net.pumice",
        "--data",
        "many.npy",
        "--output",
        "y.npz",
    ]
    process = subprocess.Popen([sys.executable, *words], stderr=subprocess.PIPE, text=True)
    while sorted(os.listdir()) == before and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert error == "error: interrupted\n"
    assert Path("y.npz").read_bytes() == b"good"
    assert sorted(os.listdir()) == before


def test_memory_does_not_grow_with_the_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "chunk_size", lambda program: 4)
    wide = TinySpikformer(size=32, timesteps=1, channels=2, heads=1)
    program = compile_nir(tiny_spikformer(wide), images(wide, 2), load_chip("loihi2"), CompileOptions())
    peaks = []

    def make(progress: Progress) -> Reference:
        return Reference(progress=progress)

    for count in (8, 40, 300):  # of 8 KiB each; the first warms up
        np.save(tmp_path / "x.npy", np.resize(images(wide, 40), (count, 1, 32, 32)))
        tracemalloc.start()
        streaming.stream(program, from_file(tmp_path / "x.npy", None), make, tmp_path / "y.npz")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] - peaks[1] < 1 << 19, peaks  # of 2 MiB more on disk
