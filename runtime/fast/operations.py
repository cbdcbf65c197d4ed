"""One node at a time over values in lanes. What has no kernel is computed by `compiler.walk`, on the same values as arrays."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.walk import live_mask, stateless
from pumice.compiler.walk_neurons import active_neurons, begin, run_stateful
from pumice.hwsim import arith
from pumice.hwsim.kernels.attention import count_together, dot_heads, dot_room, multiply_heads
from pumice.hwsim.kernels.neurons import add_current, run_levels, run_lif, unpack_rows
from pumice.hwsim.kernels.pools import pool_bytes, pool_rows
from pumice.hwsim.kernels.sums import take_notes
from pumice.hwsim.kernels.synapses import TILE, Lanes, Neurons, Routing, Scratch, run_synapses
from pumice.runtime.fast.lanes import Held, Layout, Packing, held, packing_of, rows_of, storage
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.plan import Plan
from pumice.runtime.fast.synapse_plan import SynapsePlan
from pumice.runtime.tally import mask_of

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
MOST_TOGETHER = 4  # tiles whose routed lanes are pushed together


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples on their way through a program, on one thread. values: by node; active: by layer, [T, C, P], where counted."""

    plan: Plan
    samples: int
    schedule: Bools | None
    memory: Memory
    counted: bool
    values: dict[str, Held] = field(default_factory=dict)
    active: dict[str, Ints] = field(default_factory=dict)
    layouts: dict[tuple[int, ...], Layout] = field(default_factory=dict)
    packings: dict[str, Packing | None] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return self.plan.graph.timesteps

    def later(self, name: str) -> bool:
        """Whether a node is computed with its only reader. Counts need both products of attention by themselves."""
        product = isinstance(self.plan.graph.nodes[name], i.SpikeMatmul)
        return name in self.plan.fused.values() and not (product and self.counted)

    def layout(self, node: Node) -> Layout:
        """Where a node's values are."""
        shape = (1, *node.out.shape) if node.out.dtype == "mask" else node.out.shape
        if shape not in self.layouts:
            self.layouts[shape] = Layout(self.samples, shape, self.plan.border if len(shape) == 3 else 0)
        return self.layouts[shape]

    def dense(self, name: str) -> Ints:
        """A node's values as `compiler.walk` has them, [T, B, …]."""
        value = self.full(name).dense(self.steps)
        return value[:, :, 0] if self.plan.graph.nodes[name].out.dtype == "mask" else value

    def full(self, name: str) -> Held:
        """A node's values with all tokens."""
        value = self.values[name]
        return value if value.packing is None else unpacked(self, value, self.layout(self.plan.graph.nodes[name]))

    def packing(self, node: Node) -> Packing | None:
        """How gated neurons' tokens are packed; None where they are not. Counts need every neuron in its place."""
        mask = mask_of(node, self.plan.graph)
        if self.counted or not mask or len(node.out.shape) != 2:
            return None
        if mask not in self.packings:
            self.packings[mask] = packing_of(_on(self, node), self.layout(node), self.steps)
        return self.packings[mask]

    def room(self, node: Node, dtype: type[Any] | None = None, clear: bool = False) -> Array:
        """Rows [T, C, lanes] for a node's values."""
        return rows_of(self.layout(node), self.steps, dtype or storage(node.out), self.memory, clear)


def run_node(batch: Batch, node: Node) -> Held | None:
    """A node's values; None for synapses that are computed with their neurons."""
    if isinstance(node, i.Synapse | i.SpikeMatmul) and batch.later(node.name):
        return None
    if isinstance(node, i.IntLif) and node.name in batch.plan.fused:
        return _fused(batch, node)
    if isinstance(node, i.SpikeMatmul) and (node.name in batch.plan.fused or _within(batch, node)):
        return _matmul(batch, node)
    if isinstance(node, i.Delay | i.OneToOne):
        return batch.values[node.inputs[0]]
    packing = batch.packing(node) if isinstance(node, i.IntLif) else None
    if isinstance(node, i.IntLif) and packing and batch.values[node.inputs[0]].packing is packing:
        return _packed_lif(batch, node, packing)
    inputs = [batch.full(name) for name in node.inputs if name in batch.values]
    match node:
        case i.IntLif() if node.name in batch.plan.biases and inputs[0].rows.itemsize <= 4:
            return _lif(batch, node, inputs)
        case i.Synapse() if node.name in batch.plan.synapses:
            return _currents(batch, node, inputs[0])
        case i.Levels() if inputs[0].rows.dtype == np.int32:
            return _levels(batch, node, inputs[0])
        case i.Membrane() if inputs[0].rows.dtype == np.int32 and all(x.rows.itemsize <= 2 for x in inputs[1:]):
            return _membrane(batch, node, inputs)
        case i.Reshape():
            return _reshaped(batch, node, inputs[0])
        case i.TokenGate():
            return _product(batch, node, inputs)
        case i.Sum() | i.Currents():
            return _sum(batch, node, inputs)
        case i.SpikeAnd():
            return _gated(batch, node, *inputs)
        case i.OrPool() | i.MaxPool():
            return _pool(batch, node, inputs[0])
        case _:
            return _as_arrays(batch, node)


