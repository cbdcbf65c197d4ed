"""Where a float executor that does not round its membranes fires as the chip does."""

from __future__ import annotations

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.int_nodes import Ints
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT


def rounding(node: i.IntLif, weight: Ints, worst: int, timesteps: int) -> str:
    """Why a layer's integer membranes may differ from exact ones within a sample, "" where they cannot.

    The chip keeps a membrane in 1/64 current units and drops what a decay leaves below that. Currents and biases are multiples of
    2^g of these units; a decay of 2^k / 4096 a step adds 12 - k binary places, so nothing is dropped while these are at most g.
    weight: the synapses', whole numbers; worst: the largest current. In a sample of `timesteps` steps a membrane decays
    timesteps - 1 times.
    """
    bias = node.bias_mant << node.bias_exp
    steps = timesteps if node.dv == 0 else min(timesteps, DECAY_UNITY / node.dv)
    largest = (worst << MEMBRANE_SHIFT) + int(np.abs(bias).max(initial=0))
    if largest * steps >= STATE_LIMIT - 1:
        return "v can saturate at 24 bits"
    if node.dv == 0:
        return ""
    if node.dv & (node.dv - 1):
        return f"a decay of {node.dv}/4096 is no power of two"
    places = DECAY_UNITY.bit_length() - node.dv.bit_length()
    whole = trailing_zeros(np.concatenate([weight.ravel() << MEMBRANE_SHIFT, bias.ravel()]))
    if places * (timesteps - 1) > whole:
        return f"{timesteps - 1} decays of {node.dv}/4096 leave less than 1/64 of a current unit, which the chip drops"
    return ""


def trailing_zeros(values: Ints) -> int:
    """The largest g, up to 62, for which all values are multiples of 2^g."""
    together = int(np.bitwise_or.reduce(np.abs(values), initial=0))
    return 62 if together == 0 else (together & -together).bit_length() - 1
