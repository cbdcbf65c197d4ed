"""The tables of `pumice map`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pumice.compiler.mapping.comparison import Comparison, Row

COUNTS = ("method", "spike hops", "crossings", "busiest link", "messages", "cores", "chips")
COLUMNS = (*COUNTS, "seconds", "binding use", "but last")


def print_mapping(values: Mapping[str, Any], out: Console) -> None:
    """One mapping: its layers, then its figures. values: see `mapping_report.mapping_dict`."""
    out.print(_layer_table(values["layers"]))
    placed, use = values["placements"][values["method"]], values["utilisation"]
    out.print(f"\n{values['cores']:,} cores on {values['chips']:,} chip(s) of {values['chip']}, by {values['method']}")
    out.print(
        f"per sample: {placed['messages']:,.0f} messages between cores, {placed['spike_hops']:,.0f} links crossed by them, "
        f"{placed['crossings']:,.0f} of these between chips, {placed['max_link_load']:,.0f} over the busiest link"
    )
    shares = ", ".join(f"{name} {share:.1%}" for name, share in use.items() if not name.startswith("binding"))
    out.print(
        f"mean use of a core: {shares}; of its binding limit {use['binding']:.1%}, {use['binding_mean']:.1%}", end=" "
    )
    out.print("without cores that are last of a layer or of the network")
    _print_memory(values, out)
    out.print("seconds: " + ", ".join(f"{stage} {seconds:.2f}" for stage, seconds in values["seconds"].items()))


def _print_memory(values: Mapping[str, Any], out: Console) -> None:
    memory, unchecked = values["largest_core_memory"], values["unchecked_limits"]
    limit = memory["limit_words"]
    checked = f"of {limit:,}" if limit else f"unchecked: the memory of a core of {values['chip']} is not published"
    out.print(f"most weights on one core: {memory['words']:,} words of 64 bits, {memory['kib']:,.1f} KiB ({checked})")
    if unchecked:
        out.print(f"unpublished, so unchecked: {', '.join(unchecked)}")


def _layer_table(layers: Iterable[Mapping[str, Any]]) -> Table:
    table = Table("layer", box=None, pad_edge=False)
    for name in ("neurons", "cores", "words", "weights stored"):
        table.add_column(name, justify="right")
    table.add_column("formats")
    for layer in layers:
        times = "" if layer["replication"] is None else f"{layer['replication']:,.2f} times"
        numbers = (f"{layer[key]:,}" for key in ("neurons", "cores", "words"))
        table.add_row(layer["name"], *numbers, times, ", ".join(layer["formats"]))
    return table


def print_comparison(compared: Comparison, out: Console) -> None:
    """Every method, and below it the field's placements on the partition of Pumice. The last column: mean use of the binding
    limit without last cores, see `mapping.shares`."""
    out.print("\nevery method, figures per sample")
    out.print(_comparison_table(compared.rows, COLUMNS))
    _print_refusals(compared.rows, out)
    out.print("\nplacements of the field on the partition of pumice")
    out.print(_comparison_table(compared.ablation, COUNTS))
    _print_refusals(compared.ablation, out)


def _print_refusals(rows: Iterable[Row], out: Console) -> None:
    for row in rows:
        if row.refused is not None:
            out.print(f"{row.method}: {row.refused} — {row.refused.hint}", soft_wrap=True)


def _comparison_table(rows: Iterable[Row], columns: tuple[str, ...]) -> Table:
    table = Table(columns[0], box=None, pad_edge=False)
    for name in columns[1:]:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(row.method, *_cells(row)[: len(columns) - 1])
    return table


def _cells(row: Row) -> tuple[str, ...]:
    if row.mapped is None:
        return ("refused", *[""] * 5, f"{row.seconds:.2f}", "", "")
    score, mapping = row.mapped.score, row.mapped.mapping
    figures = (score.spike_hops, score.crossings, score.max_link_load, score.messages)
    cores = (f"{len(mapping.cores):,}", f"{mapping.chips:,}", f"{row.seconds:.2f}")
    use = (f"{row.shares[key]:.1%}" for key in ("binding", "binding_mean"))
    return (*(f"{value:,.0f}" for value in figures), *cores, *use)
