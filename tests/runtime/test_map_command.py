"""pumice map: the mapping in figures, every method side by side, and each refusal as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.artifact import read_artifact
from pumice.runtime.cli import main
from pumice.runtime.reference import Reference

METHODS = {"pumice", "sequential", "random", "greedy", "hilbert", "hilbert+force", "mtkahypar"}
CONFIG = TinySpikformer()


@pytest.fixture(scope="module")
def spikformer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what `--compare` says of the zoo's Spikformer."""
    out = tmp_path_factory.mktemp("map")
    words = [
        "--compare",
        "--json",
        str(out / "map.json"),
        "-o",
        str(out / "net.pumice"),
        "--picture",
        str(out / "map.png"),
    ]
    assert main(["map", "--model", "spikformer-digits", *words]) == 0
    return out


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.nir, cal.npy and net.pumice in it, and the process in it."""
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", tiny_spikformer(CONFIG))
    np.save("cal.npy", images(CONFIG, 10))
    assert main(["compile", "net.nir", "-o", "net.pumice", "--calibration", "cal.npy", "-q"]) == 0
    return tmp_path


def mapped(*words: str) -> dict[str, Any]:
    assert main(["map", *words, "--json", "map.json"]) == 0
    found: dict[str, Any] = json.loads(Path("map.json").read_text())
    return found


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["map", *words]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_pumice_s_messages_travel_less_on_no_more_cores(spikformer: Path) -> None:
    placements = json.loads((spikformer / "map.json").read_text())["placements"]
    assert set(placements) == METHODS
    ours = placements.pop("pumice")
    assert ours["spike_hops"] <= 0.65 * placements["sequential"]["spike_hops"]
    assert ours["spike_hops"] <= 0.9 * placements["hilbert+force"]["spike_hops"]
    assert all(ours["cores"] <= other["cores"] for other in placements.values())
    assert all(row["seconds"] > 0 and row["max_link_load"] > 0 for row in (ours, *placements.values()))


def test_cores_are_used_at_least_as_well_as_by_nxtf(spikformer: Path) -> None:
    found = json.loads((spikformer / "map.json").read_text())
    assert found["utilisation"]["binding_mean"] >= 0.8
    assert found["utilisation"]["neurons per core"] <= 1
    assert found["largest_core_memory"]["limit_words"] is None
    assert set(found["ablation"]) == {"sequential", "hilbert", "hilbert+force", "greedy"}
    assert (spikformer / "map.png").read_bytes().startswith(b"\x89PNG")
    assert set(found["seconds"]) == {"network", "quantize", "balance", "rates", "mapping"}


def test_the_program_written_is_the_mapping_shown(spikformer: Path) -> None:
    found, program = json.loads((spikformer / "map.json").read_text()), read_artifact(spikformer / "net.pumice")
    assert len(program.mapping.cores) == found["cores"] == found["placements"]["pumice"]["cores"]
    assert program.mapping.chips == found["chips"]
    largest = found["largest_core_memory"]
    assert largest["words"] == sum(part.words for part in program.mapping.cores[largest["core"]])
    slices = [part for core in program.mapping.cores for part in core]
    assert sum(layer["words"] for layer in found["layers"]) == sum(part.words for part in slices)


def test_a_network_is_mapped_as_compile_maps_it(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = mapped("net.nir", "--calibration", "cal.npy", "-o", "again.pumice")
    assert set(found["placements"]) == {"pumice"}
    assert Path("again.pumice").read_bytes() == Path("net.pumice").read_bytes()
    shown = capsys.readouterr().out
    assert f"{found['cores']} cores on 1 chip(s) of loihi2, by pumice" in shown
    assert "unchecked: the memory of a core of loihi2 is not published" in shown
    assert all(layer["name"] in shown for layer in found["layers"])


def test_an_artifact_is_mapped_again_with_equal_spikes(workdir: Path) -> None:
    before, samples = read_artifact(Path("net.pumice")), images(CONFIG, 3, seed=5)
    chip = workdir / "small.toml"
    chip.write_text(_loihi2().replace("{ value = 8192", "{ value = 100"))
    words = ("--calibration", "cal.npy", "--method", "mtkahypar", "--chip", str(chip), "-o", "again.pumice")
    found, after = mapped("net.pumice", *words), read_artifact(Path("again.pumice"))
    assert found["method"] == after.options.mapping == "mtkahypar"
    assert after.source_hash == before.source_hash
    assert len(after.mapping.cores) > len(before.mapping.cores)
    expected, got = (Reference().run(program, samples, record=True) for program in (before, after))
    assert np.array_equal(expected.outputs, got.outputs)
    assert all(np.array_equal(expected.spikes[name], got.spikes[name]) for name in expected.spikes)


def _loihi2() -> str:
    return (Path(__file__).parents[2] / "hwsim" / "chips" / "loihi2.toml").read_text()


def test_max_chips_is_a_limit_in_both_commands(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (workdir / "tiny.toml").write_text(
        _loihi2().replace("{ value = 8192", "{ value = 100").replace("{ value = 120,", "{ value = 4,")
    )
    words = ["net.nir", "--calibration", "cal.npy", "--chip", "tiny.toml", "-o", "out.pumice"]
    assert mapped(*words)["chips"] > 2
    Path("out.pumice").unlink()
    line = refusal(capsys, *words, "--max-chips", "2")
    assert "the whole network" in line
    assert "/2 — allow" in line
    assert main(["compile", *words, "--max-chips", "2", "-q"]) == 2
    assert capsys.readouterr().err == line
    assert not Path("out.pumice").exists()
    assert "allow 1 or more" in refusal(capsys, *words, "--max-chips", "0")


def test_a_comparison_shows_what_fits_and_still_refuses_what_was_asked_for(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cores = mapped("net.nir", "--calibration", "cal.npy")["cores"]
    (workdir / "one.toml").write_text(_loihi2().replace("{ value = 120,", f"{{ value = {cores},"))
    words = ["net.nir", "--calibration", "cal.npy", "--chip", "one.toml", "--max-chips", "1", "--compare"]
    capsys.readouterr()
    found = mapped(*words)
    assert "\nsequential: the whole network" in capsys.readouterr().out
    assert found["placements"]["pumice"]["cores"] == cores
    assert "chips" in found["placements"]["sequential"]["refused"]
    Path("map.json").unlink()
    assert "the whole network" in refusal(capsys, *words, "--method", "sequential", "--json", "map.json")
    assert not Path("map.json").exists()


def test_compile_maps_by_another_method(workdir: Path) -> None:
    words = ["net.nir", "-o", "field.pumice", "--calibration", "cal.npy", "-q", "--mapping", "sequential"]
    assert main(["compile", *words]) == 0
    ours, field = (read_artifact(Path(name)) for name in ("net.pumice", "field.pumice"))
    assert field.options.mapping == "sequential"
    assert len(field.mapping.cores) > len(ours.mapping.cores)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ((), "takes a file or a model"),
        (("net.nir", "--model", "spikformer-digits"), "takes a file or a model"),
        (("--model", "spikformer"), "there is no model 'spikformer'"),
        (("--model", "spikformer-digits", "--calibration", "digits"), "comes with its samples"),
        (("net.pumice",), "net.pumice: spike rates are not known"),
        (("net.nir",), "give samples with --calibration"),
        (("net.pumice", "--calibration", "cal.npy", "--masks", "static"), "read and masked already"),
        (("net.pumice", "--calibration", "cal.npy", "--from", "snntorch"), "read and masked already"),
        (("net.pumice", "--calibration", "cal.npy", "--method", "best"), "unknown mapping 'best'"),
        (("net.pumice", "--calibration", "cal.npy", "-o", "out.nir"), "must end in .pumice"),
        (("net.pumice", "--calibration", "cal.npy", "--picture", "out.jpg"), "must end in .png"),
        (("net.pumice", "--calibration", "short.npy"), "calibration data: shape (2, 4)"),
        (("none.pumice", "--calibration", "cal.npy"), "none.pumice: no such file"),
    ],
)
def test_bad_input_is_one_line(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], expected: str
) -> None:
    np.save("short.npy", np.zeros((2, 4)))
    assert expected in refusal(capsys, *words)
