"""Figures that papers printed, as data: one file per paper, and its rows as dataclasses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from pumice.errors import InputError
from pumice.hwsim.data_files import parse_toml


@dataclass(frozen=True)
class Published:
    """One printed row. schedule: a name of `models.schedules`, "" for the unpruned network. ops_g: OPs_block in 10⁹
    operations per image; power_mj: mJ per image."""

    schedule: str
    ops_g: float
    power_mj: float


@dataclass(frozen=True)
class PublishedModel:
    """One network of the table: official family and constructor arguments, and its rows, the unpruned one first.
    steps: T, how often the network sees its image."""

    name: str
    family: str
    steps: int
    config: Mapping[str, Any]
    config_source: str
    rows: tuple[Published, ...]


@dataclass(frozen=True)
class PublishedTable:
    """title, and where in the paper its figures, schedules and energy rule stand."""

    title: str
    sources: Mapping[str, str]
    models: tuple[PublishedModel, ...]


def table_names() -> list[str]:
    """The tables that Pumice ships."""
    found = files("pumice.runtime").joinpath("published").iterdir()
    return sorted(file.name.removesuffix(".toml") for file in found if file.name.endswith(".toml"))


def read_table(name: str) -> PublishedTable:
    """A shipped table's printed figures. Raises InputError for an unknown name."""
    if name not in table_names():
        raise InputError(f"unknown table {name!r}", f"known: {', '.join(table_names())}")
    text = files("pumice.runtime").joinpath("published").joinpath(f"{name}.toml").read_text()
    data = parse_toml(text)
    models = tuple(_model(entry) for entry in data["models"])
    return PublishedTable(data["title"], {key: data[key] for key in ("figures", "schedules", "energy")}, models)


def _model(entry: Mapping[str, Any]) -> PublishedModel:
    rows = tuple(Published(row.get("schedule", ""), row["ops_g"], row["power_mj"]) for row in entry["rows"])
    words = {key: entry[key] for key in ("name", "family", "steps", "config", "config_source")}
    return PublishedModel(**words, rows=rows)
