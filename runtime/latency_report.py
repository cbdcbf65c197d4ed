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
