"""Counts from execution: binds what a run produced to the layers, cores and hops of its program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, mask_input, origin
from pumice.compiler.ir import Node
from pumice.compiler.mapping.fans import Fan
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Program, Slice
from pumice.compiler.streams import holds_reals
from pumice.hwsim import arith, counters
from pumice.hwsim.counters import COUNT_FIELDS, CountRow, CountTable, merge_tables
from pumice.hwsim.scoring import score_operations
from pumice.runtime.counting_messages import add_messages
from pumice.runtime.report import mask_nodes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


Held = tuple[Ints, Ints]  # channels and positions of a slice


@dataclass(frozen=True, eq=False)
class Counting:
    """A run's raw material: values per node [T, B, …]; active neurons per layer of LIF,
    levels or membranes [T, C, …], summed over samples. counted: events of streams that were added up before."""

    values: Mapping[str, Ints]
    active: Mapping[str, Ints]
    counted: dict[str, Ints] = field(default_factory=dict)

    def events(self, name: str) -> Ints:
        """How many samples' events each neuron of a stream sent, [T, C, P]."""
        if name not in self.counted:
            self.counted[name] = counters.spikes_per_neuron(self.values[name])
        return self.counted[name]


def count_samples(program: Program, network: Network, run: Counting) -> CountTable:
    """The counts of one batch of samples: a row for each slice, core after core. network: the program's, the same for all
    batches, since it keeps what it has found about the slices."""
    rows = [row for core in range(len(program.mapping.cores)) for row in _count_core(program, network, run, core)]
    samples = next(iter(run.values.values())).shape[1]
    bits, operations = _mask_work(program, samples)
    counted, flows = add_messages(rows, program, network, run.events)
    return CountTable(counted, samples, program.graph.timesteps, bits, operations, flows)


def merged(tables: list[CountTable]) -> CountTable | None:
    """Batches' counts as one, None for none."""
    return merge_tables(tables) if tables else None


def _count_core(program: Program, network: Network, run: Counting, core: int) -> Iterator[CountRow]:
    parts = program.mapping.cores[core]
    asleep = np.logical_and.reduce(
        [_asleep(run, network.groups[part.group].neurons, _held(program, part)) for part in parts]
    )
    for part in parts:
        yield _count_slice(program, network, run, core, part, asleep)


def _held(program: Program, part: Slice) -> Held:
    return program.mapping.channels_of(part), program.mapping.positions_of(part)


def _count_slice(
    program: Program, network: Network, run: Counting, core: int, part: Slice, asleep: NDArray[np.bool_]
) -> CountRow:
    group, held = network.groups[part.group], _held(program, part)
    sums = {name: np.zeros(program.graph.timesteps) for name in COUNT_FIELDS}
    for fan in network.fans_of(part.group, part.channels, part.positions):
        _add_stream(sums, program, run, group, fan)
    for node in group.synapses:
        if isinstance(node, i.SpikeMatmul):
            _add_attention(sums, run, node, held)
        elif isinstance(node, i.Synapse):
            _add_layer_estimates(sums, run, group, node, part, program)
    _add_neurons(sums, run, group, part, held, asleep)
    return CountRow(group.name, core, synapse_kind(group.synapses[0]), **sums)


def synapse_kind(node: Node) -> str:
    """Which synaptic energy applies to a group fed by `node`."""
    if isinstance(node, i.SpikeMatmul):
        return "attention"
    windows = isinstance(node, i.Synapse) and node.weight.shape[2:] != (1, 1)
    return "conv" if windows or isinstance(node, i.OrPool | i.MaxPool) else "dense"


def _add_stream(sums: dict[str, Floats], program: Program, run: Counting, group: Group, fan: Fan) -> None:
    """Events of one input stream, and what they cost in synapses."""
    events = run.events(fan.stream)[:, :, fan.sources]
    sums["events"] += counters.delivered(events, fan.reached)
    if any(isinstance(node, i.SpikeMatmul) and fan.stream in node.inputs for node in group.synapses):
        return  # operations on those are coincidences, counted by `_add_attention`
    real = isinstance(origin(fan.stream, program.graph), i.GradedInput)
    counts = fan.counts
    sums["macs" if real else "synops"] += counters.delivered(events, counts)
    reals = holds_reals(fan.stream, program.graph.nodes)
    payload = events if reals else counters.payload_per_neuron(run.values[fan.stream])[:, :, fan.sources]
    sums["weighted"] += 0 if real else counters.delivered(payload, counts)


