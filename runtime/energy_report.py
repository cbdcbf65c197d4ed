"""A model's profile as the tables that papers print: MACs, ACs and SynOps per layer, energy by the 45 nm convention.

A profile counts operations, not neurons, messages or hops: only a compiled program has those, so only `horowitz45` prices
a profile. `events` energy is 4.6 pJ per multiply-accumulate and 0.9 pJ per accumulate that really happened. `eq24` energy is
TP-Spikformer's Eq. 24: the first layer's dense MACs as often as it ran, everything else by Eq. 25.
"""

from __future__ import annotations

import csv
import io
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from pumice.hwsim.energy import load_profile
from pumice.runtime.latex import tabular

if TYPE_CHECKING:
    from pumice.models.profiling.profiler import LayerProfile, NeuroBench, Profile

COLUMNS = (
    *("layer", "kind", "runs", "input rate", "weights"),
    *("MACs", "ACs", "events weighted", "eq25", "dense", "energy nJ"),
)


def energy_dict(profile: Profile) -> dict[str, Any]:
    """Totals per sample, NeuroBench's names beside ours, and every layer; energies in nanojoules.

    `attention` is the part of `synops` that products of activations have: the official scripts count layers alone.
    """
    products = replace(profile, layers=tuple(layer for layer in profile.layers if layer.runs is None))
    macs, acs = profile.total("events", spike_valued=False), profile.total("events", spike_valued=True)
    return {
        "samples": profile.samples,
        "macs": macs,
        "synops": _synops(profile),
        "attention": _synops(products),
        "energy_nj": {"horowitz45": {"events": events_energy(macs, acs), "eq24": eq24_energy(profile)}},
        "neurobench": neurobench_dict(profile.neurobench),
        "timesteps": profile.steps,
        "uncounted": dict(profile.uncounted),
        "parameters": profile.parameters,
        "layers": [layer_dict(layer, profile.steps) for layer in profile.layers],
        "activations": [asdict(layer) for layer in profile.activations],
    }


def _synops(profile: Profile) -> dict[str, float]:
    """Of layers with spikes as their input, by each definition; dense: of all layers."""
    names = ("events", "events_weighted", "eq25")
    return {name: profile.total(name, spike_valued=True) for name in names} | {"dense": profile.total("dense")}


def layer_dict(layer: LayerProfile, steps: int | None) -> dict[str, Any]:
    """One layer's fields, its energy, and how often it was counted."""
    return asdict(layer) | {"energy_nj": layer_energy(layer), "counted": counted(layer, steps)}


def neurobench_dict(metrics: NeuroBench) -> dict[str, float | None]:
    """NeuroBench's metrics under the names that its harness prints."""
    return {
        "Effective_MACs": metrics.effective_macs,
        "Effective_ACs": metrics.effective_acs,
        "Dense": metrics.dense,
        "Footprint": metrics.footprint_bytes,
        "ConnectionSparsity": metrics.connection_sparsity,
        "ActivationSparsity": metrics.activation_sparsity,
    }


def counted(layer: LayerProfile, steps: int | None) -> str:
    """How often per sample a layer ran, and so was counted; "" for products of activations. steps: T, where it is known."""
    if layer.runs is None:
        return ""
    if layer.runs == 1:
        return "once per sample"
    return "once per timestep" if layer.runs == steps else f"{layer.runs:,g} times per sample"


def notes(profile: Profile) -> list[str]:
    """What a reader of the table has to know: how often real-valued layers ran, what is not counted, how sparse it is."""
    lines = [
        f"{layer.name}: real-valued input, MACs; ran and is counted {counted(layer, profile.steps)}"
        for layer in profile.layers
        if not layer.spike_valued and layer.runs is not None
    ]
    once = [layer for layer in profile.layers if not layer.spike_valued and layer.runs == 1]
    if profile.steps and profile.steps > 1 and once:
        lines.append(f"a layer that is counted once would cost {profile.steps} times as much if run at every timestep")
    lines += [f"not counted: {what}, {calls} calls" for what, calls in profile.uncounted]
    sparsity = profile.neurobench.activation_sparsity
    if sparsity is not None:
        lines.append(f"activation sparsity {sparsity:.2%}, over {len(profile.activations)} activation layers")
    return lines


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
    return [*body, ("total", "", "", "", "", f"{macs:,.0f}", f"{acs:,.0f}", *sums, f"{events_energy(macs, acs):,.2f}")]


def _row(layer: LayerProfile) -> tuple[str, ...]:
    macs, acs = ("0", f"{layer.events:,.0f}") if layer.spike_valued else (f"{layer.events:,.0f}", "0")
    counts = (f"{layer.events_weighted:,.0f}", f"{layer.eq25:,.0f}", f"{layer.dense:,.0f}")
    shares = (f"{layer.rate:.2%}", f"{layer.density:.1%}")
    runs = "" if layer.runs is None else f"{layer.runs:,g}"
    return (layer.name, layer.kind, runs, *shares, macs, acs, *counts, f"{layer_energy(layer):,.2f}")


def as_csv(profile: Profile) -> str:
    """Every layer with full precision; the columns are the fields of `LayerProfile`, `energy_nj` and `counted`."""
    layers = [layer_dict(layer, profile.steps) for layer in profile.layers]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fieldnames=list(layers[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(layers)
    return buffer.getvalue()


def as_latex(profile: Profile) -> str:
    """The table as a LaTeX `tabular`; needs no package."""
    *body, total = rows(profile)
    return tabular("ll" + "r" * (len(COLUMNS) - 2), COLUMNS, (body, [total]))
