"""pumice energy: one set of counts on screen, in JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from oracles import FOLDER, load_oracle

from pumice.runtime.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("energy")
    words = ["energy", "spikformer-digits", "--samples", "40"]
    written = ["--json", str(out / "e.json"), "--csv", str(out / "e.csv"), "--latex", str(out / "e.tex")]
    assert main([*words, *written]) == 0
    assert main([*words, "--retention", "0.5,0.5", "--json", str(out / "pruned.json")]) == 0
    return out


def test_totals_are_the_sums_of_the_layers(folder: Path) -> None:
    found = json.loads((folder / "e.json").read_text())
    layers = found["layers"]
    assert found["synops"]["events"] == pytest.approx(sum(x["events"] for x in layers if x["spike_valued"]))
    assert found["macs"] == pytest.approx(sum(x["events"] for x in layers if not x["spike_valued"]))
    energy = (4.6 * found["macs"] + 0.9 * found["synops"]["events"]) / 1000
    assert found["energy_nj"]["horowitz45"]["events"] == pytest.approx(energy)
    assert sum(x["energy_nj"] for x in layers) == pytest.approx(energy)


def test_neurobench_calls_graded_input_a_multiply(folder: Path) -> None:
    found = json.loads((folder / "e.json").read_text())
    names = found["neurobench"]
    assert names["Effective_ACs"] + names["Effective_MACs"] == pytest.approx(found["macs"] + found["synops"]["events"])
    assert names["Effective_ACs"] < found["synops"]["events"]  # residual sums are whole numbers, but not binary
    assert names["Dense"] == found["synops"]["dense"]


def test_csv_and_latex_hold_every_layer(folder: Path) -> None:
    found = json.loads((folder / "e.json").read_text())
    with (folder / "e.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [layer["name"] for layer in found["layers"]]
    assert [float(row["events"]) for row in table] == [layer["events"] for layer in found["layers"]]
    latex = (folder / "e.tex").read_text()
    assert latex.count(r"\\") == len(table) + 2
    assert latex.startswith(r"\begin{tabular}{llrrrrrrrr}")
    assert not [line for line in latex.splitlines() if "_" in line.replace(r"\_", "")]


def test_pruned_tokens_cost_less(folder: Path) -> None:
    whole, pruned = (json.loads((folder / name).read_text()) for name in ("e.json", "pruned.json"))
    assert pruned["synops"]["events"] < 0.8 * whole["synops"]["events"]


def test_an_official_checkpoint_gives_the_official_counts(tmp_path: Path) -> None:
    oracle = load_oracle("sdtv1_2-64_img32")
    torch.save({"state_dict": oracle.weights}, tmp_path / "official.pth.tar")
    np.save(tmp_path / "x.npy", oracle.input.numpy())
    (tmp_path / "kwargs.json").write_text(json.dumps(oracle.kwargs))
    words = [
        "energy",
        str(tmp_path / "official.pth.tar"),
        "--family",
        "sdtv1",
        "--config",
        str(tmp_path / "kwargs.json"),
    ]
    assert main([*words, "--data", str(tmp_path / "x.npy"), "--json", str(tmp_path / "e.json")]) == 0
    layers = {layer["name"]: layer for layer in json.loads((tmp_path / "e.json").read_text())["layers"]}
    facts = json.loads((FOLDER / "sdtv1_2-64_img32.json").read_text())["sops"]
    for name, expected in facts["layers"].items():
        per_sample = expected["sop_exact_nz"] / facts["batch"]
        repeated = facts["T"] if layers[name]["dense"] * facts["batch"] < expected["macs_all_T"] else 1
        assert layers[name]["events"] * repeated == pytest.approx(per_sample), name


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("{", "not JSON"), ("[1]", "not an object")])
def test_a_bad_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    config = tmp_path / "kwargs.json"
    if content is not None:
        config.write_text(content)
    assert main(["energy", "any.pth", "--family", "sdtv1", "--config", str(config)]) == 2
    assert message in capsys.readouterr().err
