"""What the compiler did and what it made, as JSON-ready values and as numbers for tables."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.mapping.shares import mean_shares
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable
from pumice.hwsim.energy import energy_per_sample, load_profile, profile_names


def report_dict(program: Program) -> dict[str, Any]:
    """The compilation's report: every change of every pass, the mapping in figures, what no rule could check."""
    return {
        "changes": [{"by": c.by, "node": c.node, "text": c.text, "data": dict(c.data)} for c in program.graph.log],
        "chip": program.chip.name,
        "options": program.options.as_dict(),
        "cores": len(program.mapping.cores),
        "chips": program.mapping.chips,
        "latency_steps": latency_steps(program.graph),
        "interval_steps": program.graph.timesteps,
        "depth": latency_steps(program.graph) - program.graph.timesteps,
        "utilisation": core_utilisation(program),
        "unchecked_limits": list(program.chip.unchecked()),
    }


def core_utilisation(program: Program) -> dict[str, float]:
    """Mean share of each published core limit that is used, and of each core's binding one; see `mapping.shares.mean_shares`."""
    return mean_shares(program.mapping, network_of(program.graph, program.chip))


def synops_dict(counts: CountTable) -> dict[str, float]:
    """SynOps per sample by each definition (see hwsim.counters), and the multiply-accumulates beside them."""
    names = {"events": "synops", "events_weighted": "weighted", "eq25": "eq25", "dense": "dense", "macs": "macs"}
    return {key: counts.per_sample(field) for key, field in names.items()}


def energy_dict(counts: CountTable) -> dict[str, float | None]:
    """Nanojoules per sample by each profile; None where a needed number is unpublished."""
    return {name: energy_per_sample(counts, load_profile(name)).nj for name in profile_names()}


def synapse_density(program: Program) -> float:
    """Share of a program's weights that are not 0, that is, that are synapses; each stored weight once."""
    weights = [n.weight for n in program.graph.nodes.values() if isinstance(n, i.Synapse)]
    return sum(int(np.count_nonzero(w)) for w in weights) / max(sum(w.size for w in weights), 1)


def mask_nodes(program: Program) -> list[i.MaskSource]:
    """The program's mask sources, by block."""
    found = [n for n in program.graph.nodes.values() if isinstance(n, i.MaskSource)]
    return sorted(found, key=lambda n: n.block)
