"""Traffic between cores: how many messages each core sends to each other one, from where neurons lie and how often they spike."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import origin
from pumice.compiler.ir import Graph
from pumice.compiler.mapping.fans import Fan
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Slice
from pumice.compiler.spike_rates import Rates

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Cores = Sequence[Sequence[Slice]]


@dataclass(frozen=True, eq=False)
class Traffic:
    """source[i] sends messages[i] per sample to target[i], from senders[i] of its neurons; cores by index. A spike for several
    slices of a core is one message, also within the core. shared: senders whose synapses there are shared ones."""

    cores: int
    source: Ints
    target: Ints
    messages: Floats
    senders: Ints
    shared: Ints

    def dense(self) -> NDArray[np.float32]:
        """Messages between two cores in both directions, [cores, cores], 0 within a core."""
        both = np.zeros((self.cores, self.cores), np.float32)
        np.add.at(both, (self.source, self.target), self.messages)
        both += both.T
        np.fill_diagonal(both, 0)
        return both


def traffic_of(cores: Cores, network: Network, rates: Rates) -> Traffic:
    """The traffic of a partition."""
    owners = owners_of(cores, network)
    rows = [_into(index, core, network, rates, owners, len(cores)) for index, core in enumerate(cores)]
    source, target, messages, senders, shared = (np.concatenate(column) for column in zip(*rows, strict=True))
    return Traffic(len(cores), source, target, messages, senders, shared)


def owners_of(cores: Cores, network: Network) -> dict[str, NDArray[np.int32]]:
    """Per group, the core of each of its neurons [C, P]; -1 for those that need none."""
    owners = {name: np.full(group.extent, -1, np.int32) for name, group in network.groups.items()}
    for index, core in enumerate(cores):
        for part in core:
            layout = network.layouts[part.group]
            held = np.ix_(layout.channels[slice(*part.channels)], layout.positions[slice(*part.positions)])
            owners[part.group][held] = index
    return owners


def _into(
    index: int,
    core: Sequence[Slice],
    network: Network,
    rates: Rates,
    owners: Mapping[str, NDArray[np.int32]],
    cores: int,
) -> tuple[Ints, Ints, Floats, Ints, Ints]:
    """What one core receives: (sources, this core, messages, senders, senders of shared synapses)."""
    messages, senders, shared = np.zeros(cores), np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    for arrival in arrivals(core, network):
        if arrival.sender not in owners:  # the host's frames are no traffic between cores
            continue
        owner = owners[arrival.sender].reshape(-1)[arrival.neurons]
        held = owner >= 0
        if arrival.stream in rates:
            messages += np.bincount(owner[held], rates[arrival.stream].reshape(-1)[arrival.neurons][held], cores)
        counted = np.bincount(owner[held], minlength=cores)
        senders += counted
        shared += counted if arrival.format.startswith("shared") else 0
    found = np.flatnonzero(senders)
    return found, np.full(len(found), index), messages[found], senders[found], shared[found]


@dataclass(frozen=True, eq=False)
class Arrival:
    """Neurons that reach a core. stream: as which. sender: the node that owns them. neurons: their flattened indices there, those
    not yet among the core's other arrivals. part: for which of the core's slices. format: of its synapses."""

    stream: str
    sender: str
    neurons: Ints
    part: int
    format: str


def arrivals(core: Sequence[Slice], network: Network) -> Iterator[Arrival]:
    """Each neuron that reaches a core, once: however many of the core's slices a spike is for, it is one message. A spike that
    comes to the core ungated and at once comes anyway, so gated or delayed streams of the same neurons add nothing to it."""
    seen: dict[str, list[Ints]] = {}
    for part, fan, form in sorted(_inputs(core, network), key=lambda row: hurdles_before(row[1].stream, network.graph)):
        sender = origin(fan.stream, network.graph).name
        neurons = reached_neurons(fan)
        for before in seen.get(sender, ()):
            neurons = np.setdiff1d(neurons, before, assume_unique=True)
        seen.setdefault(sender, []).append(neurons)
        yield Arrival(fan.stream, sender, neurons, part, form)


def _inputs(core: Sequence[Slice], network: Network) -> Iterator[tuple[int, Fan, str]]:
    for index, part in enumerate(core):
        fans = network.fans_of(part.group, part.channels, part.positions)
        yield from ((index, fan, form) for fan, form in zip(fans, part.formats, strict=True))


def reached_neurons(fan: Fan) -> Ints:
    """Flattened indices of the source neurons that a fan reaches, ascending."""
    channel, position = np.nonzero(fan.reached)
    return channel * fan.width + fan.sources[position]


def hurdles_before(name: str, graph: Graph) -> tuple[int, int]:
    """(routing gates, timesteps of the user's delays) that a stream has passed since its neurons. Of a spike that reaches a core
    on several ways, the one with least of them shows all there is: the others lose what is delayed beyond the sample's end."""
    node, gates, steps = graph.nodes[name], 0, 0
    while isinstance(node, i.TokenGate | i.Delay | i.Reshape | i.Past | i.Feedback):
        gates += isinstance(node, i.TokenGate)
        steps += int(node.steps.max()) if isinstance(node, i.Past | i.Feedback) else 0
        node = graph.nodes[node.of if isinstance(node, i.Feedback) else node.inputs[0]]
    return gates, steps
