"""Neurons that read currents which are stored: LIF, levels and membranes, row by row. Currents are int32 [T, C, lanes]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.arith import MEMBRANE_SHIFT
from pumice.hwsim.kernels.lif_rows import lif_rows
from pumice.hwsim.kernels.row_tiles import clear_words
from pumice.hwsim.kernels.synapses import Lanes, Neurons

Array = NDArray[Any]
LARGEST = (1 << 31) - 1  # current


@njit(nogil=True, cache=True)
def run_lif(
    currents: Lanes, neurons: Neurons, on: Lanes, membrane: int, out: Lanes, steps: int, channels: int, lanes: int
) -> None:
    """LIF neurons, channel by channel. currents: int32; on: which lanes are routed (uint8); membrane: address of [lanes] (int32);
    out: uint8."""
    for c in range(channels):
        clear_words(np.uintp(membrane), lanes // 16)
        for t in range(steps):
            sums = np.uintp(currents.address + t * currents.step + c * currents.row)
            routed, spikes = np.uintp(on.address + t * on.step), np.uintp(out.address + t * out.step + c * out.row)
            bias = np.uintp(neurons.bias + 4 * c)
            numbers = (np.int32(neurons.shift), bias, np.int32(neurons.keep), np.int32(neurons.threshold), routed)
            flags = (neurons.decays, np.uint8(neurons.noted))
            lif_rows(1, lanes // 16, sums, False, sums, np.uintp(membrane), 0, *numbers, *flags, spikes, 0)


@njit(nogil=True, cache=True)
def run_levels(currents: Array, bias: Array, thresholds: Array, on: Array, out: Array) -> None:
    """How many thresholds (int64, 1/64 current units) each neuron exceeds, `arith.spike_levels`; nothing where not routed."""
    steps, channels, lanes = currents.shape
    for t in range(steps):
        routed = on[t if on.shape[0] > 1 else 0]
        for c in range(channels):
            row, into = currents[t, c], out[t, c]
            into[:] = 0
            for k in range(thresholds.shape[0]):
                # (a << 6) + bias > threshold, in whole currents
                least = min(max((thresholds[k] - bias[c]) >> MEMBRANE_SHIFT, -LARGEST - 1), LARGEST)
                for lane in range(lanes):
                    into[lane] += row[lane] > np.int32(least)
            for lane in range(lanes):
                into[lane] *= routed[lane]


@njit(nogil=True, cache=True)
def add_current(
    currents: Array, streams: Array, on: Array, shift: int, bias: Array, low: int, high: int, out: Array
) -> None:
    """Membranes that send what they receive, `arith.membrane`: currents · 2^shift + bias where routed, plus streams."""
    steps, channels, lanes = currents.shape
    half = 1 << (-shift - 1) if shift < 0 else 0
    for t in range(steps):
        routed = on[t if on.shape[0] > 1 else 0]
        for c in range(channels):
            for lane in range(lanes):
                current = np.int64(currents[t, c, lane])
                added = (current << shift if shift >= 0 else (current + half) >> -shift) + bias[c]
                total = (added if routed[lane] else 0) + streams[t, c, lane]
                out[t, c, lane] = min(max(total, low), high)
