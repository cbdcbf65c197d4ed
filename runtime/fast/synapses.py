"""Synapses by kernels: with the neurons that they feed, or by themselves."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.hwsim.kernels.fire import Neurons
from pumice.hwsim.kernels.synapses import TILE, Routing, Scratch, run_synapses
from pumice.runtime.fast.batch import Batch, gate_of, lanes_of, routed_lanes
from pumice.runtime.fast.bit_synapses import bit_neurons
from pumice.runtime.fast.lanes import Held, Layout, Packing, rows_of
from pumice.runtime.fast.neurons import lif_numbers, without_notes
from pumice.runtime.fast.synapse_plan import GROUP, SynapsePlan

Array = NDArray[Any]
LAID = 1 << 20  # bytes of inputs laid out at a time: with weights beside them they fit the second cache
MOST_TOGETHER = 4  # tiles whose routed lanes are pushed together


def fused_neurons(batch: Batch, node: i.IntLif) -> Held:
    """Neurons with the synapses that feed them."""
    by_bits = bit_neurons(batch, node)
    if by_bits is not None:
        return by_bits
    name = batch.plan.fused[node.name]
    synapse, plan = batch.plan.graph.nodes[name], batch.plan.synapses[name]
    packing, source = batch.packing(node), synapse.inputs[0]
    neurons = lif_numbers(batch, node, plan.shift)
    if packing is not None:
        x = batch.values[source] if batch.values[source].packing is packing else batch.full(source)
        layout = Layout(batch.samples, (node.out.shape[0], packing.kept))
        out = rows_of(layout, batch.steps, np.uint8, batch.memory)
        _run(batch, plan, x, neurons, routed_lanes(batch, node), out, packing)
        return Held(out, layout, packing)
    x, out = batch.full(source), batch.room(node, np.uint8)
    _run(batch, plan, x, neurons, routed_lanes(batch, node), out)
    return without_notes(batch, node, out)


def currents(batch: Batch, node: i.Synapse, x: Held) -> Held:
    """Synaptic currents by themselves, in int32."""
    plan, out = batch.plan.synapses[node.name], batch.room(node, np.int32)
    nobody = Neurons(False, plan.shift, 0, 0, 0, False, 0, False, False)
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
    laid, lanes, groups = together * inputs * TILE, GROUP * together * TILE, len(plan.first) // GROUP
    span = max(1, min(batch.steps, LAID // laid))
    sizes = (
        span * laid,
        laid,
        4 * lanes,
        4 * lanes * (groups if span < batch.steps else 1),
        span * together * TILE // 2,
    )
    room = batch.memory.array((sum(sizes),), np.uint8)  # every size is a multiple of 32, the last one the least
    scratch = Scratch(span, *accumulate(sizes[:-1], initial=room.ctypes.data))
    before = 0 if packing is None else packing.before.ctypes.data
    some = packing is not None
    routing = Routing(gate_of(on), together, some, some and x.packing is packing, before)
    run_synapses(lanes_of(x.rows), weights, neurons, routing, lanes_of(out), batch.steps, on.shape[1] // TILE, scratch)
