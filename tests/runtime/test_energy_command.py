"""pumice energy: one set of counts on screen, in JSON, CSV and LaTeX."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from latex_tables import assert_tabular
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


def test_neurobench_counts_layers_alone_and_calls_graded_input_a_multiply(folder: Path) -> None:
    found = json.loads((folder / "e.json").read_text())
    names, layers = found["neurobench"], [x for x in found["layers"] if x["kind"] != "matmul"]
    assert names["Effective_ACs"] + names["Effective_MACs"] == pytest.approx(sum(x["events"] for x in layers))
    assert names["Effective_ACs"] < found["synops"]["events"]  # residual sums are whole numbers, but not binary
    assert names["Dense"] < sum(x["dense"] for x in layers)  # ours counts the padding of a convolution
    assert 0.5 < names["ActivationSparsity"] < 1
    assert {x["kind"] for x in found["activations"]} == {"LIF"}


def test_the_report_says_how_often_real_valued_layers_ran(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    counted = {x["name"]: x["counted"] for x in json.loads((folder / "e.json").read_text())["layers"]}
    assert counted["patch_embed.proj_conv"] == counted["head"] == "once per sample"
    assert counted["patch_embed.proj_conv1"] == "once per timestep"
    assert counted["block.0.attn.q_linear"] == "256 times per sample"  # 64 tokens at 4 steps
    assert counted["block.0.attn.matmul0"] == ""
    assert main(["energy", "spikformer-digits", "--samples", "2"]) == 0
    out = capsys.readouterr().out
    assert "patch_embed.proj_conv: real-valued input, MACs; ran and is counted once per sample" in out
    assert "would cost 4 times as much if run at every timestep" in out
    assert "activation sparsity" in out


def test_csv_and_latex_hold_every_layer(folder: Path) -> None:
    found = json.loads((folder / "e.json").read_text())
    with (folder / "e.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [row["name"] for row in table] == [layer["name"] for layer in found["layers"]]
    assert [float(row["events"]) for row in table] == [layer["events"] for layer in found["layers"]]
    latex = (folder / "e.tex").read_text()
    assert latex.count(r"\\") == len(table) + 2
    assert latex.startswith(r"\begin{tabular}{llrrrrrrrrr}")
    assert_tabular(latex)


def test_pruned_tokens_cost_less(folder: Path) -> None:
    whole, pruned = (json.loads((folder / name).read_text()) for name in ("e.json", "pruned.json"))
    assert pruned["synops"]["events"] < 0.8 * whole["synops"]["events"]


@pytest.mark.parametrize(
    ("case", "family"),
    [
        ("spikformer_cifar_2-64", "spikformer_cifar"),
        ("spikformer_dvs_2-64", "spikformer_dvs"),
        ("sdtv1_2-64_img32", "sdtv1"),
        ("sdtv1_2-64_img32__TP_k6-4", "sdtv1_tp"),
        ("qk_cifar_4-64", "qkformer_cifar"),
        ("sdtv3_tiny_img64", "sdtv3"),
    ],
)
def test_an_official_checkpoint_gives_the_official_counts(tmp_path: Path, case: str, family: str) -> None:
    oracle = load_oracle(case)
    torch.save({"state_dict": oracle.weights}, tmp_path / "official.pth.tar")
    np.save(tmp_path / "x.npy", oracle.input.numpy())
    (tmp_path / "kwargs.json").write_text(json.dumps(oracle.kwargs))
    words = ["energy", str(tmp_path / "official.pth.tar"), "--family", family]
    words += ["--config", str(tmp_path / "kwargs.json"), "--data", str(tmp_path / "x.npy")]
    assert main([*words, "--json", str(tmp_path / "e.json")]) == 0
    found = json.loads((tmp_path / "e.json").read_text())
    layers = {layer["name"]: layer for layer in found["layers"]}
    facts = json.loads((FOLDER / f"{case}.json").read_text())["sops"]
    assert set(layers) - set(facts["layers"]) == {name for name, x in layers.items() if x["runs"] is None}  # attention
    for name, expected in facts["layers"].items():
        layer = layers[name]
        # We convolve a still image once; the official model, and a chip, at every timestep.
        times = facts["batch"] * (facts["T"] if layer["dense"] * facts["batch"] < expected["macs_all_T"] else 1)
        assert times == facts["batch"] or (layer["runs"] == 1 and not layer["spike_valued"]), name
        assert layer["dense"] * times == expected["macs_all_T"], name
        assert layer["events"] * times == expected["sop_exact_nz"], name
        assert layer["events_weighted"] * times == pytest.approx(expected["sop_exact"], rel=1e-6), name
        assert layer["eq25"] * times == pytest.approx(expected["sop_eq25"], rel=1e-6), name
        assert layer["spike_valued"] == expected["spike_valued"], name
    spiking = [x for x in facts["layers"].values() if x["spike_valued"]]
    for ours, official in {"events": "sop_exact_nz", "events_weighted": "sop_exact", "eq25": "sop_eq25"}.items():
        total = sum(x[official] for x in spiking) / facts["batch"]
        assert found["synops"][ours] - found["attention"][ours] == pytest.approx(total, rel=1e-6), ours
    assert found["attention"]["events"] > 0


@pytest.mark.parametrize(("content", "message"), [(None, "no such file"), ("{", "not JSON"), ("[1]", "not an object")])
def test_a_bad_configuration_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    config = tmp_path / "kwargs.json"
    if content is not None:
        config.write_text(content)
    assert main(["energy", "any.pth", "--family", "sdtv1", "--config", str(config)]) == 2
    assert message in capsys.readouterr().err
