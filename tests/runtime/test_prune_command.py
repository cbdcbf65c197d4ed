"""`pumice prune tokens`: what it prints and writes is what the models do, and every bad input is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pumice.hwsim.scoring import Criterion
from pumice.models.checkpoints import save_checkpoint
from pumice.models.pruning.schedule_evaluation import evaluate_schedule
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.training.digits import Samples, load_digits
from pumice.runtime.cli import main

CONFIG = SpikformerConfig(8, 8, 4, 1, 10, 8, 2, 2, depths=2, T=2, pool_stages=(3,))
IMAGES = 20


@pytest.fixture
def model() -> Spikformer:
    """Random weights, with BatchNorms that know the digits, so that what fires depends on the image."""
    torch.manual_seed(0)
    network = Spikformer(CONFIG).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.constant_(module.bias, 0.7)
            module.momentum = 1.0
    with torch.no_grad():
        network(load_digits().fit.images[:64])
    return network.eval()


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: Spikformer) -> Path:
    """A folder with net.safetensors, x.npy and y.npy in it, and the process in it. The labels are the network's own."""
    monkeypatch.chdir(tmp_path)
    save_checkpoint(model, "net.safetensors", {})
    images = load_digits().fit.images[:IMAGES]
    with torch.no_grad():
        labels = model(images).argmax(1)
    np.save("x.npy", images.numpy())
    np.save("y.npy", labels.numpy().astype(np.int32))
    return tmp_path


FILES = ["--data", "x.npy", "--labels", "y.npy"]


def prune(*words: str) -> dict[str, Any]:
    """The JSON of a run that has to succeed."""
    assert main(["prune", "tokens", "net.safetensors", *words, "--json", "r.json"]) == 0
    found: dict[str, Any] = json.loads(Path("r.json").read_text())
    return found


def test_a_search_evaluates_and_draws(workdir: Path, model: Spikformer, capsys: pytest.CaptureFixture[str]) -> None:
    report = prune("--search", *FILES, "--ratios", "1,0.5,0.2", "--picture", "p.png")
    assert len(report["points"]) == report["candidates"] == 6
    assert report["exhaustive"]
    assert report["unpruned"]["accuracy"] == 1.0
    samples = Samples(torch.from_numpy(np.load("x.npy")), torch.from_numpy(np.load("y.npy")).long())
    for point in report["points"]:
        expected = evaluate_schedule(model, samples, tuple(point["retention"]), Criterion())
        assert (point["correct"], point["loss"], tuple(point["kept"])) == (
            expected.correct,
            expected.loss,
            expected.kept,
        )
    assert all(point in report["points"] for point in report["front"])
    assert "test_accuracy" not in report["front"][0]  # files have no test images
    assert Path("p.png").read_bytes()[:4] == b"\x89PNG"
    printed = capsys.readouterr().out
    assert "all 6 schedules evaluated on 20 images of x.npy" in printed
    assert "one image is 5 points" in printed