def _as_arrays(batch: Batch, node: Node) -> Held:
    """By the reference's own functions."""
    dense = [batch.dense(name) for name in node.inputs]
    active: Ints | None = None
    if isinstance(node, i.IntLif | i.Programmable):
        value, active, _ = run_stateful(node, dense, begin(node, dense[0][0]), batch.counted)
    else:
        value = stateless(node, dense, batch.plan.graph, batch.samples, batch.schedule)
    if batch.counted and isinstance(node, i.Levels | i.Membrane):
        active = active_neurons(node, dense, value)
    if batch.counted and active is not None:
        batch.active[node.name] = active.reshape(*active.shape[:2], -1)
    whole = value[:, :, None] if node.out.dtype == "mask" else value
    return held(whole, batch.layout(node), storage(node.out), batch.memory)


def _fused(batch: Batch, node: i.IntLif) -> Held:
    """Neurons with the synapses that feed them."""
    name = batch.plan.fused[node.name]
    synapse, plan = batch.plan.graph.nodes[name], batch.plan.synapses[name]
    packing, source = batch.packing(node), synapse.inputs[0]
    neurons = _neurons(node, batch.plan.biases[node.name], plan.shift, batch.counted)
    if packing is not None:
        x = batch.values[source] if batch.values[source].packing is packing else batch.full(source)
        layout = Layout(batch.samples, (node.out.shape[0], packing.kept))
        out = rows_of(layout, batch.steps, np.uint8, batch.memory)
        _run(batch, plan, x, neurons, _on(batch, node), out, packing)
        return Held(out, layout, packing)
    x, out = batch.full(source), batch.room(node, np.uint8)
    _run(batch, plan, x, neurons, _on(batch, node), out)
    return _noted(batch, node, out)


def _currents(batch: Batch, node: i.Synapse, x: Held) -> Held:
    plan, out = batch.plan.synapses[node.name], batch.room(node, np.int32)
    nobody = Neurons(False, plan.shift, 0, 0, 0, False, 0)
    _run(batch, plan, x, nobody, batch.layout(node).valid, out)
    return Held(out, batch.layout(node))


