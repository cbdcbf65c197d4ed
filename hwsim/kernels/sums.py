"""Sums over the samples in lanes, neuron by neuron: what counting needs of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(nogil=True, cache=True)  # type: ignore[misc]
def add_samples(x: Array, events: Array, payloads: Array) -> None:
    """Adds, over samples, how many values of x [T, C, B, P] are not 0, and their sum, to events and payloads [T, C, P]."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(x.shape[2]):
                for p in range(x.shape[3]):
                    value = np.int64(x[t, c, sample, p])
                    events[t, c, p] += value != 0
                    payloads[t, c, p] += value


@njit(nogil=True, cache=True)  # type: ignore[misc]
def take_notes(x: Array, active: Array) -> None:
    """Splits spikes from the note of activity beside them (`lif_rows.noted`): x [T, C, B, P] keeps its lowest bit; active
    [T, C, P] is given how many samples found each neuron active."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(x.shape[2]):
                for p in range(x.shape[3]):
                    value = x[t, c, sample, p]
                    active[t, c, p] += value >> 1
                    x[t, c, sample, p] = value & 1