def test_test_images_report_and_never_choose(workdir: Path, model: Spikformer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every point is measured on the split alone; only what is shown has a test accuracy, and other test labels change that
    number and nothing else."""
    words = ("--ratios", "1,0.4", "--split", "validation")
    report = prune(*words)
    digits = load_digits()
    assert report["samples"] == len(digits.validation.labels)
    for point in report["front"]:
        schedule = tuple(point["retention"])
        assert point["accuracy"] == evaluate_schedule(model, digits.validation, schedule, Criterion()).accuracy
        assert point["test_accuracy"] == evaluate_schedule(model, digits.test, schedule, Criterion()).accuracy
    shown = [point["retention"] for point in (*report["front"], report["unpruned"])]
    assert [point["retention"] for point in report["points"] if "test_accuracy" in point] == [
        point["retention"] for point in report["points"] if point["retention"] in shown
    ]
    object.__setattr__(digits, "test", Samples(digits.test.images, (digits.test.labels + 1) % 10))
    monkeypatch.setattr("pumice.models.training.datasets.load_digits", lambda size: digits)
    other = prune(*words)
    assert without_test(other) == without_test(report)
    assert other != report


def without_test(value: Any) -> Any:
    """A report without what may differ: test accuracies and seconds."""
    if isinstance(value, dict):
        return {k: without_test(v) for k, v in value.items() if k not in ("test_accuracy", "seconds")}
    return [without_test(v) for v in value] if isinstance(value, list) else value


def test_targets_choose_one_schedule_each(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = prune(*FILES, "--ratios", "1,0.8,0.6,0.4,0.2", "--targets", "0.5,0.7,0.3", "--tolerance", "0.01")
    means = [point["mean_ratio"] for point in report["points"]]
    assert sorted(means) == pytest.approx([0.3, 0.5, 0.5, 0.7, 0.7])
    assert set(report["chosen"]) == {"0.5", "0.7", "0.3"}
    printed = capsys.readouterr().out
    for target, point in report["chosen"].items():
        near = [p for p in report["points"] if abs(p["mean_ratio"] - float(target)) < 0.02]
        assert point["accuracy"] == max(p["accuracy"] for p in near)
        ratios = ",".join(map(str, point["retention"]))
        assert f"for an average of {target}: --retention {ratios}" in printed


@pytest.mark.parametrize(
    ("options", "criterion", "state"),
    [
        ([], Criterion(), "hold"),
        (["--criterion", "firing-rate"], Criterion("firing-rate"), "hold"),
        (["--criterion", "random", "--seed", "3"], Criterion("random", seed=3), "hold"),
        (["--alpha", "1"], Criterion(alpha=1.0), "hold"),
        (["--alpha", "0", "--state", "decay"], Criterion(alpha=0.0), "decay"),
        (["--first-step", "spatial", "--window", "5"], Criterion(window=5, first_step="spatial"), "hold"),
        (["--shared", "--silent", "1"], Criterion(per_step=False, silent=1.0), "hold"),
        (["--criterion", "irtop-official", "--alpha", "0.3"], Criterion("irtop-official", alpha=0.3), "hold"),
    ],
)
def test_one_schedule_under_every_criterion(
    workdir: Path, model: Spikformer, options: list[str], criterion: Criterion, state: str
) -> None:
    report = prune("--schedule", "0.6,0.4", *FILES, *options)
    assert Criterion(**report["criterion"]) == criterion
    assert report["state"] == state
    assert report["search"] is None
    samples = Samples(torch.from_numpy(np.load("x.npy")), torch.from_numpy(np.load("y.npy")).long())
    expected = evaluate_schedule(model, samples, (0.6, 0.4), criterion, state)  # type: ignore[arg-type]
    assert [(p["loss"], p["kept"]) for p in report["points"]] == [(expected.loss, list(expected.kept))]


def test_a_schedule_of_the_paper_is_taken_by_name(workdir: Path) -> None:
    report = prune("--table", "spikformer-dvscifar10-0.50", *FILES)
    assert report["points"][0]["retention"] == [49 / 64, 16 / 64]


BAD: list[tuple[list[str], str]] = [
    (["--schedule", "0.4,0.6"], "block 1: retention 0.6 exceeds 0.4 before it"),
    (["--schedule", "0.4,0"], "block 1: retention 0.0 is not in (0, 1]"),
    (["--schedule", "1.2,0.5"], "block 0: retention 1.2 is not in (0, 1]"),
    (["--schedule", "0.5"], "the schedule has 1 ratios, the model 2 blocks"),
    (["--schedule", "0.5,half"], "retention 'half' is not a number"),
    (["--table", "sdtv1-0.65"], "the schedule has 8 ratios, the model 2 blocks"),
    (["--table", "sdtv9"], "no schedule 'sdtv9' in Tables 7 and 8"),
    (["--table", "sdtv1-0.65", "--search"], "--search and --table at once"),
    (["--search", "--schedule", "0.5,0.5"], "--search and --schedule at once"),
    (["--ratios", "1,0"], "ratio 0.0 is not in (0, 1]"),
    (["--ratios", "1,many"], "'many' is not a number"),
    (
        ["--ratios", "1,0.5", "--targets", "0.6", "--tolerance", "0"],
        "no schedule of 2 blocks averages within 0.0 of 0.6",
    ),
    (["--budget", "0"], "a budget of 0 schedules"),
    (["--criterion", "best"], "unknown token criterion 'best'"),
    (["--first-step", "neither"], "first_step must be 'both' or 'spatial', not 'neither'"),
    (["--alpha", "2"], "alpha must lie in [0, 1], not 2.0"),
    (["--state", "reset"], "unknown membrane rule 'reset'"),
    (["--split", "test"], "--split 'test'"),
    (["--picture", "p.jpg"], "p.jpg: the output must end in .png"),
    (["--picture", "no/p.png"], "the folder no does not exist"),
    (["--labels", "y.npy"], "--labels y.npy without images"),
    (["--data", "x.npy"], "--data x.npy without labels"),
    (["--data", "x.npy", "--labels", "short.npy"], "short.npy: int64 (3,) for 20 images"),
    (["--data", "x.npy", "--labels", "real.npy"], "real.npy: float64 (20,) for 20 images"),
    (["--data", "x.npy", "--labels", "high.npy"], "labels from 99 to 99, but the model has 10 classes"),
    (["--data", "y.npy", "--labels", "y.npy"], "input is torch.float32 (1,)"),
    (["--data", "none.npy", "--labels", "y.npy"], "none.npy: no such file"),
    (["--data", "words.npy", "--labels", "y.npy"], "words.npy: an array of <U1, not of numbers"),
    (["--data", "cats"], "cats: no data set"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_bad_input_is_one_line_and_writes_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: list[str], message: str
) -> None:
    np.save("words.npy", np.full((IMAGES, 1, 8, 8), "a"))
    np.save("short.npy", np.zeros(3, np.int64))
    np.save("real.npy", np.zeros(IMAGES))
    np.save("high.npy", np.full(IMAGES, 99))
    Path("r.json").write_text("precious")
    capsys.readouterr()
    assert main(["prune", "tokens", "net.safetensors", *words, "--json", "r.json"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert Path("r.json").read_text() == "precious"


def test_the_group_lists_its_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prune", "--help"]) == 0
    assert "tokens" in capsys.readouterr().out
    assert main(["prune", "everything"]) == 2
    assert "No such command 'everything'" in capsys.readouterr().err
