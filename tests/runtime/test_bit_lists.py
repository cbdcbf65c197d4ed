"""Lists of bits, added up one after another as their kernel does, beside products of integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from pumice.runtime.fast.bit_lists import CARRY, EIGHT, FIRST, FOUR, ONES, REGIONS, ZEROS, BitLists, bit_lists
from pumice.runtime.fast.bit_plan import digits

SEEDS = st.integers(0, 2**32 - 1)
LANES = 50
Bits = NDArray[np.bool_]


def added(lists: BitLists, arena: Bits) -> NDArray[np.int64]:
    """Sums [M, lanes] of rows [rows, lanes], modulo two to the power of their places, from 0 on."""
    total, begin = np.zeros((len(lists.counts), arena.shape[1]), np.int64), 0
    for output, counts in enumerate(lists.counts):
        held = np.zeros(arena.shape[1], np.int64)  # of this place, below eight
        for place, (eights, fours) in enumerate(counts):
            for k, size in enumerate([EIGHT] * eights + [FOUR] * fours):
                held = held + arena[lists.bits[begin : begin + size]].sum(axis=0)
                arena[lists.carries + place % REGIONS * lists.region + k] = held >> CARRY
                held, begin = held & 7, begin + size
            total[output] += (held & 1) << place
            held = held >> 1
    return total


@settings(deadline=None, max_examples=100)
@given(
    SEEDS, st.integers(1, 9), st.integers(1, 40), st.integers(1, 4), st.sampled_from([0.0, 0.1, 1.0]), st.integers(0, 3)
)
def test_lists_are_products(seed: int, outputs: int, inputs: int, planes: int, share: float, spare: int) -> None:
    rng = np.random.default_rng(seed)
    ends = rng.choice([-128, 127, -1, 85, -86], (outputs, inputs))
    matrix = np.where(rng.random(ends.shape) < 0.5, ends, rng.integers(-300, 301, ends.shape))
    matrix = np.where(rng.random(ends.shape) < share, matrix, 0)
    constant, x = rng.integers(-5000, 5000, outputs), rng.integers(0, 1 << planes, (inputs, LANES))
    width = int(np.abs(matrix).sum() * (1 << planes) + 5000).bit_length() + spare
    lists = bit_lists(matrix, planes, constant, width)
    arena = rng.random((lists.rows, LANES)) < 0.5  # what no one has written is garbage
    bits = ((x[:, None] >> np.arange(planes)[:, None]) & 1).reshape(-1, LANES)
    arena[ZEROS], arena[ONES] = 0, 1
    arena[FIRST : lists.carries : 2], arena[FIRST + 1 : lists.carries : 2] = bits, 1 - bits
    wanted = matrix @ x + constant[:, None]
    assert np.array_equal(added(lists, arena), wanted % (1 << width))


@pytest.mark.parametrize(
    ("weight", "count"), [(0, 0), (1, 1), (-1, 1), (3, 2), (7, 2), (-7, 2), (85, 4), (127, 2), (-128, 1)]
)
def test_a_weight_has_few_digits(weight: int, count: int) -> None:
    assert digits(np.array([[weight, 0]])) == count


def test_no_weight_needs_fewer_digits() -> None:
    """Beside all sums of signed powers of two."""
    fewest: dict[int, int] = {0: 0}
    reached: set[int] = {0}
    for count in range(1, 6):
        reached = {n + sign * (1 << p) for n in reached for p in range(10) for sign in (1, -1)}
        fewest = dict.fromkeys(reached, count) | fewest
    numbers: Any = range(-255, 256)
    assert [digits(np.array([n])) for n in numbers] == [fewest[n] for n in numbers]
