"""Counts from execution: binds what a run's samples did, neuron by neuron, to the layers, cores and hops of its program."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, origin
from pumice.compiler.ir import Node
from pumice.compiler.mapping.fans import Fan
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Program, Slice
from pumice.compiler.streams import holds_reals
from pumice.hwsim import counters
from pumice.hwsim.counters import COUNT_FIELDS, CountRow, CountTable
from pumice.hwsim.scoring import score_operations
from pumice.runtime.counting_gates import Gates, Off, gates_of
from pumice.runtime.counting_messages import add_messages
from pumice.runtime.report import mask_nodes
from pumice.runtime.tally import Tally, added, spike_operand

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Held = tuple[Ints, Ints]  # channels [c, 1] and positions [p] of a slice


@dataclass(eq=False)
class Counter:
    """The counts of a run, batch by batch: any executor's tallies come in, sums are kept, and the rows of the mapped program are
    made once, at the end. network: the program's, which keeps what it has found about the slices."""

    program: Program
    network: Network
    total: Tally | None = None
    off: Off | None = None

    @cached_property
    def gates(self) -> Gates:
        """What gates the program's slices."""
        return gates_of(self.program, self.network)

    def add(self, tally: Tally) -> None:
        """One batch more. Single samples count only here: they say when whole cores sleep."""
        off = self.gates.off(tally, self.program.graph.timesteps)
        self.total = added(self.total, tally)
        self.off = off if self.off is None else self.off + off

    def table(self) -> CountTable:
        """The counts of all batches: a row for each slice, core after core. Raises ValueError where there was none."""
        if self.total is None or self.off is None:
            raise ValueError("no samples were counted")
        rows = list(_Rows(self.program, self.network, self.total, self.off).all())
        bits, operations = _mask_work(self.program, self.total.samples)
        counted, flows = add_messages(rows, self.program, self.network, self.total.events)
        return CountTable(counted, self.total.samples, self.program.graph.timesteps, bits, operations, flows)


@dataclass(frozen=True, eq=False)
class _Rows:
    """The rows of a program from what all samples did. means: of streams, found before."""

    program: Program
    network: Network
    total: Tally
    off: Off
    means: dict[str, Floats] = field(default_factory=dict)

    def all(self) -> Iterator[CountRow]:
        """A row for each slice, core after core."""
        parts = [(core, part) for core, slices in enumerate(self.program.mapping.cores) for part in slices]
        return (self._of_slice(number, core, part) for number, (core, part) in enumerate(parts))

    def _of_slice(self, number: int, core: int, part: Slice) -> CountRow:
        group = self.network.groups[part.group]
        held = self.program.mapping.channels_of(part)[:, None], self.program.mapping.positions_of(part)
        sums = {name: np.zeros(self.program.graph.timesteps) for name in COUNT_FIELDS}
        for fan in self.network.fans_of(part.group, part.channels, part.positions):
            self._add_stream(sums, group, fan)
        for node in group.synapses:
            if isinstance(node, i.SpikeMatmul):
                self._add_attention(sums, node, held)
            elif isinstance(node, i.Synapse):
                self._add_layer_estimates(sums, group, node, part)
        self._add_neurons(sums, group.neurons, number, part, held)
        return CountRow(group.name, core, synapse_kind(group.synapses[0]), **sums)

    def _add_stream(self, sums: dict[str, Floats], group: Group, fan: Fan) -> None:
        """Events of one input stream, and what they cost in synapses."""
        events = self.total.events[fan.stream][:, :, fan.sources]
        sums["events"] += counters.delivered(events, fan.reached)
        if any(isinstance(node, i.SpikeMatmul) and fan.stream in node.inputs for node in group.synapses):
            return  # operations on those are coincidences, counted by `_add_attention`
        real = isinstance(origin(fan.stream, self.program.graph), i.GradedInput)
        counts = fan.counts
        operations = counters.delivered(events, counts)
        sums["macs" if real else "synops"] += operations
        if real:
            return
        reals = holds_reals(fan.stream, self.program.graph.nodes)
        payload = None if reals else self.total.payloads[fan.stream][:, :, fan.sources]
        sums["weighted"] += operations if payload is None else counters.delivered(payload, counts)

    def _add_attention(self, sums: dict[str, Floats], node: i.SpikeMatmul, held: Held) -> None:
        sums["synops"] += _of(self.total.coincidences[node.name], held)
        sums["weighted"] += _of(self.total.products[node.name], held)
        neurons = int(np.prod(node.out.shape))
        share = held[0].size * held[1].size / neurons
        dense = neurons * i.summed_pairs(node, self.program.graph.nodes[node.inputs[0]].out) * share
        sums["dense"] += self.total.samples * dense
        sums["eq25"] += self._mean(spike_operand(node)) * dense

    def _add_layer_estimates(self, sums: dict[str, Floats], group: Group, node: i.Synapse, part: Slice) -> None:
        share = node.share * part.neurons / int(np.prod(group.extent))
        dense = counters.dense_operations(node.weight.shape, int(np.prod(node.out.shape[1:]))) * share
        sums["dense"] += self.total.samples * dense
        sums["eq25"] += self._mean(node.inputs[0]) * dense

    def _mean(self, stream: str) -> Floats:
        """The mean value of a stream, or share of neurons that send where it holds reals, [T], summed over samples."""
        if stream not in self.means:
            payloads = self.total.payloads
            sent = payloads[stream] if stream in payloads else self.total.events[stream]
            self.means[stream] = sent.sum(axis=(1, 2)) / sent[0].size
        return self.means[stream]

    def _add_neurons(self, sums: dict[str, Floats], node: Node, number: int, part: Slice, held: Held) -> None:
        fired = _of(self.total.events[node.name], held)
        active = _of(self.total.active[node.name], held) if node.name in self.total.active else fired
        gated, asleep = self.off.gated[:, number], self.off.asleep[:, number]
        sums["spikes"] += 0 if isinstance(node, i.Readout) else fired
        sums["active"] += active
        sums["gated"] += gated
        sums["asleep"] += asleep
        sums["idle"] += self.total.samples * part.neurons - active - gated - asleep


def _of(per_neuron: Ints, held: Held) -> Ints:
    """What the neurons of a slice did together, [T]."""
    return np.asarray(per_neuron[:, held[0], held[1]].sum(axis=(1, 2)))


def synapse_kind(node: Node) -> str:
    """Which synaptic energy applies to a group fed by `node`."""
    if isinstance(node, i.SpikeMatmul):
        return "attention"
    windows = isinstance(node, i.Synapse) and node.weight.shape[2:] != (1, 1)
    return "conv" if windows or isinstance(node, i.OrPool | i.MaxPool) else "dense"


def _mask_work(program: Program, samples: int) -> tuple[int, int]:
    """Routing bits consulted and scoring operations spent."""
    steps = program.graph.timesteps * samples
    masks = mask_nodes(program)
    bits = sum(n.out.shape[0] for n in masks) * steps
    live = [n for n in masks if isinstance(n, i.LiveMask)]
    channels = {n.name: program.graph.nodes[n.inputs[0]].out.shape[0] for n in live}
    return bits, sum(score_operations(channels[n.name], n.out.shape[0], n.criterion) for n in live) * steps
