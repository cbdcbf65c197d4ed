"""Energy from counts: counts times a profile. A number that nobody published is null, and stays unknown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pumice.errors import InputError
from pumice.hwsim.counters import CountRow, CountTable, Floats
from pumice.hwsim.data_files import parse_toml, shipped_names, shipped_text


@dataclass(frozen=True)
class EnergyProfile:
    """Picojoules per counted thing. A term that a profile does not have is 0 by its own convention and says so in its
    source; a term that is unpublished is None."""

    name: str
    title: str
    mac: float | None
    synop_dense: float | None
    synop_conv: float | None
    synop_attention: float | None
    neuron_active: float | None
    neuron_idle: float | None
    spike: float | None
    message: float | None
    hop_ew: float | None
    hop_ns: float | None
    hop_chip: float | None
    sources: Mapping[str, str]


TERMS = (
    "mac",
    "synop_dense",
    "synop_conv",
    "synop_attention",
    "neuron_active",
    "neuron_idle",
    "spike",
    "message",
    "hop_ew",
    "hop_ns",
    "hop_chip",
)


def profile_names() -> list[str]:
    """The profiles that Pumice ships."""
    return shipped_names("profiles")


def check_profile(name: str) -> None:
    """Raises InputError for a name that no shipped profile has."""
    if name not in profile_names():
        raise InputError(f"unknown energy profile {name!r}", f"known: {', '.join(profile_names())}")


def load_profile(name: str) -> EnergyProfile:
    """A shipped profile. Raises InputError for an unknown name."""
    check_profile(name)
    table = parse_toml(shipped_text("profiles", name))
    terms = {term: table[term].get("pj") for term in TERMS}
    sources = {term: str(table[term]["source"]) for term in TERMS}
    return EnergyProfile(name=name, title=str(table["title"]), sources=sources, **terms)


def step_amounts(row: CountRow) -> dict[str, Floats]:
    """What of one row each term of a profile multiplies, per timestep [T]. Of neurons on a core that is asleep no term: a core
    without work neither reads nor updates them."""
    none = np.zeros_like(row.synops)
    return {
        "mac": row.macs,
        "synop_dense": row.synops if row.synapse_kind == "dense" else none,
        "synop_conv": row.synops if row.synapse_kind == "conv" else none,
        "synop_attention": row.synops if row.synapse_kind == "attention" else none,
        "neuron_active": row.active,
        "neuron_idle": row.idle + row.gated,
        "spike": row.spikes,
        "message": row.messages,
        "hop_ew": row.hops_ew,
        "hop_ns": row.hops_ns,
        "hop_chip": row.hops_chip,
    }


def amounts(row: CountRow) -> dict[str, float]:
    """What of one row each term of a profile multiplies, over all timesteps."""
    return {term: float(steps.sum()) for term, steps in step_amounts(row).items()}


def row_energy_nj(row: CountRow, profile: EnergyProfile) -> tuple[float, tuple[str, ...]]:
    """Nanojoules of one row, and the terms that were needed but unpublished (their energy is not in the sum)."""
    total, unknown = 0.0, []
    for term, amount in amounts(row).items():
        price = getattr(profile, term)
        if price is None and amount:
            unknown.append(term)
        total += amount * (price or 0.0) / 1000
    return total, tuple(unknown)


@dataclass(frozen=True)
class Energy:
    """nj: nanojoules per sample, or None where a needed term is unpublished. by_layer: the same, per neuron group."""

    profile: str
    nj: float | None
    by_layer: Mapping[str, float]
    unknown: tuple[str, ...]


def energy_per_sample(table: CountTable, profile: EnergyProfile) -> Energy:
    """Energy per sample of a run."""
    by_layer: dict[str, float] = {}
    unknown: set[str] = set()
    for row in table.rows:
        nj, missing = row_energy_nj(row, profile)
        by_layer[row.layer] = by_layer.get(row.layer, 0.0) + nj / table.samples
        unknown |= set(missing)
    return Energy(profile.name, None if unknown else sum(by_layer.values()), by_layer, tuple(sorted(unknown)))
