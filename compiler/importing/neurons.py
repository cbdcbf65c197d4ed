"""NIR's six neurons, in discrete time, as a reading means them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.nodes import Site
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.repairs import fitted, note
from pumice.compiler.ir import Change, Node
from pumice.errors import InputError

FRACTION = 64
ROUNDING = 1e-6  # float32 keeps r = tau / dt, and with it r dt / tau = 1, no better than this
NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)

Read = tuple[Node, list[Change]]


def read_neuron(node: Any, reading: Reading, site: Site) -> Read:
    """The float node of a NIR neuron. Raises InputError for a time constant below dt."""
    changes: list[Change] = []
    value = {
        field: fitted(getattr(node, field), site, field, changes) for field in vars(node) if _is_parameter(node, field)
    }
    current = None
    if isinstance(node, nir.CubaLI | nir.CubaLIF):
        rest = value["v_leak"] if reading.leaky_current else np.zeros_like(value["v_leak"])
        way_in = _gain(reading, "w_in", value["w_in"], first=True)
        current = _leaky("tau_syn", value["tau_syn"], way_in, rest, reading, site, changes)
        current = replace(current, start=rest if reading.start == "v_leak" else current.start)
    membrane = replace(_membrane(node, value, reading, site, changes), start=_start(value, reading))
    firing = _firing(value, reading, site, changes, leaky="tau" in value or "tau_mem" in value)
    simple = _as_lif(value, reading, firing, membrane) if isinstance(node, nir.LIF) else None
    if simple is not None:
        return f.Lif(site.name, site.inputs, site.out(), site.name, *simple), changes
    return g.Neuron(site.name, site.inputs, site.out(), site.name, membrane, current, firing), changes


def _start(value: Mapping[str, g.Floats], reading: Reading) -> g.Floats:
    """v before the first step; 0 where the neuron has no such parameter."""
    return value.get(reading.start, np.zeros_like(value["r"]))


def _is_parameter(node: Any, field: str) -> bool:
    return field not in ("metadata", "input_type", "output_type") and getattr(node, field) is not None


def _membrane(node: Any, value: Mapping[str, g.Floats], r: Reading, site: Site, changes: list[Change]) -> g.Leak:
    resistance = value["r"]
    if isinstance(node, nir.I | nir.IF):
        gain = _snapped(r.dt * resistance, "dt · r", site, changes) if r.if_gain == "ode" else np.ones_like(resistance)
        if r.if_gain == "one" and np.any(resistance != 1):
            changes.append(note(site, f"r = {_range(resistance)} is not read: v += x"))
        nothing = np.zeros_like(resistance)
        return g.Leak(np.ones_like(resistance), gain, nothing, nothing)
    kind = "tau_mem" if "tau_mem" in value else "tau"
    way_in = _gain(r, "r", resistance, first=kind == "tau")
    return _leaky(kind, value[kind], way_in, value["v_leak"], r, site, changes)


def _gain(r: Reading, field: str, factor: g.Floats, first: bool) -> tuple[str, str, g.Floats]:
    """(what the reading makes of the gain at this state, the parameter's name, its values). first: whether the input comes in
    here, and not at a current before it."""
    kind: str = r.gain
    if kind == "leak" and not (first and field == "r"):
        kind = "ode"
    if kind == "decayed" and not first:
        kind = "one"
    return kind, field, factor


def _leaky(
    field: str,
    tau: g.Floats,
    gain: tuple[str, str, g.Floats],
    rest: g.Floats,
    r: Reading,
    site: Site,
    changes: list[Change],
) -> g.Leak:
    steps = tau / r.dt
    if np.any(steps < 1 - ROUNDING):
        shortest = float(tau.min())
        raise InputError(
            f"node {site.name!r}: {field} = {shortest:g} s is shorter than a timestep, dt = {r.dt:g} s",
            f"the nearest that a step can follow is {r.dt:g} s; or give --dt, at most {shortest:g}",
        )
    leak: g.Floats = np.minimum(1.0, 1 / steps) if r.decay == "euler" else -np.expm1(-1 / steps)
    kind, name, factor = gain
    if kind == "ode":
        scale = _snapped(leak * factor, f"{name} · dt / {field}", site, changes)
    else:
        scale = {"one": np.ones_like(leak), "leak": leak, "decayed": 1 - leak}[kind]
        if np.any(factor != 1):
            changes.append(note(site, f"{name} = {_range(factor)} is not read: input gain {kind!r}"))
    return g.Leak(_binary(1 - leak), scale, leak * rest, np.zeros_like(leak))


def _binary(keep: g.Floats) -> g.Floats:
    """Decays that miss a short binary fraction (a half, three quarters) by no more than the file's rounding, as that fraction:
    the framework's own is exact there, and only then are exact ties kept."""
    near = np.rint(keep * FRACTION) / FRACTION
    close = (np.abs(keep - near) <= ROUNDING / 10) & (near > 0) & (near < 1)  # a leak is never nothing, nor all
    return np.where(close, near, keep)


def _snapped(gain: g.Floats, what: str, site: Site, changes: list[Change]) -> g.Floats:
    """1 where a gain misses it by no more than the file's rounding: only then are exact ties kept."""
    near = (np.abs(gain - 1) <= ROUNDING) & (gain != 1)
    if not near.any():
        return gain
    worst = float(gain[near].ravel()[np.abs(gain[near] - 1).argmax()])
    if abs(worst - 1) > 1e-12:
        changes.append(note(site, f"repaired: {what} = {worst:.8f} taken for 1", repaired=True))
    return np.where(near, 1.0, gain)


def _firing(
    value: Mapping[str, g.Floats], r: Reading, site: Site, changes: list[Change], leaky: bool
) -> g.Firing | None:
    if "v_threshold" not in value:
        return None
    threshold = value["v_threshold"]
    if r.spikes == "many" and np.any(threshold <= 0):
        raise InputError(
            f"node {site.name!r}: threshold {float(threshold.min()):g} with several spikes a step",
            "thresholds must be above 0",
        )
    said = value.get("v_reset", np.zeros_like(threshold))
    if not r.v_reset and np.any(said != 0) and r.reset == "zero":
        changes.append(note(site, f"v_reset = {_range(said)} is not read: reset to 0"))
    v_reset = said if r.v_reset else np.zeros_like(threshold)
    low = None
    if r.floor == "zero" and leaky:
        low = np.zeros_like(threshold)
    elif r.floor == "threshold" and not leaky:
        low = -threshold
    return g.Firing(threshold, r.comparator, r.reset, r.reset_at, v_reset, r.spikes, low)


def _as_lif(
    value: Mapping[str, g.Floats], r: Reading, firing: g.Firing | None, membrane: g.Leak
) -> tuple[float, float, Any] | None:
    """(tau in timesteps, threshold, comparator) where a neuron is the plain LIF that the compiler lowers, else None."""
    if firing is None or firing.reset != "zero" or firing.spikes != "one" or firing.low is not None:
        return None
    plain = not any(np.any(a) for a in (firing.v_reset, membrane.offset, membrane.start))
    same_gain = r.decay == "euler" and (r.gain == "leak" or (r.gain == "ode" and bool(np.all(value["r"] == 1))))
    uniform = all(np.ptp(value[field]) == 0 for field in ("tau", "v_threshold")) if value["tau"].size else False
    if not (plain and same_gain and uniform):
        return None
    return float(value["tau"].flat[0]) / r.dt, float(value["v_threshold"].flat[0]), r.comparator


def _range(values: g.Floats) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} … {high:g}"