def _add_attention(sums: dict[str, Floats], run: Counting, node: i.SpikeMatmul, held: Held) -> None:
    a, b = (run.values[name] for name in node.inputs)
    left, right = arith.head_operands(node.pattern, a, b, node.heads)
    sums["synops"] += counters.coincidences(left, right, *held)
    sums["weighted"] += counters.products(left, right, *held)
    samples, heads, rows, inner = left.shape[1:]
    share = len(held[0]) * len(held[1]) / (heads * rows * right.shape[-1])
    dense = heads * rows * inner * right.shape[-1] * share
    spikes = a if node.pattern in ("scores", "keys-values", "queries-context") else b
    sums["dense"] += samples * dense
    sums["eq25"] += spikes.mean(axis=tuple(range(2, spikes.ndim))).sum(axis=1) * dense


def _add_layer_estimates(
    sums: dict[str, Floats], run: Counting, group: Group, node: i.Synapse, part: Slice, program: Program
) -> None:
    x = run.values[node.inputs[0]]
    share = node.share * part.neurons / int(np.prod(group.extent))
    dense = counters.dense_operations(node.weight.shape, int(np.prod(node.out.shape[1:]))) * share
    payload = (x != 0) if holds_reals(node.inputs[0], program.graph.nodes) else x
    sums["dense"] += x.shape[1] * dense
    sums["eq25"] += payload.mean(axis=tuple(range(2, x.ndim))).sum(axis=1) * dense


def _add_neurons(
    sums: dict[str, Floats], run: Counting, group: Group, part: Slice, held: Held, asleep: NDArray[np.bool_]
) -> None:
    node, (channels, positions) = group.neurons, held
    value = run.values[node.name]
    steps, samples = value.shape[:2]
    fired = run.events(node.name)[:, channels[:, None], positions].sum(axis=(1, 2)).astype(np.float64)
    active = fired
    if node.name in run.active:
        active = run.active[node.name].reshape(steps, *group.extent)[:, channels[:, None], positions].sum(axis=(1, 2))
    off = _off(run, node, held)
    gated = (off & ~asleep[:, :, None, None]).sum(axis=(1, 2, 3)).astype(np.float64)
    sleeping = asleep.sum(axis=1) * float(part.neurons)
    sums["spikes"] += 0 if isinstance(node, i.Readout) else fired
    sums["active"] += active
    sums["gated"] += gated
    sums["asleep"] += sleeping
    sums["idle"] += samples * part.neurons - active - gated - sleeping


def _off(run: Counting, node: Node, held: Held) -> NDArray[np.bool_]:
    """Where neurons of a slice have nothing to do because their token is not routed, [T, B, C, P]; streams pass a membrane."""
    value = run.values[node.name]
    silent = value.reshape(*value.shape[:3], -1)[:, :, held[0]][..., held[1]] == 0
    mask = mask_input(node)
    if not mask:
        return np.zeros_like(silent)
    return np.asarray(silent & (run.values[mask][:, :, None, held[1]] == 0))


def _asleep(run: Counting, node: Node, held: Held) -> NDArray[np.bool_]:
    """Steps and samples at which a slice has no work at all, [T, B]: no token of its is routed, and its neurons' state waits."""
    if isinstance(node, i.IntLif) and node.gate_state == "decay":
        steps, samples = run.values[node.name].shape[:2]
        return np.zeros((steps, samples), np.bool_)
    return np.asarray(_off(run, node, held).all(axis=(2, 3)))


def _mask_work(program: Program, samples: int) -> tuple[int, int]:
    """Routing bits consulted and scoring operations spent."""
    steps = program.graph.timesteps * samples
    masks = mask_nodes(program)
    bits = sum(n.out.shape[0] for n in masks) * steps
    live = [n for n in masks if isinstance(n, i.LiveMask)]
    channels = {n.name: program.graph.nodes[n.inputs[0]].out.shape[0] for n in live}
    return bits, sum(score_operations(channels[n.name], n.out.shape[0], n.criterion) for n in live) * steps
