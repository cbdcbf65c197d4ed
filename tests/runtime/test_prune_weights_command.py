"""`pumice prune weights`: one line per mistake, and a checkpoint that is as sparse as asked and compiles."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.models.checkpoints import load_checkpoint, read_facts, zoo_path
from pumice.models.pruning.weight_pruning import weight_sparsity
from pumice.runtime.cli import main


def test_l1_writes_a_checkpoint_as_sparse_as_asked(tmp_path: Path) -> None:
    out, figures = tmp_path / "l1.safetensors", tmp_path / "l1.json"
    words = [
        "prune",
        "weights",
        "sdt-v1-digits",
        "--amount",
        "0.5",
        "--epochs",
        "1",
        "-o",
        str(out),
        "--json",
        str(figures),
    ]
    assert main(words) == 0
    assert weight_sparsity(load_checkpoint(out)) == pytest.approx(0.5, abs=1e-3)
    found = json.loads(figures.read_text())
    assert found["test_accuracy"] > found["test_accuracy_unpruned"] - 0.05
    assert read_facts(out)["data"] == read_facts(zoo_path("sdt-v1-digits"))["data"]
    assert main(["export", str(out), "-o", str(tmp_path / "l1.nir")]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--amount", "1.5"], "share of weights to prune is 1.5"),
        (["--method", "magic"], "unknown pruning method 'magic' — known: l1, imp, dsp"),
        (["--method", "dsp", "--slif"], "--slif with --method dsp"),
        (["--data", "nowhere"], "nowhere: no data set"),
    ],
)
def test_one_line_says_what_is_wrong(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    assert main(["prune", "weights", "spikformer-digits", "-o", str(out), *words]) == 2
    assert message in capsys.readouterr().err
    assert not out.exists()
