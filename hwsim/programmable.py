"""Programmable neurons, in the integers of `arith`: what NIR's neurons can be beyond the chip's fixed LIF.

Loihi 2 runs a small program in each neuron, with + - * >> and compare. Everything here is that, on 24-bit states in 1/64 current
units, which saturate; the number of whole thresholds in v is found on a chip by comparing with their multiples.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.arith import MEMBRANE_SHIFT, Ints, LifParams, Reset, after_spikes, decay, saturate, shifted

NO_FLOOR = -(1 << 24)  # below any membrane


@dataclass(frozen=True)
class NeuronParams:
    """A population of programmable neurons; every array broadcasts over it, states are in 1/64 current units.

    threshold: from 1 where most > 1. dv, du: decays of membrane and current, of 4096; du = 4096 keeps no current. bias,
    current_bias: added to membrane and current in every step. start, current_start: the states before a sample's first step.
    v_reset: the membrane after a spike, where reset is "hard"; the other resets are those of `arith.LifParams`. floor: the least
    membrane. most: spikes in a step, as many as whole thresholds fit into v; 0 for neurons that do not fire but send
    v · 2^shift, clipped to `limits`. inclusive: v >= threshold fires.
    """

    threshold: Ints
    dv: Ints
    du: Ints
    bias: Ints
    current_bias: Ints
    start: Ints
    current_start: Ints
    v_reset: Ints
    floor: Ints
    reset: Reset = "hard"
    inclusive: bool = False
    most: int = 1
    shift: int = 0
    limits: tuple[int, int] = (0, 1)

    def begin(self, shape: tuple[int, ...]) -> tuple[Ints, Ints]:
        """(u, v) of a population before a sample's first step."""
        return np.broadcast_to(self.current_start, shape), np.broadcast_to(self.start, shape)


def program_of(lif: LifParams, axes: int) -> NeuronParams:
    """LIF neurons of `axes` axes that keep nothing of their current, as programmable ones: the same spikes and membranes."""
    one = np.ones((1,) * axes, np.int64)
    return NeuronParams(
        threshold=one * (lif.vth << MEMBRANE_SHIFT),
        dv=one * lif.dv,
        du=one * (lif.du + 1),
        bias=lif.bias,
        current_bias=0 * one,
        start=0 * one,
        current_start=0 * one,
        v_reset=0 * one,
        floor=one * NO_FLOOR,
        reset=lif.reset,
        inclusive=lif.inclusive,
    )


def neuron_step(u: Ints, v: Ints, a_in: Ints, p: NeuronParams) -> tuple[Ints, Ints, Ints]:
    """One timestep. u, v, a_in: any common shape; returns the new u, v, and what the neurons send: spikes, or their membrane."""
    u = saturate(decay(u, p.du) + (a_in << MEMBRANE_SHIFT) + p.current_bias)
    owed = p.threshold * thresholds_in(v, p) if p.reset in ("next", "both") else np.zeros_like(v)
    v = saturate(decay(v, p.dv) + u + p.bias - owed)
    if p.most == 0:
        return u, v, np.clip(shifted(v, p.shift), *p.limits)
    spikes = thresholds_in(v, p)
    after = saturate(after_spikes(v, spikes, owed, p.threshold, p.reset, p.v_reset))
    return u, np.maximum(after, p.floor), spikes


def thresholds_in(v: Ints, p: NeuronParams) -> Ints:
    """How many spikes a membrane is worth: whole thresholds that it is beyond or, inclusive, at; no more than `most`. Neurons
    that send one spike a step may have a threshold of 0 or below."""
    if p.most == 1:
        return np.asarray(v >= p.threshold if p.inclusive else v > p.threshold, np.int64)
    whole: NDArray[np.int64] = np.floor_divide(v if p.inclusive else v - 1, p.threshold)
    return np.clip(whole, 0, p.most)
