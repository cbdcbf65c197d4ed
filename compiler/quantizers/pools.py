"""Sums over windows, exact; and the counters at the end of a network whose output is spikes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, TensorType
from pumice.compiler.quantizers.context import PASS, Context, Made
from pumice.compiler.quantizers.streams import one_to_one
from pumice.compiler.streams import scale_of
from pumice.hwsim import arith


def quantize_sum_pool(node: f.SumPool, c: Context) -> Made:
    """Graded neurons that send the sum of their window: synapses of weight 2, the least there is, and a shift by one bit. The
    divisor goes into the scale, so that nothing is rounded."""
    source, area, channels = c.done[node.inputs[0]].out, node.kernel[0] * node.kernel[1], node.out.shape[0]
    low, high = source.low * area, source.high * area
    scale = scale_of(node.inputs[0], c.done) * node.divisor
    current = TensorType(node.out.shape, "current", 2 * low, 2 * high)
    weight = np.full((channels, 1, *node.kernel), 2, np.int64)
    name, where = f"{node.name}.synapse", (node.stride, node.padding)
    synapse = i.Synapse(name, node.inputs, current, node.source, weight, *where, 2 * scale, channels)
    out = TensorType(node.out.shape, "graded", low, high)
    sums = i.Membrane(node.name, (name,), out, node.source, -1, np.zeros(channels, np.int64), scale)
    text = f"{node.name}: sums of {area} payloads, {low} to {high}, scale {scale:g}; nothing is rounded"
    return [(synapse, None), (sums, Change(PASS, node.name, text, {"scale": scale, "low": low, "high": high}))]


def counted_output(name: str, c: Context) -> Made:
    """For a network that does not end in a mean over time: a read-out with one counter a neuron, which adds up what the last node
    sends over a sample's timesteps."""
    source = c.done[name]
    outputs = int(np.prod(source.out.shape))
    flat = i.Reshape(f"{name}.outputs", (name,), replace(source.out, shape=(outputs, 1)), source.source)
    c.done[flat.name] = flat
    current = one_to_one(f"{name}.counted", flat.name, c)
    total = TensorType((outputs,), "graded", -arith.STATE_LIMIT + 1, arith.STATE_LIMIT - 1)
    scale = 1 / scale_of(name, c.done)
    counts = i.Readout(f"{name}.counts", (current.name,), total, source.source, np.zeros(outputs, np.int64), scale)
    sent = "spikes" if source.out.dtype == "spike" else "payloads"
    text = f"{name}: the network ends in {sent}; its output is their sum over {c.graph.timesteps} steps, a neuron"
    return [(flat, None), (current, None), (counts, Change(PASS, name, text, {"outputs": outputs}))]