def _run(
    batch: Batch, plan: SynapsePlan, x: Held, neurons: Neurons, on: Array, out: Array, packing: Packing | None = None
) -> None:
    """packing: how routed tokens are packed in `out`, and in x if x is."""
    inputs, together = len(plan.taps), 1
    if packing is not None:
        together = max(2, min(MOST_TOGETHER, int(on.shape[1] / max(packing.before[0, -1], 1) + 0.5)))
    weights = plan.weights(x.rows.shape[1], x.rows.strides[1], together)
    groups = len(plan.first) * together * TILE
    sizes = (together * inputs * TILE, together * inputs * TILE, 4 * groups, 4 * groups, together * TILE // 2)
    room = batch.memory.array((sum(sizes),), np.uint8)  # every size is a multiple of 32, the last one the least
    scratch = Scratch(*accumulate(sizes[:-1], initial=room.ctypes.data))
    before = 0 if packing is None else packing.before.ctypes.data
    some = packing is not None
    routing = Routing(_gate(on), together, some, some and x.packing is packing, some, before)
    run_synapses(lanes_of(x.rows), weights, neurons, routing, lanes_of(out), batch.steps, on.shape[1] // TILE, scratch)


def lanes_of(rows: Array) -> Lanes:
    """Rows [T or 1, C, lanes] as the kernels take them; whoever calls keeps them alive."""
    return Lanes(rows.ctypes.data, rows.strides[0] if len(rows) > 1 else 0, rows.strides[1])


def _gate(on: Array) -> Lanes:
    return Lanes(on.ctypes.data, on.strides[0] if len(on) > 1 else 0, 0)


def _neurons(node: i.IntLif, bias: Array, doubled: int, noted: bool) -> Neurons:
    keep, threshold = arith.DECAY_UNITY - node.dv, node.vth << arith.MEMBRANE_SHIFT
    shift, decays = arith.MEMBRANE_SHIFT + doubled, node.gate_state == "decay"
    return Neurons(True, shift, bias.ctypes.data, keep, threshold, decays, 2 * noted)


def _on(batch: Batch, node: Node) -> Array:
    """Lanes that hold a neuron whose token is routed, [T or 1, lanes]."""
    gated = isinstance(node, i.IntLif) and node.gate_state != ""
    gated = gated or (isinstance(node, i.Levels | i.Membrane) and node.gated)
    if not gated:
        return batch.layout(node).valid
    return batch.values[node.inputs[-1]].rows[:, 0]


def _lif(batch: Batch, node: i.IntLif, inputs: list[Held]) -> Held:
    out = batch.room(node, np.uint8)
    _run_lif(batch, node, inputs[0], out, False)
    return _noted(batch, node, out)


def _packed_lif(batch: Batch, node: i.IntLif, packing: Packing) -> Held:
    """Gated neurons that read packed currents."""
    layout = Layout(batch.samples, (node.out.shape[0], packing.kept))
    out = rows_of(layout, batch.steps, np.uint8, batch.memory)
    _run_lif(batch, node, batch.values[node.inputs[0]], out, True)
    return Held(out, layout, packing)


def _run_lif(batch: Batch, node: i.IntLif, x: Held, out: Array, packed: bool) -> None:
    on, bias, lanes = _on(batch, node), batch.plan.biases[node.name], batch.layout(node).lanes
    membrane = batch.memory.array((lanes,), np.int32)
    skips = batch.memory.array((batch.steps, lanes // 16), np.int64)
    neurons, currents = _neurons(node, bias, 0, batch.counted), _words(batch, x)
    sizes = (batch.steps, out.shape[1], lanes)
    scratch = (membrane.ctypes.data, skips.ctypes.data)
    run_lif(lanes_of(currents), neurons, _gate(on), packed, *scratch, lanes_of(out), *sizes)


def unpacked(batch: Batch, x: Held, layout: Layout) -> Held:
    """Packed values with all tokens: 0 where a token is not routed."""
    assert x.packing is not None
    rows = rows_of(layout, batch.steps, x.rows.dtype.type, batch.memory, clear=x.rows.itemsize > 1)
    if x.rows.itemsize == 1:
        skips = batch.memory.array((layout.lanes // 16,), np.int64)
        sizes = (batch.steps, layout.shape[0], layout.lanes)
        unpack_rows(lanes_of(x.rows), _gate(x.packing.on), skips.ctypes.data, lanes_of(rows), *sizes)
        return Held(rows, layout)
    for t in range(batch.steps):
        rows[t][:, x.packing.on[t % len(x.packing.on)] != 0] = x.rows[t, :, : x.layout.used]
    return Held(rows, layout)


def _words(batch: Batch, x: Held) -> Array:
    """Rows in int32."""
    if x.rows.dtype == np.int32:
        return x.rows
    rows = rows_of(x.layout, len(x.rows), np.int32, batch.memory)
    rows[...] = x.rows
    return rows


def _all_steps(batch: Batch, x: Held) -> Array:
    """Rows [T, C, lanes] also where all timesteps are alike."""
    if len(x.rows) == batch.steps:
        return x.rows
    rows = rows_of(x.layout, batch.steps, x.rows.dtype.type, batch.memory)
    rows[...] = x.rows
    return rows


def _noted(batch: Batch, node: Node, out: Array) -> Held:
    """Spikes without the notes that the kernel left beside them."""
    made = Held(out, batch.layout(node))
    if batch.counted:
        counts = np.zeros((batch.steps, node.out.shape[0], int(np.prod(node.out.shape[1:]))), np.int64)
        take_notes(out, made.layout.size, batch.samples, counts)
        batch.active[node.name] = counts
    return made


def _levels(batch: Batch, node: i.Levels, x: Held) -> Held:
    out, currents = batch.room(node), _all_steps(batch, x)
    bias = np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]))
    run_levels(currents, bias, node.thresholds, _on(batch, node), out)
    return _counted(batch, node, Held(out, batch.layout(node)))


def _membrane(batch: Batch, node: i.Membrane, inputs: list[Held]) -> Held:
    out, currents = batch.room(node), _all_steps(batch, inputs[0])
    streams = _streams(batch, node, inputs[1 : 1 + len(node.streams)])
    bias = np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]))
    add_current(currents, streams, _on(batch, node), node.shift, bias, node.out.low, node.out.high, out)
    layout = batch.layout(node)
    if layout.border:
        out *= layout.valid.astype(out.dtype)
    return _counted(batch, node, Held(out, layout))


