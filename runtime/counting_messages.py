"""Messages of a run: one per spike and destination core, and the links that each crosses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.mesh import places_of
from pumice.compiler.mapping.traffic import Arrival, arrivals, owners_of
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountRow
from pumice.hwsim.flows import Flows, flows_of

Floats = NDArray[np.float64]
Events = Mapping[str, NDArray[np.int64]]  # by stream, events of each neuron [T, C, P], summed over samples


def add_messages(
    rows: Iterable[CountRow], program: Program, network: Network, events: Events
) -> tuple[tuple[CountRow, ...], Flows]:
    """The rows of all slices, core after core, with their messages and hops, and who sent them. A message for several slices of a
    core stands in the row of the first that it reaches."""
    owners, places = owners_of(program.mapping.cores, network), places_of(program.mapping.sites, program.chip)
    flat = {name: sent.reshape(len(sent), -1) for name, sent in events.items()}
    remaining, done, sending = iter(rows), list[CountRow](), list[_Sent]()
    for index, core in enumerate(program.mapping.cores):
        held = [next(remaining) for _ in core]
        for arrival in arrivals(core, network):
            sent = _by_core(arrival, flat, owners, len(program.mapping.cores))
            ways = places.hops(np.arange(len(program.mapping.cores)), np.array(index))
            hops = [sent[:, 1:] @ way for way in ways]
            held[arrival.part] = _added(held[arrival.part], sent.sum(axis=1), *hops)
            sending.append(_sent(arrival, owners, index, sent))
        done += held
    return tuple(done), _flows(sending)


@dataclass(frozen=True, eq=False)
class _Sent:
    """What one core receives of one layer: messages [F, T] from cores source [F]."""

    layer: str
    source: NDArray[np.int64]
    target: int
    messages: Floats


def _sent(arrival: Arrival, owners: Mapping[str, NDArray[np.int32]], target: int, sent: Floats) -> _Sent:
    if arrival.sender not in owners:  # the host's frames are no traffic between cores
        return _Sent(arrival.sender, np.zeros(0, np.int64), target, np.zeros((0, len(sent))))
    owner = np.unique(owners[arrival.sender].reshape(-1)[arrival.neurons])
    source = owner[owner >= 0].astype(np.int64)
    return _Sent(arrival.sender, source, target, sent[:, 1 + source].T)


def _flows(sending: Sequence[_Sent]) -> Flows:
    names = [sent.layer for sent in sending for _ in sent.source]
    target = np.repeat([sent.target for sent in sending], [len(sent.source) for sent in sending])
    source = np.concatenate([sent.source for sent in sending])
    return flows_of(names, source, target, np.concatenate([sent.messages for sent in sending]))


def _by_core(arrival: Arrival, flat: Events, owners: Mapping[str, NDArray[np.int32]], cores: int) -> Floats:
    """Messages of an arrival, [T, 1 + cores]: from the host, and from each core. flat: events by stream, [T, C * P]."""
    sent = flat[arrival.stream][:, arrival.neurons].astype(np.float64)
    if arrival.sender not in owners:
        return np.pad(sent.sum(axis=1, keepdims=True), ((0, 0), (0, cores)))
    owner = owners[arrival.sender].reshape(-1)[arrival.neurons] + 1
    return np.stack([np.bincount(owner, step, cores + 1) for step in sent])


def _added(row: CountRow, messages: Floats, across: Floats, down: Floats, between: Floats) -> CountRow:
    return replace(
        row,
        messages=row.messages + messages,
        hops_ew=row.hops_ew + across,
        hops_ns=row.hops_ns + down,
        hops_chip=row.hops_chip + between,
    )
