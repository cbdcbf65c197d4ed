"""TP-Spikformer's Table 2, computed again: what follows from its schedules, what does not, and that we say which."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest
from latex_tables import assert_tabular

from pumice.errors import InputError
from pumice.runtime import paper_report
from pumice.runtime.cli import main
from pumice.runtime.paper_data import Published, PublishedModel, read_table
from pumice.runtime.paper_tables import ModelTable, compute, compute_model

TABLE = read_table("tp-spikformer")


@pytest.fixture(scope="module")
def tables() -> tuple[ModelTable, ...]:
    return compute(TABLE)


def by_name(tables: tuple[ModelTable, ...], name: str) -> ModelTable:
    return next(table for table in tables if table.model.name == name)


def test_sdt_v1_follows_from_its_schedules(tables: tuple[ModelTable, ...]) -> None:
    for row in by_name(tables, "SDT-V1-8-768").rows:
        assert row.ops_ratio == pytest.approx(1, abs=0.003)
        assert row.power_ratio == pytest.approx(1, abs=0.003)
        assert not row.notes


def test_qkformer_runs_fewer_tokens_than_its_figures_take(tables: tuple[ModelTable, ...]) -> None:
    pruned = by_name(tables, "QK-10-768").rows[1:]
    assert [row.ops_g for row in pruned] == pytest.approx([10.12, 9.32, 7.09], abs=0.01)
    assert all(row.n_avg_run < row.n_avg_printed for row in pruned)
    assert all("does not follow from the tokens really kept" in row.notes[0] for row in pruned)
    assert "12.4% higher" in pruned[2].notes[0]


def test_sdt_v3_scales_with_the_printed_average(tables: tuple[ModelTable, ...]) -> None:
    for row in by_name(tables, "SDT-V3-19M").rows[1:]:
        assert row.ops_ratio < 0.97
        assert "the printed N_avg times the unpruned figure" in row.notes[1]
        assert "for embedding and head, not 3.90" in row.notes[2]


def test_the_first_convolution_is_counted_once(tables: tuple[ModelTable, ...]) -> None:
    """4.6 pJ for each of its MACs; at every timestep it alone would cost more than SDT-V1's whole embedding and head."""
    constant = by_name(tables, "SDT-V1-8-768").constant
    assert constant.first == pytest.approx(4.6e-9 * 3 * 96 * 9 * 224**2)
    assert constant.total == pytest.approx(10.26 - 0.9 * 9.04)
    assert constant.first < constant.total < constant.first_per_step
    assert constant.first + 0.9 * constant.rate * constant.dense_g == pytest.approx(constant.total)


def test_power_is_a_constant_and_the_blocks(tables: tuple[ModelTable, ...]) -> None:
    for table in tables:
        rests = [row.power_mj - 0.9 * row.ops_g for row in table.rows]
        assert rests == pytest.approx([table.constant.total] * len(rests))
        assert (table.rows[0].ops_ratio, table.rows[0].power_ratio) == pytest.approx((1, 1))


def consistent(table: ModelTable) -> PublishedModel:
    """The model as if it had printed what its schedules give."""
    rows = tuple(Published(r.published.schedule, round(r.ops_g, 2), round(r.power_mj, 2)) for r in table.rows)
    return replace(table.model, rows=rows)


@pytest.mark.parametrize("name", ["QK-10-768", "SDT-V3-19M"])
def test_a_consistent_table_has_no_notes(tables: tuple[ModelTable, ...], name: str) -> None:
    again = compute_model(consistent(by_name(tables, name)))
    assert [row.notes for row in again.rows] == [()] * 4


def test_a_figure_that_was_changed_is_noted(tables: tuple[ModelTable, ...]) -> None:
    good = consistent(by_name(tables, "SDT-V3-19M"))
    wrong = replace(good.rows[2], ops_g=good.rows[2].ops_g * 0.97, power_mj=good.rows[2].power_mj * 0.97)
    notes = compute_model(replace(good, rows=(*good.rows[:2], wrong))).rows[2].notes
    assert "% lower" in notes[0]
    assert "power" in notes[-1]


def test_the_command_writes_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    written = {kind: tmp_path / f"t.{kind}" for kind in ("json", "csv", "latex")}
    assert (
        main(["energy", "--table", "tp-spikformer", *(x for k, p in written.items() for x in (f"--{k}", str(p)))]) == 0
    )
    out = capsys.readouterr().out
    found = json.loads(written["json"].read_text())
    assert [len(model["rows"]) for model in found["models"]] == [4, 4, 4]
    rows = list(csv.DictReader(written["csv"].open()))
    assert [float(row["ops_g"]) for row in rows] == [row["ops_g"] for m in found["models"] for row in m["rows"]]
    assert_tabular(written["latex"].read_text())
    assert all(column in out for column in paper_report.COLUMNS)
    assert "Table 2" in out
    assert "Table 8" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--table", "nobody"], "unknown table 'nobody'"),
        (["spikformer-digits", "--table", "tp-spikformer"], "both a model and --table"),
        ([], "neither a model nor --table"),
        (["--table", "tp-spikformer", "--retention", "0.5"], "--retention"),
    ],
)
def test_a_bad_choice_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["energy", *words]) == 2
    assert message in capsys.readouterr().err


def test_an_unknown_table_names_the_known_ones() -> None:
    with pytest.raises(InputError) as error:
        read_table("table-2")
    assert error.value.hint == "known: tp-spikformer"
