"""Neurons that read currents which are stored: LIF, levels and membranes, row by row. Currents are int32 [T, C, lanes]."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from pumice.hwsim.arith import MEMBRANE_SHIFT
from pumice.hwsim.kernels.fire import Neurons, fire_rows
from pumice.hwsim.kernels.row_tiles import clear_words, skip_lanes, spread_rows
from pumice.hwsim.kernels.synapses import Lanes

Array = NDArray[Any]
LARGEST = (1 << 31) - 1  # current


@njit(nogil=True, cache=True)
def run_lif(
    currents: Lanes,
    neurons: Neurons,
    on: Lanes,
    packed: bool,
    membrane: int,
    skips: int,
    out: Lanes,
    steps: int,
    channels: int,
    lanes: int,
) -> None:
    """LIF neurons, channel by channel. currents: int32; on: which lanes are routed (uint8); packed: currents and out are of those
    only. membrane: address of [lanes] (int32); skips: of [T, lanes / 16] (int64); out: uint8."""
    chunks = lanes // 16
    for t in range(steps):
        skip_lanes(np.uintp(on.address + t * on.step), chunks, 0, np.uintp(skips + t * chunks * 8))
    for c in range(channels):
        clear_words(np.uintp(membrane), chunks)
        for t in range(steps):
            sums, before = currents.address + t * currents.step + c * currents.row, skips + t * chunks * 8
            routed, spikes = on.address + t * on.step, out.address + t * out.step + c * out.row
            fire_rows(neurons, c, 1, chunks, (sums, packed, before, membrane, 0), routed, spikes, 0)


@njit(nogil=True, cache=True)
def unpack_rows(
    x: Lanes, on: Lanes, skips: int, base: Lanes, out: Lanes, steps: int, channels: int, lanes: int
) -> None:
    """Bytes of the routed lanes where their lanes are, 0 elsewhere; added to those of base, whose address is 0 if there are none,
    its rows as far apart as those of out. skips: address of [lanes / 16] (int64)."""
    for t in range(steps):
        routed, before = np.uintp(on.address + t * on.step), np.uintp(skips)
        skip_lanes(routed, lanes // 16, 0, before)
        source, target = np.uintp(x.address + t * x.step), np.uintp(out.address + t * out.step)
        others, more = np.uintp(base.address + t * base.step), base.address != 0
        spread_rows(source, x.row, channels, routed, lanes // 64, before, others, more, target, out.row)


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
