"""What the numbers of a benchmark are made of: arithmetic on seconds that are given here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pngs import size_of

from pumice.runtime.bench.picture import draw_bench
from pumice.runtime.bench.plans import UNPRUNED, ModelPlan, Plan
from pumice.runtime.bench.report import HEADLINES, report
from pumice.runtime.bench.text import tables

LARGE, SMALL = "spikformer-4-384", "spikformer-digits"
HALF, LIVE, TENTH = "retention 0.5 static", "retention 0.5 live", "density 0.1"


def rounds(images: int, *seconds: float, **parts: list[float]) -> dict[str, Any]:
    return {"images": images, "seconds": list(seconds), "parts": parts}


def blocks(whole: float, inside: float) -> dict[str, Any]:
    return rounds(8, whole, 2 * whole, blocks=[inside, inside])


def described(kept: float = 1.0) -> dict[str, Any]:
    counts = {"synops": 1e9, "macs": 1e6, "dense": 5e9, "spikes": 1e6, "synops_in_blocks": 5e8, "least_bytes": 1e8}
    firing = {"mean": 0.2, "least_layer": 0.1, "most_layer": 0.3}
    return {
        "images": 1,
        "per_image": counts,
        "firing": {"neurons": firing, "synapses_receive": firing},
        "density": {"blocks": 1.0, "all": 1.0},
        "tokens_kept": kept,
    }


def model(compared: dict[str, Any]) -> dict[str, Any]:
    series = {"seconds": [[1, 0.1], [2, 0.2]], "exponent": 1.0}
    return {
        "prepare": {"compile_s": {UNPRUNED.name: 1.0}},
        "describe": {UNPRUNED.name: described(), HALF: described(0.5), LIVE: described(0.5), TENTH: described()},
        "compare": {UNPRUNED.name: compared},
        "blocks": {UNPRUNED.name: blocks(4, 8), HALF: blocks(3, 2), LIVE: blocks(3, 4), TENTH: blocks(2, 2)},
        "growth": {"batch": series, "timesteps": series},
        "memory": {"fast": {"images": 8, "before": 10, "loaded": 15, "peak": 30}},
    }


def found(lava: bool = True) -> dict[str, Any]:
    large = {"fast": rounds(8, 1.0, 1.0, 1.0), "float": rounds(8, 6.0, 5.0, 9.0), "torch": rounds(8, 2.0, 2.0, 2.0)}
    small: dict[str, Any] = {"fast": rounds(64, 0.064, 0.064), "float": rounds(64, 0.5, 0.5)}
    if lava:
        small["lava"] = rounds(8, 8.0, 8.0, **{"per image, started": [0.3, 0.5]})
    rate = {"min": 1e10, "median": 2e10, "max": 3e10}
    return {
        "models": {LARGE: model(large), SMALL: model(small)},
        "limits": {"threads": 2, "copy_bytes_per_s": rate, "int16_adds_per_s": rate},
        "digits": {"images": 360, "array_s": [1.0, 3.0, 2.0], "shipped_data_s": [4.0, 4.0, 4.0]},
        "seconds": {},
    }


PLAN = Plan((ModelPlan(LARGE), ModelPlan(SMALL)))


def test_headline_ratios_are_medians_over_rounds() -> None:
    made = report(PLAN, found())
    assert made["ratios"] == {
        "fast_over_float": pytest.approx(6.0),
        "fast_over_lava": pytest.approx(400.0),  # 0.3 and 0.5 s an image, started, beside 1 ms
        "retention_half_speedup": pytest.approx(4.0),
        "density_tenth_speedup": pytest.approx(4.0),
    }
    assert made["spreads"]["fast_over_float"] == pytest.approx({"min": 5.0, "median": 6.0, "max": 9.0})


def test_the_whole_run_stands_under_its_own_key() -> None:
    spreads = report(PLAN, found())["spreads"]
    assert spreads["fast_over_lava_whole_run"]["median"] == pytest.approx(1000.0)
    assert spreads["retention_half_speedup_network"]["median"] == pytest.approx(4 / 3)
    assert spreads["density_tenth_speedup_network"]["median"] == pytest.approx(2.0)
    assert spreads["retention_half_live_speedup"]["median"] == pytest.approx(2.0)


def test_what_was_not_measured_is_null() -> None:
    made = report(PLAN, found(lava=False))
    assert set(made["ratios"]) == set(HEADLINES)
    assert made["ratios"]["fast_over_lava"] is None
    assert "fast_over_lava" not in made["spreads"]


def test_rates_shares_and_exponents() -> None:
    made = report(PLAN, found())
    unpruned = made["models"][LARGE]["variants"][UNPRUNED.name]
    assert unpruned["synops_per_s"]["fast"] == pytest.approx(8e9)
    assert unpruned["share_of_limits"] == pytest.approx(
        {"synops_over_int16_adds": 0.4, "dense_over_int16_adds": 2.0, "least_bytes_over_copied": 0.04}
    )
    assert unpruned["blocks_thread_s_per_image"]["median"] == pytest.approx(1.0)
    assert made["exponents"][LARGE] == pytest.approx({"batch": 1.0, "timesteps": 1.0, "tokens": 2.0})
    assert made["models"][LARGE]["memory_bytes"]["fast"]["above_start"] == 20
    assert made["digits"]["array_s"]["median"] == 2.0


def test_tables_and_plot_show_any_report(tmp_path: Path) -> None:
    facts = {"processor": "P", "cores": 2}
    said = {"machine": facts, "threads": 2, "command": "pumice bench", **report(PLAN, found(lava=False))}
    assert [table.row_count for table in tables(said)] == [len(said["spreads"]), 2, 2]
    draw_bench(tmp_path / "bench.png", said)
    assert size_of((tmp_path / "bench.png").read_bytes()) == (1600, 1000)
