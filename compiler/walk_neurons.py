"""What the neurons of a program do over a sample's timesteps: arrays [T, B, …] in, arrays [T, B, …] out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.hwsim import arith
from pumice.hwsim.programmable import neuron_step

Ints = NDArray[np.int64]
State = tuple[Ints, Ints]


def begin(node: i.IntLif | i.Programmable, like: Ints) -> State:
    """u and v before a sample's first step, for currents `like` [B, C, …]."""
    if isinstance(node, i.Programmable):
        return node.params.begin(like.shape)
    return np.zeros_like(like), np.zeros_like(like)


def run_stateful(
    node: i.IntLif | i.Programmable, inputs: list[Ints], state: State, counts: bool = True
) -> tuple[Ints, Ints, State]:
    """What a layer sends [T, B, C, …] from `state` on; if it counts, how many samples found each neuron active, [T, C, …]; the
    state after it. A neuron is active in a step when it is routed and has an input, a bias or a state to update."""
    current = inputs[0]
    u, v = state
    sent = np.empty_like(current)
    active = np.zeros((current.shape[0] if counts else 0, *current.shape[2:]), np.int64)
    for t in range(current.shape[0]):
        routed = _routed(node, inputs, t)
        if counts:
            active[t] = (routed & _busy(node, current[t], u, v)).sum(axis=0)
        u, v, sent[t] = _step(node, u, v, current[t], routed)
    return sent, active, (u, v)


def _routed(node: i.IntLif | i.Programmable, inputs: list[Ints], t: int) -> NDArray[np.bool_]:
    gated = isinstance(node, i.IntLif) and node.gate_state != ""
    return inputs[1][t][:, None, :] > 0 if gated else np.ones((), np.bool_)


def _busy(node: i.IntLif | i.Programmable, current: Ints, u: Ints, v: Ints) -> NDArray[np.bool_]:
    remembers = u != 0 if isinstance(node, i.Programmable) else False
    return np.asarray((current != 0) | _driven(node) | (v != 0) | remembers)


def _driven(node: i.IntLif | i.Programmable) -> NDArray[np.bool_]:
    """Neurons that something is added to in every step."""
    if isinstance(node, i.IntLif):
        return np.asarray(node.bias != 0)
    return np.asarray((node.params.bias != 0) | (node.params.current_bias != 0))


def _step(
    node: i.IntLif | i.Programmable, u: Ints, v: Ints, a_in: Ints, routed: NDArray[np.bool_]
) -> tuple[Ints, Ints, Ints]:
    if isinstance(node, i.Programmable):
        return neuron_step(u, v, a_in, node.params)
    if node.gate_state == "":
        u, v, spikes = arith.lif_step(u, v, a_in, node.params)
    else:
        u, v, spikes = arith.gated_lif_step(u, v, a_in, routed, node.params, node.gate_state)
    return u, v, spikes.astype(np.int64)


def run_memoryless(node: i.Levels | i.Membrane, inputs: list[Ints]) -> Ints:
    """Levels or stream values [T, B, C, …]. A neuron that is not routed sends no level, or passes its streams on."""
    routed = inputs[-1][:, :, None, :] > 0 if node.gated else None
    if isinstance(node, i.Levels):
        levels = arith.spike_levels(inputs[0], node.bias, node.thresholds)
        return levels if routed is None else levels * routed
    streams = sum(inputs[1 : 1 + len(node.streams)])
    return arith.membrane(inputs[0], streams, routed, node.shift, node.bias, node.out.low, node.out.high)


def active_neurons(node: i.Levels | i.Membrane, inputs: list[Ints], value: Ints) -> Ints:
    """How many samples found each neuron active, [T, C, …]: it has an output, or is routed and has an input or a bias.
    One whose token is not routed, but that passes a stream on, works as much as any other."""
    busy = (inputs[0] != 0) | (node.bias != 0)
    if isinstance(node, i.Membrane):
        busy = np.logical_or.reduce([busy, *(inputs[k] != 0 for k in range(1, 1 + len(node.streams)))])
    routed = inputs[-1][:, :, None, :] > 0 if node.gated else np.ones((), np.bool_)
    return np.asarray(((value != 0) | (busy & routed)).sum(axis=1))


def run_readout(node: i.Readout, current: Ints) -> Ints:
    """Running totals [T, B, K] from currents [T, B, K, N]."""
    total = np.broadcast_to(node.offset, current.shape[1:3])
    totals = []
    for t in range(current.shape[0]):
        total = arith.accumulate(total, current[t].sum(axis=-1))
        totals.append(total)
    return np.stack(totals)
