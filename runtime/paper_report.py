"""A paper's table beside ours, for people and as JSON, CSV and LaTeX; every column is explained."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import Any

from pumice.runtime.latex import tabular
from pumice.runtime.paper_data import PublishedTable
from pumice.runtime.paper_tables import ModelTable, TableRow

COLUMNS = (
    *("model", "schedule", "N_avg", "kept", "dense G", "fr*T"),
    *("OPs G", "printed", "ratio", "power mJ", "printed", "ratio"),
)
LEGEND = (
    "N_avg      mean of the schedule's printed ratios; kept: share of tokens that the official code keeps (it truncates k)",
    "dense G    10^9 multiply-accumulates of the transformer blocks per timestep on the tokens kept, from the architecture",
    "fr*T       firing rate times timesteps that the printed OPs take on that many operations (Eq. 25)",
    "OPs G      dense G times the unpruned row's fr*T: one rate for all blocks, and the same after pruning",
    "power mJ   the unpruned row's power without its blocks, plus 0.9 pJ per operation of the blocks (Eq. 24)",
    "ratio      ours over printed; the unpruned rows are 1 by construction",
)


def rows(tables: tuple[ModelTable, ...]) -> list[list[tuple[str, ...]]]:
    """The table's cells, a list of rows per model."""
    return [[_cells(table, row) for row in table.rows] for table in tables]


def _cells(table: ModelTable, row: TableRow) -> tuple[str, ...]:
    printed = row.published
    return (
        table.model.name,
        printed.schedule or "unpruned",
        f"{row.n_avg_printed:.4f}",
        f"{row.n_avg_run:.4f}",
        f"{row.dense_g:.3f}",
        f"{row.rate_needed:.3f}",
        *(f"{row.ops_g:.2f}", f"{printed.ops_g:.2f}", f"{row.ops_ratio:.3f}"),
        *(f"{row.power_mj:.2f}", f"{printed.power_mj:.2f}", f"{row.power_ratio:.3f}"),
    )


def notes(tables: tuple[ModelTable, ...]) -> list[str]:
    """Where the constants come from, and which printed figures do not follow."""
    lines = [_constant_line(table) for table in tables]
    for table in tables:
        for row in table.rows:
            lines += [f"{table.model.name}, {row.published.schedule}: {note}" for note in row.notes]
    return lines


def _constant_line(table: ModelTable) -> str:
    own, steps = table.constant, table.model.steps
    line = (
        f"{table.model.name}: {own.total:.2f} mJ are not the blocks'. {own.first:.3f} mJ is the first convolution's MACs, "
        f"4.6 pJ each, counted once; {own.rest:.2f} mJ is left for {own.dense_g:.2f} G MACs of the other convolutions and "
        f"the head, fr*T {own.rate:.3f}"
    )
    if own.first_per_step > own.total:
        line += f". Counted at each of {steps} timesteps the first alone were {own.first_per_step:.2f} mJ, more than there is"
    return line


def as_dict(table: PublishedTable, tables: tuple[ModelTable, ...]) -> dict[str, Any]:
    """Everything, in 10⁹ operations and mJ, with the sources of what was printed."""
    return {
        "title": table.title,
        "sources": dict(table.sources),
        "legend": list(LEGEND),
        "models": [
            {
                "name": each.model.name,
                "family": each.model.family,
                "config": dict(each.model.config),
                "config_source": each.model.config_source,
                "steps": each.model.steps,
                "rate": each.rate,
                "constant_mj": asdict(each.constant),
                "rows": [_row_dict(row) for row in each.rows],
            }
            for each in tables
        ],
    }


def _row_dict(row: TableRow) -> dict[str, Any]:
    own = {key: value for key, value in asdict(row).items() if key != "published"}
    ratios = {"ops_ratio": row.ops_ratio, "power_ratio": row.power_ratio}
    printed = {"schedule": row.published.schedule, "printed_ops_g": row.published.ops_g}
    return printed | {"printed_power_mj": row.published.power_mj} | own | ratios | {"notes": list(row.notes)}


def as_csv(tables: tuple[ModelTable, ...]) -> str:
    """A line per row with full precision; notes joined by semicolons."""
    lines = [{"model": table.model.name} | _row_dict(row) for table in tables for row in table.rows]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(line | {"notes": "; ".join(line["notes"])} for line in lines)
    return buffer.getvalue()


def as_latex(tables: tuple[ModelTable, ...]) -> str:
    """The table as a LaTeX `tabular`; needs no package."""
    return tabular("ll" + "r" * (len(COLUMNS) - 2), COLUMNS, rows(tables))
