"""One node at a time over values in lanes. What has no kernel is computed by `compiler.walk`, on the same values as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.walk import stateless
from pumice.compiler.walk_neurons import active_neurons, begin, run_stateful
from pumice.runtime.fast.attention import attended_neurons, product, within_words
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.lanes import Held, held, storage
from pumice.runtime.fast.neurons import levels, lif_neurons, membranes, packed_lif
from pumice.runtime.fast.scores import scored
from pumice.runtime.fast.streams import gated_spikes, pooled, reshaped, static_mask, sum_with_packed, summed_up, thinned
from pumice.runtime.fast.synapses import currents, fused_neurons

Ints = NDArray[np.int64]


def run_node(batch: Batch, node: Node) -> Held:
    """A node's values, with those that are computed with it (`Plan.is_later`)."""
    if isinstance(node, i.IntLif) and node.name in batch.plan.fused:
        return fused_neurons(batch, node)
    if isinstance(node, i.IntLif) and node.name in batch.plan.attention and not batch.counted:
        return attended_neurons(batch, node)
    if isinstance(node, i.SpikeMatmul) and (node.name in batch.plan.fused or within_words(batch, node)):
        return product(batch, node)
    if isinstance(node, i.Delay | i.OneToOne):
        return batch.values[node.inputs[0]]
    packing = batch.packing(node) if isinstance(node, i.IntLif) else None
    if isinstance(node, i.IntLif) and packing and batch.values[node.inputs[0]].packing is packing:
        return packed_lif(batch, node, packing)
    if isinstance(node, i.Sum) and (made := sum_with_packed(batch, node)):
        return made
    inputs = [batch.full(name) for name in node.inputs if name in batch.values]
    match node:
        case i.IntLif() if node.name in batch.plan.biases and inputs[0].rows.itemsize <= 4:
            return lif_neurons(batch, node, inputs[0])
        case i.Synapse() if node.name in batch.plan.synapses:
            return currents(batch, node, inputs[0])
        case i.Levels() if inputs[0].rows.dtype == np.int32:
            return levels(batch, node, inputs[0])
        case i.Membrane() if inputs[0].rows.dtype == np.int32 and all(x.rows.itemsize <= 2 for x in inputs[1:]):
            return membranes(batch, node, inputs)
        case i.LiveMask():
            return scored(batch, node, inputs[0])
        case i.StaticMask():
            return static_mask(batch, node)
        case i.Reshape():
            return reshaped(batch, node, inputs[0])
        case i.TokenGate():
            return thinned(batch, node, inputs)
        case i.Sum() | i.Currents():
            return summed_up(batch, node, inputs)
        case i.SpikeAnd():
            return gated_spikes(batch, node, *inputs)
        case i.OrPool() | i.MaxPool():
            return pooled(batch, node, inputs[0])
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
