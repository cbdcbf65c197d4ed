"""`pumice sweep` on this machine: what it writes, what it keeps when it is stopped, and every bad input in one line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from pngs import size_of
from sweeps import COMMAND, FEW, MODEL, grid, results, settings, swept

from pumice.compiler.artifact import read_artifact
from pumice.errors import BackendUnavailable
from pumice.hwsim.energy import profile_names
from pumice.runtime.cli import main
from pumice.runtime.sweep import table as tables
from pumice.runtime.sweep.plan import make_plan
from pumice.runtime.sweep.store import Store

pytest.importorskip("torch")
parquet = pytest.importorskip("pyarrow.parquet")

SWEEP = ("sweep", "--backend", "reference", MODEL, "-o", "s.parquet", *FEW, "--workers", "1", "--mapping", "sequential")


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows() -> list[dict[str, object]]:
    """The table without what depends on where points ran."""
    found = parquet.read_table("s.parquet").to_pylist()
    return [{name: value for name, value in row.items() if not name.startswith("run_")} for row in found]


def times() -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in Path("s.points").iterdir()}


def test_a_sweep_writes_a_table_fronts_and_a_picture(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("grid.toml").write_text(
        'retention = [1, [0.75, 0.5]]\nchip = ["loihi2", "loihi1"]\nmapping = ["sequential"]\n'
    )
    words = ["-o", "s.parquet", "--grid", "grid.toml", *FEW, "--agreement", "2", "--workers", "1"]
    assert main(["sweep", MODEL, *words, "--picture", "s.png", "--json", "s.json"]) == 0
    found = rows()
    assert [(row["index"], row["retention"], row["chip"]) for row in found] == [
        *((0, [1.0], "loihi2"), (1, [1.0], "loihi1"), (2, [0.75, 0.5], "loihi2"), (3, [0.75, 0.5], "loihi1"))
    ]
    assert list(parquet.read_schema("s.parquet").names) == list(tables.columns())
    for row in found:
        assert (row["accuracy_calibration"], row["version"]) == (None, settings().version)
        if row["chip"] == "loihi1":  # graded spikes, of which it has none
            assert "graded spike of" in str(row["error"])
            assert row["error_kind"] == "refused"
            assert row["cores"] is row["front_cores"] is None
        else:
            assert row["error"] is None
            assert 0 <= row["accuracy_validation"] <= 1  # type: ignore[operator]
            assert row["samples"] == 4
            assert row["accuracy_test"] is row["samples_test"] is None
            assert row["spike_agreement"] > 0.9  # type: ignore[operator]
            assert row["latency_us_horowitz45"] is row["front_latency_us_horowitz45"] is None  # has no times
    assert found[2]["synops_events"] < found[0]["synops_events"]  # type: ignore[operator]
    facts = json.loads(Path("s.json").read_text())
    for objective in ("cores", *(f"energy_nj_{name}" for name in profile_names())):
        assert sorted(facts["fronts"][objective]) == [row["index"] for row in found if row[f"front_{objective}"]]
        assert facts["fronts"][objective]
    assert size_of(Path("s.png").read_bytes()) == (1500, 600)
    assert "2 points cannot be compiled or run" in capsys.readouterr().out


def test_a_point_is_what_the_other_commands_make_of_it(workdir: Path) -> None:
    """Export, compile and run, one after the other, give the same accuracy, energy and cores."""
    from pumice.models.training.digits import load_digits

    assert main(["sweep", MODEL, "-o", "s.parquet", *FEW, "--retention", "0.5", "--bits", "6", "--workers", "1"]) == 0
    digits = load_digits()
    np.save("cal.npy", digits.calibration.images.numpy()[:4])
    Path("d").mkdir()
    np.savez("d/a.npz", inputs=digits.validation.images.numpy()[:4], labels=digits.validation.labels.numpy()[:4])
    assert main(["export", MODEL, "--retention", "0.5,0.5", "-o", "n.nir"]) == 0
    assert main(["compile", "n.nir", "--calibration", "cal.npy", "--weight-bits", "6", "-o", "n.pumice", "-q"]) == 0
    assert main(["run", "n.pumice", "--data", "d", "--output", "y.npz", "--json", "y.json"]) == 0
    facts, (row,) = json.loads(Path("y.json").read_text()), rows()
    assert row["accuracy_validation"] == facts["accuracy"]
    assert {name: row[f"energy_nj_{name}"] for name in profile_names()} == facts["energy_nj"]
    assert row["spikes"] == facts["spikes"]
    assert row["cores"] == len(read_artifact(Path("n.pumice")).mapping.cores)


@pytest.mark.slow
def test_test_accuracy_is_that_of_the_data_set(workdir: Path) -> None:
    words = [word for word in FEW if word != "--no-test"]
    assert main(["sweep", MODEL, "-o", "s.parquet", *words, "--workers", "1"]) == 0
    from pumice.models.training.digits import load_digits

    digits = load_digits()
    np.save("cal.npy", digits.calibration.images.numpy()[:4])
    assert main(["export", MODEL, "-o", "n.nir"]) == 0
    assert main(["compile", "n.nir", "--calibration", "cal.npy", "-o", "n.pumice", "-q"]) == 0
    assert main(["run", "n.pumice", "--data", "digits", "--output", "y.npz", "--json", "y.json"]) == 0
    (row,) = rows()
    assert row["samples_test"] == 360
    assert row["accuracy_test"] == json.loads(Path("y.json").read_text())["accuracy"]


def started(*words: str) -> subprocess.Popen[str]:
    """The command as a process, once a point of it is stored."""
    process = subprocess.Popen([*COMMAND, *SWEEP, *words], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not list(Path().glob("s.points/0*.json")) and process.poll() is None:
        time.sleep(0.02)
    return process


def test_ctrl_c_keeps_finished_points_and_resume_computes_the_rest(workdir: Path) -> None:
    process = started("--bits", "8,6,4")
    process.send_signal(signal.SIGINT)
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    kept = times()
    points = len(kept) - 1
    assert error.splitlines() == [f"{points}/3 points are kept; --resume computes the rest", "error: interrupted"]
    assert 1 <= points < 3
    assert [row["index"] for row in rows()] == list(range(points))
    assert main([*SWEEP, "--bits", "8,6,4"]) == 2  # without --resume nothing is lost
    assert times() == kept
    assert main([*SWEEP, "--bits", "8,6,4", "--resume"]) == 0
    assert {name: time_ for name, time_ in times().items() if name in kept} == kept
    again = swept(make_plan(grid(bits="8,6,4", mapping="sequential"), settings(), 100, 30), workdir / "again")
    assert results(Store(Path("s.points"), {}).read()) == results(again)
    assert [row["index"] for row in rows()] == [0, 1, 2]


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs /proc")
def test_a_killed_command_leaves_its_points_and_no_process(workdir: Path) -> None:
    process = started("--bits", "8,6,4")
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and any(alive(int(child)) for child in children):
        time.sleep(0.05)
    assert children
    assert not any(alive(int(child)) for child in children)
    assert len(Store(Path("s.points"), {}).read()) >= 1


def alive(process: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except OSError:
        return False


def test_a_damaged_result_is_named_and_nothing_else_is_lost(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*SWEEP, "--bits", "8,6"]) == 0
    before, table = rows(), Path("s.parquet").read_bytes()
    path = Path("s.points/000001.json")
    whole = path.read_text()
    for damaged in (
        whole[:-40],
        whole.replace('"cores": 2', '"cores": 1'),
        "",
        whole.replace('"index": 1', '"index": 0'),
    ):
        assert damaged != whole
        path.write_text(damaged)
        capsys.readouterr()
        assert main([*SWEEP, "--bits", "8,6", "--resume"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {path}: not a whole result")
        assert "delete this file, and --resume computes its point again" in line
        assert Path("s.parquet").read_bytes() == table
    kept = Path("s.points/000000.json").stat().st_mtime_ns
    path.unlink()
    assert main([*SWEEP, "--bits", "8,6", "--resume"]) == 0
    assert rows() == before
    assert Path("s.points/000000.json").stat().st_mtime_ns == kept


def test_resume_refuses_another_sweep(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_plan(grid(bits="8", mapping="sequential"), settings(), 100, 30)
    older = dict(one.header) | {"version": "0.0.9"}
    for header, words, message in (
        (one.header, ["--bits", "6"], "grid_bits was [8], is [6]"),
        (one.header, ["--samples", "3"], "samples was 4, is 3"),
        (older, [], f'version was "0.0.9", is "{settings().version}"'),
        (dict(one.header) | {"model_hash": "0"}, [], 'model_hash was "0", is '),
    ):
        Store(Path("s.points"), header).make()
        assert main([*SWEEP, *words, "--resume"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"s.points: holds another sweep: {message}" in line
        Path("s.points/sweep.json").unlink()
    assert main([*SWEEP, "--resume"]) == 2
    assert "s.points: no sweep to resume" in capsys.readouterr().err


BAD: list[tuple[list[str], str]] = [
    (["--bits", "9"], "weight bits 9/8"),
    (["--bits", "x"], "--bits 'x' is not a number"),
    (["--bits", "8,8"], "bits: 8 stands twice"),
    (["--density", "0"], "share 0.0 is not in (0, 1]"),
    (["--retention", "1.5"], "share 1.5 is not in (0, 1]"),
    (["--retention", "0.5/0.5/0.5"], "--retention 0.5/0.5/0.5: 3 ratios, the model has 2 blocks"),
    (["--retention", "0.5/0.75"], "0.75"),
    (["--chip", "loihi9"], "unknown chip 'loihi9'"),
    (["--mapping", "best"], "mapping: unknown 'best'"),
    (["--masks", "some"], "masks: unknown 'some'"),
    (["--split", "test"], "test images are for reporting only"),
    (["--samples", "0"], "--samples 0"),
    (["--time-limit", "0"], "--time-limit 0"),
    (["--workers", "0"], "--workers 0"),
    (["--criterion", "best"], "best"),
    (["--backend", "gpu"], "unknown backend 'gpu'"),
    (["--profile", "none"], "unknown energy profile 'none'"),
    (["--grid", "g.toml"], "g.toml: no such file"),
    (["--grid", "g.toml", "--bits", "8"], "--grid g.toml with --bits"),
    (["-o", "s.csv"], "s.csv: the output must end in .parquet"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words) for words, _ in BAD])
def test_bad_values_are_one_line_before_anything_runs(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    assert main(["sweep", MODEL, "-o", "s.parquet", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not os.listdir()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("bits = 8", "not a list of values for each axis"),
        ("bit = [8]", "unknown axis 'bit'"),
        ("bits = [true]", "bits True is not a int"),
        ("bits = [", "neither TOML nor JSON"),
        ('density = ["1"]', "density '1' is not a float"),
    ],
)
def test_a_bad_grid_file_is_one_line(
    workdir: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    Path("g.toml").write_text(text)
    assert main(["sweep", MODEL, "-o", "s.parquet", "--grid", "g.toml"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: g.toml: ")
    assert message in line


def test_without_pyarrow_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(BackendUnavailable, match="pyarrow") as caught:
        tables.check_parquet()
    assert "pumice[sweep]" in caught.value.hint
