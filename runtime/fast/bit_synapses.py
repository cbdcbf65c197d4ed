"""Synapses and the neurons that they feed, bit by bit."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import mask_input
from pumice.hwsim.kernels.bit_synapses import BitScratch, run_bits
from pumice.runtime.fast.batch import Batch, gate_of, lanes_of
from pumice.runtime.fast.bit_plan import STEPS, BitLayer, BitPlan, bit_layer
from pumice.runtime.fast.lanes import ALIGNMENT, Held


def bit_neurons(batch: Batch, node: i.IntLif) -> Held | None:
    """Neurons with the synapses that feed them; None where another kernel is quicker or is needed: of those that are gated or
    whose activity is counted."""
    if batch.counted or mask_input(node):
        return None
    layer, layout = _layer(batch, node), batch.layout(node)
    if layer is None or not layer.quicker(layout.lanes, batch.steps):
        return None
    return Held(_run(batch, node, layer.plan), layout)


def _layer(batch: Batch, node: i.IntLif) -> BitLayer | None:
    plan = batch.plan
    if node.name not in plan.bits:
        synapse, made = plan.graph.nodes[plan.fused[node.name]], plan.synapses[plan.fused[node.name]]
        assert isinstance(synapse, i.Synapse)
        source = plan.graph.nodes[synapse.inputs[0]].out
        plan.bits.setdefault(node.name, bit_layer(node, synapse, source, made.taps, made.dense))
    return plan.bits[node.name]


def _run(batch: Batch, node: i.IntLif, plan: BitPlan) -> NDArray[np.uint8]:
    synapse = batch.plan.graph.nodes[batch.plan.fused[node.name]]
    x, on, out = batch.full(synapse.inputs[0]), batch.layout(node).valid, batch.room(node, np.uint8)
    sizes = (-(-batch.steps // STEPS) * plan.arena, 64 * batch.steps, 32 * batch.steps)
    room = batch.memory.array((sum(sizes),), np.uint8)
    scratch = BitScratch(*accumulate(sizes[:-1], initial=room.ctypes.data))
    weights, tiles = plan.weights(x.rows.strides[1]), on.shape[1] // ALIGNMENT
    run_bits(lanes_of(x.rows), weights, gate_of(on), lanes_of(out), batch.steps, tiles, scratch)
    return out
