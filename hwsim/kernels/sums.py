"""Sums over the samples in lanes, neuron by neuron: what counting needs of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]
Size = tuple[int, int, int, int]  # rows and columns of a map; the same with its border


@njit(nogil=True, cache=True)
def add_samples(x: Array, size: Size, samples: int, events: Array, payloads: Array) -> None:
    """Adds, over samples, how many values of rows x [T, C, lanes] are not 0, and their sum, to events and payloads [T, C, P]."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(samples):
                for y in range(size[0]):
                    begin, p = (sample * size[2] + y) * size[3], y * size[1]
                    line = x[t, c, begin : begin + size[1]]
                    for column in range(size[1]):
                        value = np.int64(line[column])
                        events[t, c, p + column] += value != 0
                        payloads[t, c, p + column] += value


@njit(nogil=True, cache=True)
def take_notes(x: Array, size: Size, samples: int, active: Array) -> None:
    """Splits spikes from the note of activity beside them (`lif_rows.noted`): rows x [T, C, lanes] keep their lowest bits;
    active [T, C, P] is given how many samples found each neuron active."""
    for t in range(x.shape[0]):
        for c in range(x.shape[1]):
            for sample in range(samples):
                for y in range(size[0]):
                    begin, p = (sample * size[2] + y) * size[3], y * size[1]
                    line = x[t, c, begin : begin + size[1]]
                    for column in range(size[1]):
                        active[t, c, p + column] += line[column] >> 1
                        line[column] &= 1
