"""TP-Spikformer's schedules against the averages that the paper prints and that the official code runs."""

from __future__ import annotations

import math
from fractions import Fraction

import pytest

from pumice.errors import InputError
from pumice.hwsim.scoring import tokens_kept
from pumice.models import sdt_v1, sdt_v3
from pumice.models.pruning.schedules import SCHEDULES, Schedule, average, hundredths, schedule_named
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer_config import QKFormerImagenetConfig, QKFormerTpConfig
from pumice.models.sdt_v1 import SdtV1Config
from pumice.models.sdt_v3 import SdtV3Config
from pumice.models.spikformer import SpikformerConfig
from pumice.models.spikformer_conv import SpikformerDvsConfig

# (nominal, really run) averages, worked out by hand from the official code.
AVERAGES = {
    "sdtv1-0.74": (0.7425, 0.7449),
    "sdtv1-0.65": (0.65375, 0.6556),
    "sdtv1-0.51": (0.5175, 0.5204),
    "qkformer-0.72": (0.724, 0.6754),
    "qkformer-0.65": (0.650, 0.6212),
    "qkformer-0.53": (0.535, 0.4745),
    "sdtv3-0.78": (0.7825, 0.7570),
    "sdtv3-0.65": (0.6525, 0.6065),
    "sdtv3-0.56": (0.565, 0.5153),
}
WITH_K = [schedule for schedule in SCHEDULES if schedule.k_values is not None]
NAMES = [schedule.name for schedule in SCHEDULES]


@pytest.mark.parametrize("name", AVERAGES)
def test_averages_come_out_of_the_printed_ratios(name: str) -> None:
    nominal, run = AVERAGES[name]
    schedule = schedule_named(name)
    assert schedule.nominal_average == pytest.approx(nominal, abs=1e-12)
    assert schedule.run_average is not None
    assert round(schedule.run_average, 4) == run


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_the_heading_of_a_column_is_its_mean_ratio_cut_to_two_decimals(schedule: Schedule) -> None:
    exact = sum(map(Fraction, map(str, schedule.ratios))) / len(schedule.ratios)
    assert schedule.name.rpartition("-")[2] == f"{math.floor(100 * exact) / 100:.2f}"


def test_k_values_are_those_of_the_official_constructors() -> None:
    assert schedule_named("sdtv1-0.51").k_values == sdt_v1.OFFICIAL_K_VALUES
    assert schedule_named("qkformer-0.65").k_values == QKFormerTpConfig().k_values
    assert schedule_named("sdtv3-0.65").k_values == (0.9, 0.9, 0.8, 0.8, 0.8, 0.75, 0.75, 0.75)
    assert schedule_named("sdtv3-0.56").k_values == (0.8,) * 4 + (0.7,) * 4
    assert all(s.k_values != sdt_v3.OFFICIAL_K_VALUES for s in SCHEDULES)


@pytest.mark.parametrize("name", ["sdtv1-0.74", "sdtv1-0.65", "sdtv1-0.51"])
def test_the_token_pruned_models_run_these_sides(name: str) -> None:
    schedule = schedule_named(name)
    assert schedule.k_values is not None
    config = SdtV1Config(224, 224, in_channels=3, k_values=tuple(map(int, schedule.k_values)))
    assert config.k_values == schedule.sides
    assert schedule.grids == (config.grid,) * config.depths


@pytest.mark.parametrize("name", ["qkformer-0.72", "qkformer-0.65", "qkformer-0.53"])
def test_qkformer_runs_these_sides_on_these_grids(name: str) -> None:
    schedule = schedule_named(name)
    assert schedule.k_values is not None
    config = QKFormerTpConfig(k_values=schedule.k_values)
    assert schedule.sides == tuple(config.side(block) for block in range(10))
    assert schedule.grids == QKFormerImagenetConfig().grids


@pytest.mark.parametrize("name", ["sdtv3-0.78", "sdtv3-0.65", "sdtv3-0.56"])
def test_sdt_v3_runs_these_sides(name: str) -> None:
    schedule = schedule_named(name)
    config = SdtV3Config(k_values=schedule.k_values)
    assert schedule.sides == config.sides()
    assert schedule.grids == (config.grid,) * 8


def test_the_grids_of_table_7_are_those_of_its_models() -> None:
    for schedule in SCHEDULES[:6]:
        dvs = "dvs" in schedule.name
        grid = SpikformerDvsConfig().grid if dvs else SpikformerConfig().grid
        assert schedule.grids == (grid,) * (2 if dvs else 4)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=NAMES)
def test_retention_is_what_was_printed_before_it_was_cut_and_a_legal_pruning(schedule: Schedule) -> None:
    TokenPruning(schedule.retention).check_depth(len(schedule.grids))
    assert list(map(hundredths, schedule.retention)) == [round(100 * ratio) for ratio in schedule.ratios]


@pytest.mark.parametrize("schedule", WITH_K, ids=[s.name for s in WITH_K])
def test_the_official_rule_keeps_the_official_number_of_tokens(schedule: Schedule) -> None:
    assert schedule.sides is not None
    for ratio, grid, side in zip(schedule.retention, schedule.grids, schedule.sides, strict=True):
        assert tokens_kept(ratio, *grid, "irtop-official") == side * side


def test_078_of_dvs_cifar10_has_no_k() -> None:
    schedule = schedule_named("spikformer-dvscifar10-0.78")
    assert (schedule.k_values, schedule.sides, schedule.kept, schedule.run_average) == (None,) * 4
    assert schedule.retention == (0.78, 0.78)
    assert [tokens_kept(ratio, 8, 8) for ratio in schedule.retention] == [50, 50]
    assert {s.name for s in SCHEDULES} - {s.name for s in WITH_K} == {schedule.name}


def test_names_are_told_apart_and_an_unknown_one_is_refused() -> None:
    assert len(set(NAMES)) == len(SCHEDULES) == 15
    with pytest.raises(InputError, match=r"no schedule 'sdtv1-0.66' in Tables 7 and 8") as caught:
        schedule_named("sdtv1-0.66")
    assert "sdtv1-0.65" in caught.value.hint


@pytest.mark.parametrize(
    ("ratios", "message"),
    [((0.5, 0.7), "exceeds 0.5 before it"), ((0.5, 0.0), "is not in"), ((0.5,), "the schedule has 1 ratios")],
)
def test_a_schedule_that_breaks_the_rules_cannot_be_written(ratios: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Schedule("wrong", "Table 8", ratios, ((4, 4),) * 2, "side")


def test_average_is_the_mean_over_blocks() -> None:
    assert average((1.0, 0.5, 0.25, 0.25)) == 0.5
