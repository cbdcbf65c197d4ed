"""Neurons by kernels: LIF, levels and membranes, from currents that are stored."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.walk_neurons import active_neurons
from pumice.hwsim import arith
from pumice.hwsim.kernels.fire import Neurons
from pumice.hwsim.kernels.neurons import add_current, run_levels, run_lif
from pumice.hwsim.kernels.sums import take_notes
from pumice.runtime.fast.batch import Batch, all_steps, as_words, gate_of, lanes_of, routed_lanes
from pumice.runtime.fast.lanes import Held, Layout, Packing, rows_of

Array = NDArray[Any]


def lif_numbers(batch: Batch, node: i.IntLif, doubled: int) -> Neurons:
    """A LIF layer as its kernel takes it. doubled: doublings that its sums lack."""
    keep, threshold = arith.DECAY_UNITY - node.dv, node.vth << arith.MEMBRANE_SHIFT
    shift, decays = arith.MEMBRANE_SHIFT + doubled, node.gate_state == "decay"
    bias, saturates = batch.plan.biases[node.name].ctypes.data, node.name not in batch.plan.bounded
    quick = 2 * keep == arith.DECAY_UNITY and not decays and not batch.counted
    return Neurons(True, shift, bias, keep, threshold, decays, 2 * batch.counted, quick, saturates)


def lif_neurons(batch: Batch, node: i.IntLif, x: Held) -> Held:
    """LIF neurons that read a current or a stream as it is."""
    out = batch.room(node, np.uint8)
    _run_lif(batch, node, x, out, False)
    return without_notes(batch, node, out)


def packed_lif(batch: Batch, node: i.IntLif, packing: Packing) -> Held:
    """Gated neurons that read packed currents."""
    layout = Layout(batch.samples, (node.out.shape[0], packing.kept))
    out = rows_of(layout, batch.steps, np.uint8, batch.memory)
    _run_lif(batch, node, batch.values[node.inputs[0]], out, True)
    return Held(out, layout, packing)


def _run_lif(batch: Batch, node: i.IntLif, x: Held, out: Array, packed: bool) -> None:
    on, lanes = routed_lanes(batch, node), batch.layout(node).lanes
    membrane = batch.memory.array((lanes,), np.int32)
    skips = batch.memory.array((batch.steps, lanes // 16), np.int64)
    neurons, currents = lif_numbers(batch, node, 0), as_words(batch, x)
    sizes = (batch.steps, out.shape[1], lanes)
    scratch = (membrane.ctypes.data, skips.ctypes.data)
    run_lif(lanes_of(currents), neurons, gate_of(on), packed, *scratch, lanes_of(out), *sizes)


def without_notes(batch: Batch, node: Node, out: Array) -> Held:
    """Spikes without the notes that the kernel left beside them."""
    made = Held(out, batch.layout(node))
    if batch.counted:
        counts = np.zeros((batch.steps, node.out.shape[0], int(np.prod(node.out.shape[1:]))), np.int64)
        take_notes(out, made.layout.size, batch.samples, counts)
        batch.active[node.name] = counts
    return made


def levels(batch: Batch, node: i.Levels, x: Held) -> Held:
    """Neurons that send how many thresholds they exceed."""
    out, currents = batch.room(node), all_steps(batch, x)
    bias = np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]))
    run_levels(currents, bias, node.thresholds, routed_lanes(batch, node), out)
    return _counted(batch, node, Held(out, batch.layout(node)))


def membranes(batch: Batch, node: i.Membrane, inputs: list[Held]) -> Held:
    """Neurons that send what they receive, streams passing by."""
    out, currents = batch.room(node), all_steps(batch, inputs[0])
    streams = _streams(batch, node, inputs[1 : 1 + len(node.streams)])
    bias = np.ascontiguousarray(np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]))
    add_current(currents, streams, routed_lanes(batch, node), node.shift, bias, node.out.low, node.out.high, out)
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