def _streams(batch: Batch, node: i.Membrane, streams: list[Held]) -> Array:
    """What passes through neurons, added up in int32, [T, C, lanes]."""
    if len(streams) == 1 and len(streams[0].rows) == batch.steps:
        return streams[0].rows
    total = batch.room(node, np.int32, clear=True)
    for x in streams:
        np.add(total, x.rows, out=total)
    return total


def _counted(batch: Batch, node: i.Levels | i.Membrane, value: Held) -> Held:
    if batch.counted:
        dense = [batch.dense(name) for name in node.inputs]
        active = active_neurons(node, dense, value.dense(batch.steps))
        batch.active[node.name] = active.reshape(*active.shape[:2], -1)
    return value


def _reshaped(batch: Batch, node: Node, x: Held) -> Held:
    layout = batch.layout(node)
    if layout.grid == x.layout.grid and layout.shape[0] == x.layout.shape[0]:
        return Held(x.rows, layout)
    parts = x.layout.positions(x.rows)
    rows = rows_of(layout, len(x.rows), x.rows.dtype.type, batch.memory, clear=True)
    into = layout.positions(rows)
    if layout.shape[0] == x.layout.shape[0]:
        into[...] = parts.reshape(into.shape)
        return Held(rows, layout)
    whole = np.moveaxis(parts, 2, 1).reshape(len(x.rows), batch.samples, *layout.shape)
    into[...] = np.moveaxis(whole, 1, 2).reshape(into.shape)
    return Held(rows, layout)


def _scored(batch: Batch, node: i.LiveMask, x: Held) -> Held:
    """A mask scored from counts as they lie."""
    counts = np.moveaxis(x.layout.positions(_all_steps(batch, x)), 2, 1)
    mask = live_mask(node, counts)
    return held(mask[:, :, None], batch.layout(node), storage(node.out), batch.memory)


def _product(batch: Batch, node: Node, inputs: list[Held]) -> Held:
    """A stream where its tokens are routed."""
    x, mask = inputs
    rows = rows_of(x.layout, max(len(x.rows), len(mask.rows)), x.rows.dtype.type, batch.memory)
    np.multiply(x.rows, mask.rows[:, :1], out=rows, casting="unsafe")
    return Held(rows, x.layout)


def _sum(batch: Batch, node: Node, inputs: list[Held]) -> Held:
    first, *others = inputs
    if not others:
        return first
    rows = batch.room(node)
    np.add(first.rows, others[0].rows, out=rows, casting="unsafe", dtype=rows.dtype)
    for x in others[1:]:
        np.add(rows, x.rows, out=rows, casting="unsafe", dtype=rows.dtype)
    return Held(rows, batch.layout(node))


