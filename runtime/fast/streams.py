"""What moves streams about: reshapes, gates, sums, pools."""

from __future__ import annotations

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.walk import stateless
from pumice.hwsim.kernels.pools import pool_bytes, pool_rows
from pumice.runtime.fast.batch import Batch, unpacked
from pumice.runtime.fast.lanes import Held, held, packing_of, rows_of, storage
from pumice.runtime.fast.memory import Memory


def reshaped(batch: Batch, node: Node, x: Held) -> Held:
    """The same values in another shape; maps that become tokens lose their borders."""
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


def static_mask(batch: Batch, node: i.StaticMask) -> Held:
    """A mask that is the same for all samples, in lanes: made once for so many samples."""
    key, plan = (node.name, batch.samples), batch.plan
    if key not in plan.static:
        values = stateless(node, [], plan.graph, batch.samples, None)[:, :, None]
        made, steps = held(values, batch.layout(node), storage(node.out), Memory()), batch.steps
        plan.static.setdefault(key, (made, packing_of(made.rows[:, 0], made.layout, steps)))
    made, packing = plan.static[key]
    if not batch.counted:
        batch.packings[node.name] = packing
    return made


def thinned(batch: Batch, node: Node, inputs: list[Held]) -> Held:
    """A stream where its tokens are routed; as it is where nobody looks at others."""
    x, mask = inputs
    if node.name in batch.plan.needless and batch.packing(node) is not None:
        return x
    rows = rows_of(x.layout, max(len(x.rows), len(mask.rows)), x.rows.dtype.type, batch.memory)
    np.multiply(x.rows, mask.rows[:, :1], out=rows, casting="unsafe")
    return Held(rows, x.layout)


def summed_up(batch: Batch, node: Node, inputs: list[Held]) -> Held:
    """Streams, or currents, added up."""
    first, *others = inputs
    if not others:
        return first
    rows = batch.room(node)
    np.add(first.rows, others[0].rows, out=rows, casting="unsafe", dtype=rows.dtype)
    for x in others[1:]:
        np.add(rows, x.rows, out=rows, casting="unsafe", dtype=rows.dtype)
    return Held(rows, batch.layout(node))


def sum_with_packed(batch: Batch, node: i.Sum) -> Held | None:
    """A stream and one of routed tokens, added where these are; None where inputs or what they add up to are something else."""
    inputs = [batch.values[name] for name in node.inputs]
    packed, whole = ([x for x in inputs if (x.packing is None) == bare] for bare in (False, True))
    bytes_only = all(x.rows.dtype == storage(node.out) == np.uint8 for x in inputs)
    if len(packed) != 1 or len(whole) != 1 or not bytes_only:
        return None
    return unpacked(batch, packed[0], batch.layout(node), whole[0])


def gated_spikes(batch: Batch, node: Node, gate: Held, x: Held) -> Held:
    """x where its gate spikes; a gate of one position rules all of a sample's."""
    made = Held(batch.room(node, clear=True), batch.layout(node))
    spikes, gates, out = (value.layout.positions(value.rows) for value in (x, gate, made))
    groups = gates.shape[1]
    split = (groups, out.shape[1] // groups, *out.shape[2:])
    np.bitwise_and(
        spikes.reshape(len(spikes), *split), gates[:, :, None], out=out.reshape(batch.steps, *split), casting="unsafe"
    )
    return made


def pooled(batch: Batch, node: i.OrPool | i.MaxPool, x: Held) -> Held:
    """The largest value of each window."""
    layout = batch.layout(node)
    lowest = 0 if isinstance(node, i.OrPool) else int(np.iinfo(x.rows.dtype).min)
    rows = rows_of(layout, len(x.rows), x.rows.dtype.type, batch.memory, clear=True)
    window, maps = (node.kernel, node.stride, node.padding), (x.rows, x.layout.size, rows, layout.size, batch.samples)
    if x.rows.dtype == np.uint8 and node.stride <= 2 and node.padding <= x.layout.border:
        pool_bytes(*maps, *window)
    else:
        pool_rows(*maps, *window, lowest)
    return Held(rows, layout)
