"""Counts from execution: binds what a run produced to the layers, cores and hops of its program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, fans, groups_of, mask_input, origin
from pumice.compiler.ir import Node
from pumice.compiler.program import Program, Site, Slice
from pumice.compiler.streams import holds_reals
from pumice.hwsim import arith, counters
from pumice.hwsim.counters import COUNT_FIELDS, CountRow, CountTable, merge_tables
from pumice.hwsim.scoring import score_operations
from pumice.runtime.report import mask_nodes

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Counting:
    """A run's raw material: values per node [T, B, …]; active neurons per layer of LIF,
    levels or membranes [T, C, …], summed over samples."""

    values: Mapping[str, Ints]
    active: Mapping[str, Ints]


def count_samples(program: Program, run: Counting) -> CountTable:
    """The counts of one batch of samples."""
    placed = program.mapping.slices_of()
    rows = [
        _count_slice(program, run, group, core, part, placed)
        for group in groups_of(program.graph)
        for core, part in placed[group.name]
    ]
    samples = next(iter(run.values.values())).shape[1]
    bits, operations = _mask_work(program, samples)
    return CountTable(tuple(rows), samples, program.graph.timesteps, bits, operations)


def merged(tables: list[CountTable]) -> CountTable | None:
    """Batches' counts as one, None for none."""
    return merge_tables(tables) if tables else None


def _count_slice(
    program: Program, run: Counting, group: Group, core: int, part: Slice, placed: Mapping[str, list[tuple[int, Slice]]]
) -> CountRow:
    steps = program.graph.timesteps
    sums = {name: np.zeros(steps) for name in COUNT_FIELDS}
    for name, fan in fans(group, program.graph, part.channels, part.positions):
        _add_stream(sums, program, run, group, name, fan, program.mapping.sites[core], placed)
    for node in group.synapses:
        if isinstance(node, i.SpikeMatmul):
            _add_attention(sums, run, node, part)
        elif isinstance(node, i.Synapse):
            _add_layer_estimates(sums, run, group, node, part, program)
    _add_neurons(sums, run, group, part)
    return CountRow(group.name, core, synapse_kind(group.synapses[0]), **sums)


def synapse_kind(node: Node) -> str:
    """Which synaptic energy applies to a group fed by `node`."""
    if isinstance(node, i.SpikeMatmul):
        return "attention"
    windows = isinstance(node, i.Synapse) and node.weight.shape[2:] != (1, 1)
    return "conv" if windows or isinstance(node, i.OrPool | i.MaxPool) else "dense"


def _add_stream(
    sums: dict[str, Floats],
    program: Program,
    run: Counting,
    group: Group,
    name: str,
    fan: Ints,
    target: Site,
    placed: Mapping[str, list[tuple[int, Slice]]],
) -> None:
    """Events of one input stream, what they cost in synapses, and the messages that carried them."""
    x = run.values[name]
    events, reached = counters.spikes_per_neuron(x), (fan > 0).astype(np.int64)
    sums["events"] += counters.delivered(events, reached)
    source = origin(name, program.graph)
    real = isinstance(source, i.GradedInput)
    operand = any(isinstance(node, i.SpikeMatmul) and name in node.inputs for node in group.synapses)
    if not operand:  # operations on those are coincidences, counted by `_add_attention`
        sums["macs" if real else "synops"] += counters.delivered(events, fan)
        payload = events if holds_reals(name, program.graph.nodes) else counters.payload_per_neuron(x)
        sums["weighted"] += 0 if real else counters.delivered(payload, fan)
    if real:
        sums["messages"] += counters.delivered(events, reached)
        return
    own = (source.out.shape[0], -1)  # cores hold neurons in their own shape, which a reader may see as another
    events, reached = events.reshape(len(events), *own), reached.reshape(own)
    for core, part in placed[source.name]:
        held = events[:, slice(*part.channels), slice(*part.positions)]
        messages = counters.delivered(held, reached[slice(*part.channels), slice(*part.positions)])
        _add_messages(sums, messages, program.mapping.sites[core], target)


def _add_messages(sums: dict[str, Floats], messages: Floats, source: Site, target: Site) -> None:
    sums["messages"] += messages
    if source.chip != target.chip:
        sums["hops_chip"] += messages
        return
    sums["hops_ew"] += messages * abs(source.x - target.x)
    sums["hops_ns"] += messages * abs(source.y - target.y)


def _add_attention(sums: dict[str, Floats], run: Counting, node: i.SpikeMatmul, part: Slice) -> None:
    a, b = (run.values[name] for name in node.inputs)
    left, right = arith.head_operands(node.pattern, a, b, node.heads)
    sums["synops"] += counters.coincidences(left, right, part.channels, part.positions)
    sums["weighted"] += counters.products(left, right, part.channels, part.positions)
    samples, heads, rows, inner = left.shape[1:]
    share = part.neurons / (heads * rows * right.shape[-1])
    dense = heads * rows * inner * right.shape[-1] * share
    spikes = a if node.pattern in ("scores", "keys-values", "queries-context") else b
    sums["dense"] += samples * dense
    sums["eq25"] += spikes.mean(axis=tuple(range(2, spikes.ndim))).sum(axis=1) * dense


def _add_layer_estimates(
    sums: dict[str, Floats], run: Counting, group: Group, node: i.Synapse, part: Slice, program: Program
) -> None:
    x = run.values[node.inputs[0]]
    share = part.neurons / int(np.prod(group.extent))
    dense = counters.dense_operations(node.weight.shape, int(np.prod(node.out.shape[1:]))) * share
    payload = (x != 0) if holds_reals(node.inputs[0], program.graph.nodes) else x
    sums["dense"] += x.shape[1] * dense
    sums["eq25"] += payload.mean(axis=tuple(range(2, x.ndim))).sum(axis=1) * dense


def _add_neurons(sums: dict[str, Floats], run: Counting, group: Group, part: Slice) -> None:
    node = group.neurons
    held = (slice(None), slice(*part.channels), slice(*part.positions))
    value = run.values[node.name]
    steps, samples = value.shape[:2]
    fired = counters.spikes_per_neuron(value)[held].sum(axis=(1, 2)).astype(np.float64)
    active = (
        run.active[node.name].reshape(steps, *group.extent)[held].sum(axis=(1, 2)) if node.name in run.active else fired
    )
    total = np.full(steps, samples * part.neurons, np.float64)
    gated = np.zeros(steps)
    if mask := mask_input(node):
        of_slice = (slice(None), *held)  # a gated layer's values are [T, B, C, N]
        off = run.values[mask][:, :, None, slice(*part.positions)] == 0
        gated = ((value[of_slice] == 0) & off).sum(axis=(1, 2, 3)).astype(np.float64)  # a membrane passes streams on
    sums["spikes"] += 0 if isinstance(node, i.Readout) else fired
    sums["active"] += active
    sums["gated"] += gated
    sums["idle"] += total - active - gated


def _mask_work(program: Program, samples: int) -> tuple[int, int]:
    """Routing bits consulted and scoring operations spent."""
    steps = program.graph.timesteps * samples
    masks = mask_nodes(program)
    bits = sum(n.out.shape[0] for n in masks) * steps
    live = [n for n in masks if isinstance(n, i.LiveMask)]
    channels = {n.name: program.graph.nodes[n.inputs[0]].out.shape[0] for n in live}
    return bits, sum(score_operations(channels[n.name], n.out.shape[0], n.criterion) for n in live) * steps