def _gated(batch: Batch, node: Node, gate: Held, x: Held) -> Held:
    """x where its gate spikes; a gate of one position rules all of a sample's."""
    made = Held(batch.room(node, clear=True), batch.layout(node))
    spikes, gates, out = (value.layout.positions(value.rows) for value in (x, gate, made))
    groups = gates.shape[1]
    split = (groups, out.shape[1] // groups, *out.shape[2:])
    np.bitwise_and(
        spikes.reshape(len(spikes), *split), gates[:, :, None], out=out.reshape(batch.steps, *split), casting="unsafe"
    )
    return made


def _pool(batch: Batch, node: i.OrPool | i.MaxPool, x: Held) -> Held:
    layout = batch.layout(node)
    lowest = 0 if isinstance(node, i.OrPool) else int(np.iinfo(x.rows.dtype).min)
    rows = rows_of(layout, len(x.rows), x.rows.dtype.type, batch.memory, clear=True)
    window, maps = (node.kernel, node.stride, node.padding), (x.rows, x.layout.size, rows, layout.size, batch.samples)
    if x.rows.dtype == np.uint8 and node.stride <= 2 and node.padding <= x.layout.border:
        pool_bytes(*maps, *window)
    else:
        pool_rows(*maps, *window, lowest)
    return Held(rows, layout)


def _within(batch: Batch, node: i.SpikeMatmul) -> bool:
    """Whether no sum of a product, shifted, can leave 32 bits."""
    types = [batch.plan.graph.nodes[name].out for name in node.inputs]
    return min(out.low for out in types) >= 0 and i.largest_sum(node, *types) << node.shift < 1 << 31


def _matmul(batch: Batch, node: i.SpikeMatmul) -> Held:
    """A product of attention, on packed tokens where all that it reads are packed alike and none is a channel."""
    turned, names = node.name in batch.plan.fused and not batch.counted, node.inputs
    if turned:
        names = (*batch.plan.graph.nodes[batch.plan.fused[node.name]].inputs, node.inputs[1])
    tokens = names[:1] if node.pattern == "queries-context" else names
    packing = batch.values[tokens[0]].packing
    alike = all(batch.values[name].packing is packing for name in tokens)
    alike = alike and (turned or node.pattern in ("keys-values", "queries-context"))
    operands = [batch.values[name] if alike else batch.full(name) for name in names]
    made = None
    if alike and packing is not None and node.pattern != "keys-values":
        made = Layout(batch.samples, (node.out.shape[0], packing.kept))
    layout = made or batch.layout(node)
    if turned:
        rows = _turned(batch, node, operands, layout)
    else:
        rows = multiplied(batch, node, operands, node.shift, _ceiling(batch, node), storage(node.out), layout)
    return Held(rows, layout, packing if made else None)


def _ceiling(batch: Batch, node: i.SpikeMatmul) -> int:
    """What sums saturate at; 2^31 - 1 where none can."""
    bound = i.largest_sum(node, *(batch.plan.graph.nodes[name].out for name in node.inputs)) << node.shift
    return (1 << 31) - 1 if bound <= node.out.high else min(node.out.high, (1 << 31) - 1)


def _turned(batch: Batch, node: i.SpikeMatmul, operands: list[Held], made: Layout) -> Array:
    """Scores times values as queries times context, which is the same sums in another order."""
    query, key, value = operands
    inner, width = (x.layout.shape[0] // node.heads for x in (key, value))
    layout = Layout(batch.samples, (width * node.heads, inner))
    context = rows_of(layout, batch.steps, np.uint8, batch.memory, clear=True)
    sizes = (batch.samples, node.heads, 0, (1 << 31) - 1)
    count_together(_all_steps(batch, value), _all_steps(batch, key), key.layout.grid[1], *sizes, context)
    rows = rows_of(made, batch.steps, storage(node.out), batch.memory, clear=True)
    wide = (inner, query.layout.grid[1])
    room = batch.memory.array((dot_room(width, inner, wide[1]),), np.uint8)
    sizes = (batch.samples, node.heads, node.shift, _ceiling(batch, node))
    dot_heads(context, _all_steps(batch, query), (False, False), wide, *sizes, room, rows)
    return rows


def multiplied(
    batch: Batch, node: i.SpikeMatmul, inputs: list[Held], shift: int, most: int, dtype: type[Any], made: Layout
) -> Array:
    """Rows of a product whose sums are shifted and saturate at `most`."""
    rows = rows_of(made, batch.steps, dtype, batch.memory, clear=True)
    binary = all(_spikes(batch, name) for name in node.inputs)
    left, right = inputs[::-1] if node.pattern in ("scores-values", "queries-context") else inputs
    sizes = (batch.samples, node.heads, shift, most)
    a, b = _all_steps(batch, left), _all_steps(batch, right)
    if binary and node.pattern == "keys-values":
        count_together(a, b, left.layout.grid[1], *sizes, rows)
        return rows
    turned = (node.pattern in ("scores", "queries-context"), node.pattern in ("scores-values", "keys-values"))
    wide = (left.layout.grid[1], right.layout.grid[1])
    columns = b.shape[1] // node.heads if turned[1] else wide[1]
    types = {x: batch.plan.graph.nodes[name].out for x, name in zip(inputs, node.inputs, strict=True)}
    if a.dtype == b.dtype == np.uint8 and types[left].high <= 127:
        size = (left.layout.grid[1], a.shape[1] // node.heads) if turned[0] else (a.shape[1] // node.heads, wide[0])
        room = batch.memory.array((dot_room(*size, columns),), np.uint8)
        dot_heads(a, b, turned, wide, *sizes, room, rows)
        return rows
    bound = i.largest_sum(node, *(batch.plan.graph.nodes[name].out for name in node.inputs))
    total = np.zeros(columns, np.int16 if bound < 1 << 15 else np.int32)
    multiply_heads(a, b, turned, wide, *sizes, total, rows)
    return rows


def _spikes(batch: Batch, name: str) -> bool:
    out = batch.plan.graph.nodes[name].out
    return out.low >= 0 and out.high <= 1
