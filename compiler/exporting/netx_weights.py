"""What lava-dl makes of the weight matrix of a dense layer: exact for most, wrong without a word for some."""

from __future__ import annotations

import numpy as np

from pumice.compiler.int_nodes import Ints

LIMIT = 255


def dense_problem(weight: Ints) -> str:
    """Why lava-dl 0.6.0 would not run a matrix [O, I] as it stands, "" where it does.

    It spreads the weights over 8 bits (`netx/utils.py`, `optimize_weight_bits`), Lava's Dense then clips them by the signs it
    finds (`lava/utils/weightutils.py`; it truncates too, but only zeros), and the sum is shifted back. Read there, and held
    against both in the tests.
    """
    low, high = int(weight.min()), int(weight.max())
    if low == high == 0:
        return "all weights are 0, of which lava-dl takes the logarithm"
    if high > LIMIT or low < -LIMIT - 1 or (low < 0 and high > LIMIT - 1):
        return f"weights from {low} to {high}"
    shift = spread(low, high)
    spreaded = weight << shift
    read = clipped(spreaded)
    if high == 0 and shift == 0 and np.any(weight & 1):
        return "odd weights, none above 0, which Lava's Dense would shift by a negative number"
    wrong = np.argwhere(read != spreaded)
    if len(wrong):
        row, column = wrong[0]
        return f"weight {weight[row, column]} would become {read[row, column] / (1 << shift):g}"
    return ""


def spread(low: int, high: int) -> int:
    """By how many bits weights from `low` to `high` are shifted left."""
    if low >= 0:
        return int(np.floor(np.log2(LIMIT / high)))
    if high < 0:
        return int(np.floor(np.log2(-(LIMIT + 1) / low)))
    sides = [-128 / low, *([127 / high] if high else [])]
    return int(np.floor(np.log2(min(sides)))) + 1


def clipped(weight: Ints) -> Ints:
    """Clipped by the signs that occur: excitatory, inhibitory or mixed."""
    low = 0 if weight.min() >= 0 else -LIMIT if weight.max() <= 0 else -LIMIT - 1
    return np.clip(weight, low, LIMIT)
