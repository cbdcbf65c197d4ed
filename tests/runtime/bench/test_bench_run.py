"""A small benchmark from its jobs to its numbers, and what happens where a job goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pumice.errors import InputError, RunError
from pumice.runtime.bench.children import in_child
from pumice.runtime.bench.jobs import Job, run_job
from pumice.runtime.bench.plans import HALF, TENTH, UNPRUNED, ModelPlan, Plan, quick_plan
from pumice.runtime.bench.report import HEADLINES, report
from pumice.runtime.bench.run import run_bench
from pumice.runtime.cli import main

DIGITS = "spikformer-digits"
SMALL = ModelPlan(
    DIGITS,
    batch=4,
    reference=2,
    compared=(UNPRUNED,),
    variants=(UNPRUNED, HALF, TENTH),
    repeats=1,
    block_repeats=1,
    batches=(1, 4),
    timesteps=(1, 2),
)
PLAN = Plan((SMALL,), headline=DIGITS, digits=0)


@pytest.mark.slow
def test_a_small_benchmark_from_end_to_end() -> None:
    made = report(PLAN, run_bench(PLAN, 1, start=run_job))
    json.dumps(made)
    assert set(made["ratios"]) == set(HEADLINES)
    assert made["ratios"].pop("fast_over_lava") is None  # Lava has no images in this plan
    assert all(ratio > 0 for ratio in made["ratios"].values())
    variants = made["models"][DIGITS]["variants"]
    assert set(variants[UNPRUNED.name]["images_per_s"]) == {"fast", "torch", "float", "reference"}
    assert variants[HALF.name]["tokens_kept"] == 0.5
    assert variants[TENTH.name]["density"]["blocks"] == pytest.approx(0.1, abs=0.01)
    assert set(made["exponents"][DIGITS]) == {"batch", "timesteps", "tokens"}
    assert made["limits"]["int16_adds_per_s"]["median"] > 0


@pytest.mark.slow
def test_lava_and_the_command_line_in_processes_of_their_own() -> None:
    pytest.importorskip("lava.magma", reason="lava-nc is not installed")
    plan = replace(SMALL, lava=2, variants=(UNPRUNED,))
    found = run_bench(Plan((plan,), headline=DIGITS, digits=1), 1)
    made = report(Plan((plan,), headline=DIGITS), found)
    started, whole = (made["spreads"][name]["median"] for name in ("fast_over_lava", "fast_over_lava_whole_run"))
    assert 1 < started < whole
    assert made["models"][DIGITS]["memory_bytes"]["lava"]["peak"] > 0
    assert made["digits"]["array_s"]["median"] > 0


def test_a_job_in_a_process_gives_its_numbers(tmp_path: Path) -> None:
    found = in_child(Job("limits", tmp_path, 1, replace(SMALL, repeats=1)), (), limit_s=120)
    assert found["copy_bytes_per_s"]["median"] > 0
    assert found["threads"] == 1


def test_a_job_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"limits of spikformer-digits, unpruned: not done after 0.2 s"):
        in_child(Job("limits", tmp_path, 1, SMALL), (), limit_s=0.2)


def test_what_a_job_says_of_its_failure_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"benchmark, prepare: there is no model 'nobody'") as caught:
        in_child(Job("prepare", tmp_path, 1, ModelPlan("nobody")), (), limit_s=120)
    assert "spikformer-digits" in caught.value.hint


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threads", "100000"], "--threads 100000/"),
        (["--output", "no/such/folder"], "the folder no/such/folder does not exist"),
    ],
)
def test_bad_options_fail_before_anything_is_measured(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_without_a_place_for_results_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["bench", "--threads", "1"]) == 2
    assert "there is no folder bench/results here" in capsys.readouterr().err


def test_a_plan_names_its_models_once() -> None:
    with pytest.raises(InputError, match="benchmark of the models"):
        Plan(())
    with pytest.raises(InputError, match="benchmark of the models"):
        Plan((SMALL, SMALL))
    assert [model.name for model in quick_plan().models] == [DIGITS, "spikformer-4-384"]
