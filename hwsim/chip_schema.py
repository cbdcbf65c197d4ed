"""What a chip file must say: every rule is checked, and every violation named with field, value and what is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

MAY_BE_ZERO = ("graded_bits", "bias_exponent_bits", "max_delay", "crossing_axon_entries")
AT_MOST = {"weight_bits": 8, "threshold_bits": 17}  # wider numbers have no meaning in `hwsim.arith`
FORMAT = ("synapse_prefix_bits", "synapses_per_entry", "index_bits_min", "index_bits_max")  # one means nothing alone
# not checked where there is no format
OF_FORMAT = ("words_per_axon", "shared_axon_positions", "shared_axon_channels", "synapse_configs")


def chip_problems(table: Mapping[str, Any], wanted: Mapping[str, bool]) -> list[str]:
    """Every violation of a parsed chip file. wanted: its fields, and whether each may be null."""
    found = [*_unknown(table, wanted), *_name(table)]
    for field, may_be_null in wanted.items():
        found += _entry(table, field, may_be_null)
    return [*found, *_together(numbers(table, wanted))]


def numbers(table: Mapping[str, Any], wanted: Mapping[str, bool]) -> dict[str, int]:
    """The fields whose value is a whole number."""
    values = {field: table[field].get("value") for field in wanted if isinstance(table.get(field), Mapping)}
    return {field: value for field, value in values.items() if _whole(value)}


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _unknown(table: Mapping[str, Any], wanted: Mapping[str, bool]) -> Iterator[str]:
    for field in sorted(set(table) - set(wanted) - {"name"}):
        near = get_close_matches(field, wanted, 1)
        yield f"unknown entry {field!r}" + (f", did you mean {near[0]!r}?" if near else "")


def _name(table: Mapping[str, Any]) -> Iterator[str]:
    name = table.get("name", "unnamed")
    if not isinstance(name, str) or not name:
        yield f"name = {name!r}: need some text"


def _entry(table: Mapping[str, Any], field: str, may_be_null: bool) -> Iterator[str]:
    if field not in table:
        yield f'{field} is missing: write {field} = {{ value = …, source = "…" }}'
        return
    entry = table[field]
    if not isinstance(entry, Mapping):
        yield f'{field} = {entry!r} has no source: write {field} = {{ value = {entry!r}, source = "…" }}'
        return
    if not isinstance(entry.get("source"), str) or not entry["source"].strip():
        yield f"{field} has no source: say where its number comes from"
    for key in sorted(set(entry) - {"value", "source"}):
        yield f"{field}: unknown key {key!r}, only value and source are known"
    yield from _number(field, entry.get("value"), may_be_null)


def _number(field: str, value: object, may_be_null: bool) -> Iterator[str]:
    least, most = int(field not in MAY_BE_ZERO), AT_MOST.get(field)
    if value is None and may_be_null:
        return
    needed = f"a whole number from {least} to {most}" if most else f"a whole number >= {least}"
    if value is None:
        yield f"{field} has no value: need {needed}"
    elif not isinstance(value, int) or not _whole(value) or value < least or (most is not None and value > most):
        yield f"{field} = {value!r}: need {needed}"


def _together(values: Mapping[str, int]) -> Iterator[str]:
    """What numbers must be to each other."""
    yield from _mesh(values)
    low, high = values.get("index_bits_min"), values.get("index_bits_max")
    if low is not None and high is not None and low > high:
        yield f"index_bits_min = {low}: need at most index_bits_max = {high}"
    missing = [field for field in FORMAT if field not in values]
    given = [field for field in FORMAT if field in values]
    if given and missing:
        yield f"{', '.join(given)} without {', '.join(missing)}: the synapse format needs all four, or none"
    elif missing:
        for field in OF_FORMAT:
            if field in values:
                yield f"{field} = {values[field]} cannot be checked without {', '.join(FORMAT)}"


def _mesh(values: Mapping[str, int]) -> Iterator[str]:
    sides = ("mesh_columns", "mesh_rows", "cores_per_tile")
    if not {*sides, "usable_cores_per_chip"} <= set(values):
        return
    columns, rows, cores = (values[side] for side in sides)
    if columns * rows * cores < values["usable_cores_per_chip"]:
        usable = values["usable_cores_per_chip"]
        yield (
            f"usable_cores_per_chip = {usable}: need a mesh for them; mesh_columns × mesh_rows × cores_per_tile = "
            f"{columns * rows * cores}"
        )
