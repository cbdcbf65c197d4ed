"""What the neurons of a program do over a sample's timesteps: arrays [T, B, …] in, arrays [T, B, …] out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.hwsim import arith

Ints = NDArray[np.int64]


def run_lif(node: i.IntLif, inputs: list[Ints]) -> tuple[Ints, Ints]:
    """Spikes [T, B, C, …] of a layer, and its active neurons. A neuron is active in a step when it is routed and has an
    input, a bias or a membrane to update."""
    current = inputs[0]
    params = node.params
    u = v = np.zeros_like(current[0])
    spikes = np.empty_like(current)
    active = np.empty((current.shape[0], *current.shape[2:]), np.int64)
    for t in range(current.shape[0]):
        routed = np.ones((), np.bool_) if node.gate_state == "" else inputs[1][t][:, None, :] > 0
        active[t] = (routed & ((current[t] != 0) | (params.bias != 0) | (v != 0))).sum(axis=0)
        if node.gate_state == "":
            u, v, spikes[t] = arith.lif_step(u, v, current[t], params)
        else:
            u, v, spikes[t] = arith.gated_lif_step(u, v, current[t], routed, params, node.gate_state)
    return spikes, active


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
