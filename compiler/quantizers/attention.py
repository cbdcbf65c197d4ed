"""Attention: products of spikes, levels and counts are integers already; only the grid of the threshold is to choose."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import attention
from pumice.compiler.ir import Change, Node, TensorType
from pumice.compiler.quantization import LevelIntegers, NeuronIntegers, level_integers, neuron_integers
from pumice.compiler.quantizers.context import PASS, Context, Ints, Made, Neuron
from pumice.compiler.quantizers.layers import neurons, target_of
from pumice.compiler.streams import scale_of
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec

CURRENT = arith.ACTIVATION_LIMIT - 1
MAX_COUNT_SHIFT = 8


def quantize_attention(node: f.Attention, neuron: Neuron, c: Context) -> Made:
    """(q kᵀ) v and the neurons that read it."""
    units = prod(scale_of(name, c.done) for name in node.inputs)
    levels = prod(c.done[name].out.high for name in node.inputs)
    tokens, width = node.out.shape[1], c.done[node.inputs[0]].out.shape[0] // node.heads
    q, k, v = (c.payload(name).astype(np.float64) for name in node.inputs)
    counts = attention(q, k, v, node.heads).astype(np.int64)
    grid = _count_grid(neuron, units / node.scale, tokens * width * levels, node.out.shape[0], c.chip)
    integers, shift = grid
    worst = tokens * width * levels << shift
    out = TensorType(node.out.shape, "current", 0, min(worst, CURRENT) if isinstance(neuron, f.MultiSpike) else worst)
    matmul = i.IntAttention(node.name, node.inputs, out, node.source, node.heads, shift)
    return _with_neurons(matmul, neuron, counts, integers, shift, c)


def quantize_coincidences(node: f.Coincidences, neuron: Neuron, c: Context) -> Made:
    """Σ over tokens of k ⊙ v and the LIF that reads it: keys-values with a head for every channel."""
    if any(c.done[name].out.dtype != "spike" for name in node.inputs):
        raise UnsupportedNode(f"node {node.source!r}: coincidences of other than spikes", "k and v must be spikes")
    (channels, tokens), heads = c.done[node.inputs[0]].out.shape, node.out.shape[0]
    k, v = (c.payload(name) for name in node.inputs)
    counts = (k & v).sum(axis=-1, keepdims=True)
    integers, shift = _count_grid(neuron, 1.0, tokens, channels, c.chip)
    out = TensorType(node.out.shape, "current", 0, tokens << shift)
    product = i.SpikeMatmul(node.name, node.inputs, out, node.source, "keys-values", heads, shift)
    return _with_neurons(product, neuron, counts, integers, shift, c)


def quantize_spike_gate(node: f.SpikeGate, c: Context) -> Made:
    """x where its gate spikes."""
    if any(c.done[name].out.dtype != "spike" for name in node.inputs):
        raise UnsupportedNode(f"node {node.source!r}: a gate of other than spikes", "gate and tokens must be spikes")
    out = TensorType(node.out.shape, "spike", 0, 1)
    return [(i.SpikeAnd(node.name, node.inputs, out, node.source), None)]


def _with_neurons(
    product: Node, neuron: Neuron, counts: Ints, integers: NeuronIntegers | LevelIntegers, shift: int, c: Context
) -> Made:
    outputs, _ = integers.run(counts << shift)
    mismatch = float((outputs != target_of(neuron, c).reshape(outputs.shape)).mean())
    data: dict[str, object] = {"shift": shift, "mismatch": mismatch}
    if isinstance(integers, NeuronIntegers) and isinstance(neuron, f.Lif):
        limit = f"θ {neuron.threshold:g} → {integers.vth}"
        data |= {"vth": integers.vth, "tie": integers.tie}
    else:
        assert isinstance(integers, LevelIntegers)
        limit = f"level thresholds {', '.join(str(int(t) >> arith.MEMBRANE_SHIFT) for t in integers.thresholds)}"
        data |= {"thresholds": [int(t) for t in integers.thresholds]}
    text = f"{neuron.name}: attention counts << {shift}, {limit}, spike mismatch {mismatch:.2%}"
    return [(product, None), (neurons(neuron, product.name, integers), Change(PASS, neuron.name, text, data))]


def _count_grid(
    neuron: Neuron, unit: float, largest: int, channels: int, chip: ChipSpec
) -> tuple[NeuronIntegers | LevelIntegers, int]:
    """(integers, shift) for counts of which `unit` are one float unit. For a LIF the smallest shift at which the threshold is a
    whole number, so that exact ties stay ties; levels keep no state, so whole counts compare exactly as they are."""
    zeros = np.zeros(channels)
    if isinstance(neuron, f.MultiSpike):
        levels = level_integers(neuron, zeros, unit, chip)
        if levels is not None:
            return levels, 0
        raise InputError(f"node {neuron.source!r}: no level thresholds at {unit:g} counts per unit", "")
    folded = replace(neuron, threshold=neuron.threshold * unit)
    for shift in range(MAX_COUNT_SHIFT + 1):
        vth = folded.limit * (1 << shift)
        whole = abs(vth - round(vth)) < 1e-9 and vth >= 1
        if whole or largest << (shift + 1) > CURRENT or shift == MAX_COUNT_SHIFT:
            found = neuron_integers(folded, zeros, float(1 << shift), chip)
            if found is None:
                break
            return replace(found, scale=(1 << shift) * unit), shift
    raise InputError(
        f"node {neuron.source!r}: threshold {neuron.threshold} at {unit:g} counts does not fit the chip", ""
    )
