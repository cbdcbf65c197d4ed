"""The demo's figures, as `pumice demo --json` writes them: the whole path on the shipped model, Lava included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pumice.compiler.artifact import read_artifact
from pumice.runtime.cli import main


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One run of the demo."""
    folder = tmp_path_factory.mktemp("demo")
    assert main(["demo", "--folder", str(folder), "--json", str(folder / "figures.json")]) == 0
    assert read_artifact(folder / "spikformer-digits.pumice").source_hash
    assert (folder / "spikformer-digits.png").read_bytes().startswith(b"\x89PNG")
    found: dict[str, Any] = json.loads((folder / "figures.json").read_text())
    return found


def test_the_float_model_is_a_good_one_and_the_chip_keeps_its_accuracy(figures: dict[str, Any]) -> None:
    accuracy = figures["accuracy"]
    assert figures["samples"] == 360
    assert accuracy["float"] >= 0.97
    assert accuracy["compiled"] >= accuracy["float"] - 0.01
    assert accuracy["compiled_unpruned"] >= accuracy["float"] - 0.01


def test_lava_equals_reference_in_every_spike_of_every_layer(figures: dict[str, Any]) -> None:
    assert figures["bit_exact"] == {"lava": True, "samples": 16}


def test_half_of_the_tokens_are_routed(figures: dict[str, Any]) -> None:
    assert figures["retention"]["mean"] == pytest.approx(0.5, abs=0.02)
    assert all(len(steps) == 4 for steps in figures["retention"]["by_block_and_step"].values())


def test_pruning_saves_work_by_every_measure(figures: dict[str, Any]) -> None:
    synops, unpruned = figures["synops"], figures["synops_unpruned"]
    assert synops["events"] < unpruned["events"]
    assert synops["eq25"] < unpruned["eq25"]
    assert synops["events"] <= synops["events_weighted"] <= synops["dense"]
    assert set(figures["energy_nj"]) >= {"horowitz45", "loihi1_davies2018", "loihi1_sanafe"}
    assert all(both["pruned"] < both["unpruned"] for both in figures["energy_nj"].values())


def test_the_ladder_ends_at_the_compiled_accuracy(figures: dict[str, Any]) -> None:
    rungs = figures["attribution"]
    assert rungs[0]["accuracy"] == figures["accuracy"]["float"]
    assert rungs[-1]["accuracy"] == figures["accuracy"]["compiled"]
    lost = sum(rung["lost"] for rung in rungs)
    assert lost == pytest.approx(figures["accuracy"]["float"] - figures["accuracy"]["compiled"])


def test_spikes_agree_with_the_float_model(figures: dict[str, Any]) -> None:
    assert 0.9 < figures["spike_agreement"] <= 1.0
    assert figures["latency_steps"] == 29
    assert 0 < figures["utilisation"]["binding"] <= 1


def test_pruned_tokens_take_less_time_on_the_chip(figures: dict[str, Any]) -> None:
    for name in ("loihi1_davies2018", "loihi1_sanafe"):
        pruned, unpruned = (figures["latency_model"][name][which] for which in ("pruned", "unpruned"))
        assert 0 < pruned["us_per_sample"] < unpruned["us_per_sample"]
    assert figures["latency_model"]["horowitz45"]["pruned"]["step_ns"] is None


def test_a_demo_without_lava_samples_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--lava-samples", "0", "--folder", str(tmp_path)]) == 2
    assert "run at least one image on Lava" in capsys.readouterr().err
