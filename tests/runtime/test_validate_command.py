"""pumice validate: against the float model, and against the model compiled again, which finds what was changed since."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapped import on_cores

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.runtime.cli import main

FAULT = "block.0.attn.v_linear"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The zoo model, compiled."""
    folder = tmp_path_factory.mktemp("validate")
    net, out = str(folder / "net.nir"), folder / "net.pumice"
    assert main(["export", "spikformer-digits", "--retention", "0.5,0.5", "-o", net]) == 0
    assert main(["compile", net, "-o", str(out), "--calibration", "digits", "-q"]) == 0
    return out


@pytest.fixture
def validated(tmp_path: Path) -> Callable[[Path], dict[str, Any]]:
    """validated(artifact): what the command found on 30 images."""

    def run(path: Path) -> dict[str, Any]:
        words = ["validate", str(path), "--model", "spikformer-digits", "--samples", "30"]
        assert main([*words, "--json", str(tmp_path / "v.json")]) == 0
        found: dict[str, Any] = json.loads((tmp_path / "v.json").read_text())
        return found

    return run


def test_an_untouched_artifact_equals_the_model_compiled_again(
    artifact: Path, validated: Callable[[Path], dict[str, Any]]
) -> None:
    found = validated(artifact)
    assert found["recompiled"]["first"] is None
    assert found["comparison"]["spikes"] > 0.9
    assert found["accuracy"]["compiled"] >= 0.9
    assert [rung["change"] for rung in found["attribution"]][-1] == "token masks"


def test_one_changed_weight_is_found_in_its_layer_step_and_neuron(
    artifact: Path, tmp_path: Path, validated: Callable[[Path], dict[str, Any]]
) -> None:
    program = read_artifact(artifact)
    synapse = program.graph.nodes[FAULT]
    assert isinstance(synapse, i.Synapse)
    channel = int(np.abs(synapse.weight).sum(axis=(1, 2, 3)).argmax())
    weight = synapse.weight.copy()
    weight[channel, int(np.abs(weight[channel]).argmax())] *= -1
    nodes = dict(program.graph.nodes) | {FAULT: replace(synapse, weight=weight)}
    graph = replace(program.graph, nodes=nodes)
    broken = on_cores(graph, program.chip, program.options, program.source_hash)
    write_artifact(broken, tmp_path / "broken.pumice")
    first = validated(tmp_path / "broken.pumice")["recompiled"]["first"]
    assert first["layer"] == "block.0.attn.v_lif"
    assert first["neuron"][0] == channel
