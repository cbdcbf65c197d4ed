"""A point's values that follow from its program and its counts."""

from __future__ import annotations

from typing import Any

from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable
from pumice.hwsim.energy import profile_names
from pumice.runtime.latency_report import latency_dict
from pumice.runtime.report import energy_dict, synops_dict


def size_facts(program: Program) -> dict[str, Any]:
    """What a program takes of its chip, and how many timesteps."""
    return {
        "cores": len(program.mapping.cores),
        "chips": program.mapping.chips,
        "latency_steps": latency_steps(program.graph),
        "interval_steps": program.graph.timesteps,
    }


def count_facts(program: Program, counts: CountTable | None) -> dict[str, Any]:
    """Counts per sample, energy and modelled latency by every profile; {} where the backend does not count."""
    if counts is None:
        return {}
    synops = {"macs" if name == "macs" else f"synops_{name}": value for name, value in synops_dict(counts).items()}
    sent = {name: counts.per_sample(name) for name in ("spikes", "messages")}
    hops = sum(counts.per_sample(name) for name in ("hops_ew", "hops_ns", "hops_chip"))
    energy, times = energy_dict(counts), latency_dict(program, counts)
    priced = {f"energy_nj_{name}": energy[name] for name in profile_names()}
    timed = {
        f"{what}_{name}": times[name][what] for what in ("latency_us", "us_per_sample") for name in profile_names()
    }
    return synops | sent | {"hops": hops} | priced | timed
