"""A latency model: how long a timestep of a run takes, from its counts and a profile's published times. Semi-analytical.

A core does one thing after the other. A step lasts as long as its slowest core, then the longest way of the step's messages, then
the barrier. Samples follow each other without a gap, so all layers work at every step, each at a timestep of its own. Left out:
queues, contention on links and routers, overlap of work and messages, the host. A core's work is the mean over a run's samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.counters import CountTable, Floats
from pumice.hwsim.energy import step_amounts
from pumice.hwsim.times import Times

PARTS = ("synapses", "neurons", "messages")
PART_OF = {
    "mac": 0,
    "synop_dense": 0,
    "synop_conv": 0,
    "synop_attention": 0,
    "neuron_active": 1,
    "neuron_idle": 1,
    "spike": 1,
    "message_in": 2,
}


@dataclass(frozen=True, eq=False)
class Mesh:
    """What a program's mapping says about time. depth: per layer, steps by which it trails the input. hops_ew, hops_ns, hops_chip
    [F]: links that each of a run's flows crosses. tiles, chips: in use."""

    depth: Mapping[str, int]
    hops_ew: NDArray[np.int64]
    hops_ns: NDArray[np.int64]
    hops_chip: NDArray[np.int64]
    tiles: int
    chips: int


@dataclass(frozen=True)
class Slowest:
    """The core that takes longest, and at which of the T steps: nanoseconds in all, by part, and by layer on it."""

    core: int
    step: int
    ns: float
    parts: Mapping[str, float]
    layers: Mapping[str, float]

    def as_dict(self) -> dict[str, Any]:
        """The core as JSON-ready values."""
        return dict(vars(self))


@dataclass(frozen=True, eq=False)
class Latency:
    """Nanoseconds per step [T] of the pipeline: core_ns of its slowest core, hops_ns of its longest way, barrier_ns. Each is None
    where a term that it needed is unpublished; `unknown` names those."""

    profile: str
    core_ns: Floats | None
    hops_ns: Floats | None
    barrier_ns: float | None
    slowest: Slowest | None
    unknown: tuple[str, ...]

    @cached_property
    def step_ns(self) -> Floats | None:
        """How long each step takes [T], None where something of it is unknown."""
        if self.core_ns is None or self.hops_ns is None or self.barrier_ns is None:
            return None
        return np.asarray(self.core_ns + self.hops_ns + self.barrier_ns)


def latency(table: CountTable, times: Times, mesh: Mesh) -> Latency:
    """The latency model of a run on a mesh."""
    work, short = _work(table, times, mesh.depth)
    hops, missing = _longest_way(table, times, mesh)
    barrier = times.barrier_ns(mesh.tiles, mesh.chips)
    unknown = {*short, *missing, *(("barrier",) if barrier is None else ())}
    per_core = _by_core(work, table)
    core = None if short or not len(per_core) else per_core.sum(axis=1).max(axis=0)
    slowest = None if core is None else _slowest(work, per_core, table)
    return Latency(times.name, core, hops, barrier, slowest, tuple(sorted(unknown)))


def _work(table: CountTable, times: Times, depth: Mapping[str, int]) -> tuple[Floats, set[str]]:
    """Nanoseconds of each row, part and step of the pipeline [rows, 3, T], a mean over samples, and the unpublished terms."""
    work, unknown = np.zeros((len(table.rows), len(PARTS), table.timesteps)), set[str]()
    for row, spent in zip(table.rows, work, strict=True):
        amounts = step_amounts(row)
        amounts["message_in"] = amounts["message"]
        for term, part in PART_OF.items():
            unknown |= _missing(times, term, amounts[term])
            spent[part] += np.roll(amounts[term], depth[row.layer]) * (times.ns[term] or 0.0)
    unknown |= _missing(times, "message", table.flows.messages)
    np.add.at(work[:, PARTS.index("messages")], *_sent(table, times, depth))
    return work / table.samples, unknown


def _missing(times: Times, term: str, amount: Floats) -> set[str]:
    return {term} if times.ns[term] is None and amount.any() else set()


def _sent(table: CountTable, times: Times, depth: Mapping[str, int]) -> tuple[list[int], Floats]:
    """The rows whose neurons send the flows [F], and the nanoseconds that it takes them [F, T]."""
    rows: dict[tuple[str, int], int] = {}
    for index, row in enumerate(table.rows):
        rows.setdefault((row.layer, row.core), index)
    flows = table.flows
    senders = [rows[key] for key in zip(flows.layers, flows.source.tolist(), strict=True)]
    messages = flows.rolled(depth[layer] for layer in flows.layers)
    return senders, messages.reshape(len(senders), table.timesteps) * (times.ns["message"] or 0.0)


def _by_core(work: Floats, table: CountTable) -> Floats:
    """The work of each core's rows together, [cores, 3, T]."""
    cores = [row.core for row in table.rows]
    total = np.zeros((max(cores, default=-1) + 1, *work.shape[1:]))
    np.add.at(total, cores, work)
    return total


def _slowest(work: Floats, per_core: Floats, table: CountTable) -> Slowest:
    core, step = (int(k) for k in np.unravel_index(per_core.sum(axis=1).argmax(), (len(per_core), work.shape[2])))
    layers: dict[str, float] = {}
    for row, spent in zip(table.rows, work[:, :, step].sum(axis=1), strict=True):
        if row.core == core:
            layers[row.layer] = layers.get(row.layer, 0.0) + float(spent)
    parts = dict(zip(PARTS, per_core[core, :, step].tolist(), strict=True))
    return Slowest(core, step, sum(parts.values()), parts, layers)


def _longest_way(table: CountTable, times: Times, mesh: Mesh) -> tuple[Floats | None, set[str]]:
    """The longest way [T] of any message of each step, and the terms that it lacks."""
    flows = table.flows
    if not flows.layers:
        return np.zeros(table.timesteps), set()
    sent = flows.rolled(mesh.depth[layer] for layer in flows.layers) > 0
    ways = {"hop_ew": mesh.hops_ew, "hop_ns": mesh.hops_ns, "hop_chip": mesh.hops_chip}
    unknown = set().union(*(_missing(times, term, sent.any(axis=1) * hops) for term, hops in ways.items()))
    way = sum((hops * (times.ns[term] or 0.0) for term, hops in ways.items()), np.zeros(len(sent)))
    return (None if unknown else (sent * way[:, None]).max(axis=0)), unknown
