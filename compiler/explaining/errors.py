"""How far a quantized node alone is from its float node, on calibration data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining.explanation import Errors
from pumice.compiler.explaining.membranes import float_membrane, general_membrane, integer_membrane, program_membrane
from pumice.compiler.explaining.runs import Floats, Look, same_so_far
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.hwsim import arith

UNIT = 1 << arith.MEMBRANE_SHIFT


def lif_errors(node: i.IntLif, look: Look) -> Errors:
    """Of the membrane and the spikes of LIF neurons. V on the chip is 64 · scale / gain times the float v."""
    lif, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    assert isinstance(lif, f.Lif)
    current = look.current(feed)
    v, spikes = integer_membrane(current, node.params)
    x = look.values[lif.inputs[0]].reshape(current.shape)
    back = v / (UNIT * look.current_scale(feed)) * (lif.threshold / lif.limit)
    target = look.values[node.name].reshape(current.shape)
    return _errors("v", back - float_membrane(x, lif), spikes, target, "spikes")


def program_errors(node: i.Programmable, look: Look) -> Errors:
    """Of the membrane and the spikes of programmable neurons that fire."""
    neuron, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    assert isinstance(neuron, g.Neuron)
    current = look.current(feed)
    v, spikes = program_membrane(current, node.params)
    x = look.values[neuron.inputs[0]].reshape(-1, *current.shape[1:2], *neuron.out.shape)
    exact = general_membrane(x, neuron)
    error = v.reshape(exact.shape) / (UNIT * node.scale) * gain_of(neuron) - exact
    target = look.values[node.name].reshape(current.shape)
    return _errors("v", error.reshape(current.shape), spikes, target, "spikes")


def sender_errors(node: i.Programmable, look: Look) -> tuple[Errors, float]:
    """Of the membrane that neurons send; and the share of it that was clipped to the payload."""
    current = look.current(look.integers.nodes[node.inputs[0]])
    _, sent = program_membrane(current, node.params)
    target = look.values[node.name].reshape(current.shape)
    clipped = np.abs(target * node.norm) > node.params.limits[1]
    return _plain("v", sent / node.norm - target), float(clipped.mean())


def level_errors(node: i.Levels, look: Look) -> Errors:
    """Of the value that MultiSpike neurons round, and of the levels that they send."""
    neuron, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    current = look.current(feed)
    levels = arith.spike_levels(current, node.bias, node.thresholds)
    back = ((current << arith.MEMBRANE_SHIFT) + node.bias) / (UNIT * look.current_scale(feed))
    x = look.values[neuron.inputs[0]].reshape(current.shape)
    target = np.rint(look.values[node.name] * node.norm).reshape(current.shape)
    return _errors("v", back - x, levels, target, "levels")


def membrane_errors(node: i.Membrane, look: Look) -> tuple[Errors, float]:
    """Of the real values that a stream carries; and the share of them that was clipped."""
    current = look.current(look.integers.nodes[node.inputs[0]])
    streams = sum((look.payload(name) for name in node.streams), np.zeros_like(current))
    free = arith.shifted(current, node.shift) + node.bias + streams
    values = np.clip(free, node.out.low, node.out.high)
    target = look.values[node.name].reshape(current.shape)
    return _plain("value", values / node.scale - target), float((values != free).mean())


def token_sum_errors(node: i.TokenSum, look: Look) -> Errors:
    """Of a mean over tokens that neurons read."""
    values = arith.token_sum(look.payload(node.inputs[0]), node.shift)
    return _plain("value", values / node.scale - look.values[node.name].reshape(values.shape))


def input_errors(node: i.GradedInput, look: Look) -> Errors:
    """Of the samples."""
    return _plain("input", look.payload(node.name) / node.scale - look.values[node.name])


def readout_errors(node: i.Readout, look: Look) -> Errors:
    """Of the logits, and of the classes that samples are given."""
    current = look.current(look.integers.nodes[node.inputs[0]])
    total = node.offset + current.sum(axis=(0, -1))
    target = look.values[node.name][-1]
    error = np.abs(total * node.scale - target)
    changed = float((total.argmax(axis=-1) != target.argmax(axis=-1)).mean())
    return Errors("logit", float(error.mean()), float(error.max()), None, changed, "classes", error.size)


def _errors(of: str, error: Floats, sent: NDArray[Any], target: NDArray[Any], what: str) -> Errors:
    size = np.abs(error)
    before = float(size[same_so_far(sent, target)].max(initial=0))
    changed = float((sent != target).mean())
    return Errors(of, float(size.mean()), float(size.max()), before, changed, what, size.size)


def _plain(of: str, error: Floats) -> Errors:
    size = np.abs(error)
    return Errors(of, float(size.mean()), float(size.max()), None, None, "", size.size)
