"""Which of NIR's neurons a chip's LIF can be, and how: gain, leak and reset of a general neuron as those of a LIF layer."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.hwsim.arith import Reset

ResetAt = Literal["spike", "next", "both"]
SUBTRACTIONS: dict[str, Reset] = {"spike": "soft", "next": "next", "both": "both"}  # by the words of `readings.Reading`


def neuron_problem(node: g.Neuron) -> str:
    """Why a neuron has no integer form, "" where it has one."""
    if node.firing is not None and np.any(gain_of(node) <= 0):
        return f"an input gain of {float(gain_of(node).min()):g}: neurons that fire need one above 0"
    if node.firing is not None and node.firing.spikes == "many" and np.any(node.firing.threshold <= 0):
        return f"several spikes a step with a threshold of {float(node.firing.threshold.min()):g}: it must be above 0"
    return ""


def gain_of(node: g.Neuron) -> g.Floats:
    """What one unit of input adds to the membrane in its own step."""
    return node.membrane.gain if node.current is None else node.membrane.gain * node.current.gain


def has_channel_gains(node: g.Neuron) -> bool:
    """Whether all positions of a channel have one gain, so that weights can take it."""
    rows = gain_of(node).reshape(node.out.shape[0], -1)
    return bool(np.all(rows == rows[:, :1]))


def without_gain(node: g.Neuron) -> g.Neuron:
    """The same neurons for an input that has been multiplied by their gain."""
    leak, current = node.membrane, node.current
    ones = np.ones_like(leak.gain)
    if current is not None:
        current = replace(current, gain=ones, offset=current.offset * leak.gain, start=current.start * leak.gain)
    return replace(node, membrane=replace(leak, gain=ones), current=current)


def is_lif(node: g.Neuron) -> bool:
    """Whether a neuron is a plain LIF layer: one leak, gain and threshold for all its neurons, that rests at 0."""
    fire, leak = node.firing, node.membrane
    if fire is None or node.current is not None or fire.spikes != "one" or fire.low is not None:
        return False
    if not all(_is_uniform(values) for values in (leak.keep, leak.gain, fire.threshold)):
        return False
    resting = not np.any(leak.offset) and not np.any(leak.start)
    zeroed = fire.reset != "zero" or not np.any(fire.v_reset)
    return resting and zeroed and bool(leak.keep.flat[0] > 0 and fire.threshold.flat[0] > 0)


def lif_of(node: g.Neuron) -> f.Lif:
    """The LIF layer that a neuron `is_lif`."""
    fire, leak = node.firing, node.membrane
    assert fire is not None
    keep, gain, threshold = (float(values.flat[0]) for values in (leak.keep, leak.gain, fire.threshold))
    tau = float("inf") if keep == 1 else 1 / (1 - keep)
    return f.Lif(node.name, node.inputs, node.out, node.source, tau, threshold, fire.comparator, gain, reset_of(fire))


def neuron_of(lif: f.Lif) -> g.Neuron:
    """A LIF layer as neurons of the general kind."""
    ones, zeros = np.ones(lif.out.shape), np.zeros(lif.out.shape)
    gain = 1 / lif.tau if lif.gain is None else lif.gain
    leak = g.Leak(ones * (1 - 1 / lif.tau), ones * gain, zeros, zeros)
    words: dict[Reset, ResetAt] = {"hard": "spike", "soft": "spike", "next": "next", "both": "both"}
    reset: Literal["zero", "subtract"] = "zero" if lif.reset == "hard" else "subtract"
    fire = g.Firing(ones * lif.threshold, lif.comparator, reset, words[lif.reset], zeros, "one", None)
    return g.Neuron(lif.name, lif.inputs, lif.out, lif.source, leak, None, fire)


def reset_of(fire: g.Firing) -> Reset:
    """The chip's word for a reset."""
    return "hard" if fire.reset == "zero" else SUBTRACTIONS[fire.reset_at]


def threshold_neuron(node: g.Threshold) -> g.Neuron:
    """A threshold as neurons that keep nothing from step to step."""
    zeros = np.zeros(node.out.shape)
    leak = g.Leak(keep=zeros, gain=zeros + 1, offset=zeros, start=zeros)
    fire = g.Firing(node.threshold, node.comparator, "zero", "spike", zeros, "one", None)
    return g.Neuron(node.name, node.inputs, node.out, node.source, leak, None, fire)


def _is_uniform(values: g.Floats) -> bool:
    return values.size > 0 and bool(np.all(values == values.flat[0]))
