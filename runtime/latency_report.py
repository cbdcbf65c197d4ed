"""The latency model of a run, bound to its program: which steps, links, tiles and chips its counts stand for."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.compiler.mapping.mesh import places_of
from pumice.compiler.passes.balance_delays import depths, latency_steps
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable
from pumice.hwsim.energy import profile_names
from pumice.hwsim.latency import Latency, Mesh, latency
from pumice.hwsim.times import Times, load_times
from pumice.runtime.links import busiest_links
from pumice.runtime.report import energy_dict


def run_latency(program: Program, counts: CountTable, times: Times) -> Latency:
    """How long the steps of a run take by a profile."""
    return latency(counts, times, mesh_of(program, counts))


def mesh_of(program: Program, counts: CountTable) -> Mesh:
    """What the latency model has to know about a program, for the flows of a run of it."""
    sites = program.mapping.sites
    hops = places_of(sites, program.chip).hops(counts.flows.source, counts.flows.target)
    tiles = len({(site.chip, site.x, site.y) for site in sites})
    return Mesh(depths(program.graph), *hops, tiles, program.mapping.chips)


def latency_dict(program: Program, counts: CountTable) -> dict[str, dict[str, Any]]:
    """The latency model by each profile, as JSON-ready values; None where a needed number is unpublished.

    step_ns: of a timestep, mean and longest. us_per_sample, samples_per_second: when samples follow every T steps. latency_us:
    from a sample's first frame to its read-out. parts_ns: the mean step's slowest core, longest way and barrier. slowest: the
    core that takes longest in any step, what of it is what, and which layers."""
    found = ((name, run_latency(program, counts, load_times(name))) for name in profile_names())
    return {name: _as_dict(model, program) for name, model in found}


def run_facts(program: Program, counts: CountTable) -> dict[str, Any]:
    """What a run did and what the profiles make of it, per sample, as JSON-ready values."""
    counted = ("events", "synops", "macs", "spikes", "messages", "hops_ew", "hops_ns", "hops_chip")
    return {
        **{name: counts.per_sample(name) for name in counted},
        "energy_nj": energy_dict(counts),
        "latency_model": latency_dict(program, counts),
        "busiest_links": [link.as_dict() for link in busiest_links(program, counts)],
    }


def _as_dict(model: Latency, program: Program) -> dict[str, Any]:
    steps, slowest = model.step_ns, model.slowest
    sample = None if steps is None else float(steps.sum()) / 1000
    parts = {"slowest_core": model.core_ns, "longest_way": model.hops_ns, "barrier": model.barrier_ns}
    return {
        "step_ns": None if steps is None else {"mean": float(steps.mean()), "max": float(steps.max())},
        "us_per_sample": sample,
        "samples_per_second": None if sample is None else 1e6 / sample,
        "latency_us": None if steps is None else float(steps.mean()) * latency_steps(program.graph) / 1000,
        "parts_ns": {name: None if part is None else float(np.mean(part)) for name, part in parts.items()},
        "slowest": None if slowest is None else slowest.as_dict(),
        "unknown": list(model.unknown),
    }


def latency_text(report: dict[str, Any]) -> str:
    """One profile's report in a line: a step, a sample, and what takes longest."""
    step, slowest = report["step_ns"], report["slowest"]
    if step is None and slowest is None:
        return "unknown: the profile has no times"
    if step is None:
        return f"unknown: {', '.join(report['unknown'])} unpublished; {_slowest_text(slowest)}"
    known = f"{step['mean'] / 1000:,.2f} µs a step, {report['us_per_sample']:,.1f} µs a sample"
    return f"{known}, first answer after {report['latency_us']:,.1f} µs; {_slowest_text(slowest)}"


def _slowest_text(slowest: dict[str, Any]) -> str:
    shares = (
        ", ".join(f"{ns / slowest['ns']:.0%} {part}" for part, ns in slowest["parts"].items())
        if slowest["ns"]
        else "idle"
    )
    layer = max(slowest["layers"], key=slowest["layers"].__getitem__)
    return f"slowest core {slowest['core']} ({layer}) {slowest['ns'] / 1000:,.2f} µs: {shares}"
