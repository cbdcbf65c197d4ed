"""Products of attention by kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.hwsim.kernels.attend import Heads, attend_heads, attend_room
from pumice.hwsim.kernels.attention import LARGEST, count_together, dot_heads, dot_room, multiply_heads
from pumice.runtime.fast.attention_plan import BYTE
from pumice.runtime.fast.batch import Batch, all_steps, gate_of, lanes_of, routed_lanes
from pumice.runtime.fast.lanes import Held, Layout, rows_of, storage
from pumice.runtime.fast.neurons import lif_numbers

Array = NDArray[Any]


def within_words(batch: Batch, node: i.SpikeMatmul) -> bool:
    """Whether no sum of a product, shifted, can leave 32 bits."""
    types = [batch.plan.graph.nodes[name].out for name in node.inputs]
    return min(out.low for out in types) >= 0 and i.largest_sum(node, *types) << node.shift < 1 << 31


def product(batch: Batch, node: i.SpikeMatmul) -> Held:
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


def attended_neurons(batch: Batch, node: i.IntLif) -> Held:
    """Neurons with both products of the attention that they read, on packed tokens where all three operands are."""
    one, packing = batch.plan.attention[node.name], batch.packing(node)
    names = (one.query, one.key, one.value)
    packed = packing is not None and all(batch.values[name].packing is packing for name in names)
    query, key, value = (batch.values[name] if packed else batch.full(name) for name in names)
    layout = query.layout if packed else batch.layout(node)
    layout = Layout(batch.samples, (node.out.shape[0], layout.shape[1]))
    out = rows_of(layout, batch.steps, np.uint8, batch.memory, clear=layout.used < layout.lanes)
    inner, width = query.layout.shape[0] // one.heads, node.out.shape[0] // one.heads
    sizes = Heads(batch.steps, batch.samples, one.heads, inner, width, node.out.shape[1], layout.shape[1], packed)
    room = batch.memory.array((attend_room(sizes),), np.uint8)
    neurons = lif_numbers(batch, node, one.shift)
    operands = (lanes_of(query.rows), lanes_of(key.rows), lanes_of(value.rows))
    attend_heads(*operands, neurons, gate_of(routed_lanes(batch, node)), sizes, room, lanes_of(out))
    return Held(out, layout, packing if packed else None)


def _ceiling(batch: Batch, node: i.SpikeMatmul) -> int:
    """What sums saturate at; 2^31 - 1 where none can."""
    bound = i.largest_sum(node, *(batch.plan.graph.nodes[name].out for name in node.inputs)) << node.shift
    return LARGEST if bound <= node.out.high else min(node.out.high, LARGEST)


def _turned(batch: Batch, node: i.SpikeMatmul, operands: list[Held], made: Layout) -> Array:
    """Scores times values as queries times context, which is the same sums in another order."""
    query, key, value = operands
    inner, width = (x.layout.shape[0] // node.heads for x in (key, value))
    layout = Layout(batch.samples, (width * node.heads, inner))
    context = rows_of(layout, batch.steps, np.uint8, batch.memory, clear=True)
    sizes = (batch.samples, node.heads, 0, LARGEST)
    count_together(all_steps(batch, value), all_steps(batch, key), key.layout.grid[1], *sizes, context)
    rows = rows_of(made, batch.steps, storage(node.out), batch.memory, clear=True)
    wide = (inner, query.layout.grid[1])
    room = batch.memory.array((dot_room(width, inner, wide[1]),), np.uint8)
    sizes = (batch.samples, node.heads, node.shift, _ceiling(batch, node))
    dot_heads(context, all_steps(batch, query), (False, False), wide, *sizes, room, rows)
    return rows


def multiplied(
    batch: Batch, node: i.SpikeMatmul, inputs: list[Held], shift: int, most: int, dtype: type[Any], made: Layout
) -> Array:
    """Rows of a product whose sums are shifted and saturate at `most`."""
    rows = rows_of(made, batch.steps, dtype, batch.memory, clear=True)
    binary = all(_spikes(batch, name) for name in node.inputs)
    left, right = inputs[::-1] if node.pattern in ("scores-values", "queries-context") else inputs
    sizes = (batch.samples, node.heads, shift, most)
    a, b = all_steps(batch, left), all_steps(batch, right)
    if binary and node.pattern == "keys-values":
        count_together(a, b, left.layout.grid[1], *sizes, rows)
        return rows
    turned = (node.pattern in ("scores", "queries-context"), node.pattern in ("scores-values", "keys-values"))
    wide = (left.layout.grid[1], right.layout.grid[1])
    columns = b.shape[1] // node.heads if turned[1] else wide[1]
    types = {x: batch.plan.graph.nodes[name].out for x, name in zip(inputs, node.inputs, strict=True)}
    if a.dtype == b.dtype == np.uint8 and types[left].high <= BYTE:
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
