"""A model's profile as the tables that papers print: MACs, ACs and SynOps per layer, energy by the 45 nm convention.

A profile counts operations, not neurons, messages or hops: only a compiled program has those, so only `horowitz45` prices
a profile. `events` energy is 4.6 pJ per multiply-accumulate and 0.9 pJ per accumulate that really happened. `eq24` energy is
TP-Spikformer's Eq. 24: the first layer's dense MACs once, everything else by Eq. 25.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pumice.hwsim.energy import load_profile

if TYPE_CHECKING:
    from pumice.models.profiling import LayerProfile, Profile

COLUMNS = ("layer", "kind", "input rate", "weights", "MACs", "ACs", "events weighted", "eq25", "dense", "energy nJ")


def energy_dict(profile: Profile) -> dict[str, Any]:
    """Totals per sample, NeuroBench's names beside ours, and every layer; energies in nanojoules."""
    macs, acs = profile.total("events", spike_valued=False), profile.total("events", spike_valued=True)
    binary = sum(layer.events for layer in profile.layers if layer.binary)
    return {
        "samples": profile.samples,
        "macs": macs,
        "synops": {
            "events": acs,
            "events_weighted": profile.total("events_weighted", spike_valued=True),
            "eq25": profile.total("eq25", spike_valued=True),
            "dense": profile.total("dense"),
        },
        "energy_nj": {"horowitz45": {"events": events_energy(macs, acs), "eq24": eq24_energy(profile)}},
        "neurobench": {
            "Effective_MACs": profile.total("events") - binary,
            "Effective_ACs": binary,
            "Dense": profile.total("dense"),
            "footprint": profile.footprint_bytes,
            "connection_sparsity": profile.connection_sparsity,
        },
        "parameters": profile.parameters,
        "layers": [asdict(layer) | {"energy_nj": layer_energy(layer)} for layer in profile.layers],
    }


def events_energy(macs: float, acs: float) -> float:
    """Nanojoules of counted operations."""
    prices = load_profile("horowitz45")
    assert prices.mac is not None
    assert prices.synop_dense is not None
    return (macs * prices.mac + acs * prices.synop_dense) / 1000


def layer_energy(layer: LayerProfile) -> float:
    """Nanojoules of one layer's operations per sample."""
    return events_energy(0.0, layer.events) if layer.spike_valued else events_energy(layer.events, 0.0)


def eq24_energy(profile: Profile) -> float:
    """Nanojoules by Eq. 24: the first layer's dense MACs, counted as often as it ran, and Eq. 25 for all others."""
    first, *others = profile.layers
    return events_energy(first.dense, sum(layer.eq25 for layer in others))


def rows(profile: Profile) -> list[tuple[str, ...]]:
    """The table's cells, a row per layer and a last one with the totals."""
    body = [_row(layer) for layer in profile.layers]
    macs, acs = profile.total("events", spike_valued=False), profile.total("events", spike_valued=True)
    sums = [f"{profile.total(name):,.0f}" for name in ("events_weighted", "eq25", "dense")]
    return [*body, ("total", "", "", "", f"{macs:,.0f}", f"{acs:,.0f}", *sums, f"{events_energy(macs, acs):,.2f}")]


def _row(layer: LayerProfile) -> tuple[str, ...]:
    macs, acs = ("0", f"{layer.events:,.0f}") if layer.spike_valued else (f"{layer.events:,.0f}", "0")
    counts = (f"{layer.events_weighted:,.0f}", f"{layer.eq25:,.0f}", f"{layer.dense:,.0f}")
    shares = (f"{layer.rate:.2%}", f"{layer.density:.1%}")
    return (layer.name, layer.kind, *shares, macs, acs, *counts, f"{layer_energy(layer):,.2f}")


def as_csv(profile: Profile) -> str:
    """Every layer with full precision; the columns are the fields of `LayerProfile` and `energy_nj`."""
    layers = [asdict(layer) | {"energy_nj": layer_energy(layer)} for layer in profile.layers]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(layers[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(layers)
    return buffer.getvalue()


def as_latex(profile: Profile) -> str:
    """The table as a LaTeX `tabular`; needs no package."""
    lines = [r"\begin{tabular}{ll" + "r" * (len(COLUMNS) - 2) + "}", r"\hline", _latex_line(COLUMNS), r"\hline"]
    *body, total = rows(profile)
    lines += [_latex_line(row) for row in body] + [r"\hline", _latex_line(total), r"\hline", r"\end{tabular}"]
    return "\n".join(lines) + "\n"


def _latex_line(cells: tuple[str, ...]) -> str:
    escaped = (cell.replace("%", r"\%").replace("_", r"\_").replace("&", r"\&") for cell in cells)
    return " & ".join(escaped) + r" \\"
