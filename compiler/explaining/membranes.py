"""The membranes of neurons, in integers and in float, as they are compared with the threshold: before a reset."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.evaluate import lif_update
from pumice.compiler.evaluate_general import fired
from pumice.compiler.explaining.runs import Floats, Ints
from pumice.hwsim import arith
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams, neuron_step


def integer_membrane(current: Ints, params: arith.LifParams) -> tuple[Ints, Ints]:
    """v, in 1/64 current units, as it is compared with the threshold, and the spikes; both shaped as current, [T, B, …]."""
    late = params.reset in ("next", "both")
    probe = replace(params, reset="next" if late else "soft")  # what these leave of v says what it was
    threshold = 0 if late else params.vth << arith.MEMBRANE_SHIFT
    u = v = np.zeros_like(current[0])
    compared, spikes = np.empty_like(current), np.empty_like(current)
    for t in range(current.shape[0]):
        _, left, fired = arith.lif_step(u, v, current[t], probe)
        compared[t] = left + threshold * fired
        u, v, spikes[t] = arith.lif_step(u, v, current[t], params)
    return compared, spikes


def float_membrane(x: Floats, node: f.Lif) -> Floats:
    """v of a float LIF as it is compared with the threshold, from its input x [T, B, …]."""
    late = node.reset in ("next", "both")
    probe = replace(node, reset="next" if late else "soft")
    threshold = 0.0 if late else node.threshold
    v = np.zeros_like(x[0])
    compared = np.empty_like(x)
    for t in range(x.shape[0]):
        left, fired = lif_update(v, x[t], probe)
        compared[t] = left + threshold * fired
        v, _ = lif_update(v, x[t], node)
    return compared


def program_membrane(current: Ints, params: NeuronParams) -> tuple[Ints, Ints]:
    """v of programmable neurons, in 1/64 current units, as it is compared with the threshold, and what they send; both shaped as
    current, [T, B, …]."""
    late = params.reset in ("next", "both")
    probe = replace(params, reset="next" if late else "soft", floor=np.full_like(params.floor, NO_FLOOR))
    threshold = 0 if late else params.threshold
    u, v = params.begin(current.shape[1:])
    compared, sent = np.empty_like(current), np.empty_like(current)
    for t in range(current.shape[0]):
        _, left, spikes = neuron_step(u, v, current[t], probe)
        compared[t] = left + threshold * spikes
        u, v, sent[t] = neuron_step(u, v, current[t], params)
    return compared, sent


def general_membrane(x: Floats, node: g.Neuron) -> Floats:
    """v of general neurons in float as it is compared with the threshold, from their input x [T, B, …]."""
    rule, leak, current = node.firing, node.membrane, node.current
    assert rule is not None
    late = rule.reset == "subtract" and rule.reset_at != "spike"
    probe = replace(rule, reset="subtract", reset_at="next" if late else "spike", low=None)
    threshold = 0.0 if late else rule.threshold
    v = np.broadcast_to(leak.start, x.shape[1:])
    u = np.zeros(x.shape[1:]) if current is None else np.broadcast_to(current.start, x.shape[1:])
    compared = np.empty_like(x)
    for t in range(x.shape[0]):
        u = x[t] if current is None else current.keep * u + current.gain * x[t] + current.offset
        new = leak.keep * v + leak.gain * u + leak.offset
        spikes, left = fired(v, new, probe)
        compared[t] = left + threshold * spikes
        _, v = fired(v, new, rule)
    return compared
