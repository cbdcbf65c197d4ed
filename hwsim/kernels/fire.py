"""Neurons of rows of lanes fire by the kernel that has them: `quick_lif` where it can, else `lif_rows`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from pumice.hwsim.kernels.lif_rows import lif_rows
from pumice.hwsim.kernels.quick_lif import quick_lif

QUICK = 4  # chunks of 16 lanes that `quick_lif` computes together


class Neurons(NamedTuple):
    """What becomes of sums: LIF neurons (`lif_rows`; bias: address of int32 [C]; quick, saturates: `quick_lif`) or, if not
    `fires`, sums << shift, int32."""

    fires: bool
    shift: int
    bias: int
    keep: int
    threshold: int
    decays: bool
    noted: int
    quick: bool
    saturates: bool


@njit(nogil=True, cache=True)
def fire_rows(
    neurons: Neurons, channel: int, rows: int, chunks: int, memory: Any, on: int, out: int, apart: int
) -> None:
    """One timestep of `rows` channels from `channel` on, by 16 * chunks lanes. memory: of sums the address, whether these,
    and out, are of the lanes that are on only, and the address of skips; of membranes the address, and the bytes between rows of
    both. on, out: addresses; apart: bytes between rows of out."""
    sums, packed, skips, membranes, row = memory
    given = (np.uintp(sums), packed, np.uintp(skips), np.uintp(membranes), row)
    bias, threshold = np.uintp(neurons.bias + 4 * channel), np.int32(neurons.threshold)
    if neurons.quick and chunks % QUICK == 0:
        some = (np.int32(neurons.shift), bias, threshold, neurons.saturates, np.uintp(on))
        quick_lif(rows, chunks // QUICK, *given, *some, np.uintp(out), apart)
        return
    numbers = (np.int32(neurons.shift), bias, np.int32(neurons.keep), threshold, np.uintp(on))
    flags = (neurons.decays, np.uint8(neurons.noted), packed)
    lif_rows(rows, chunks, *given, *numbers, *flags, np.uintp(out), apart)
