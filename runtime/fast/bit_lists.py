"""Sums of weights times bits as lists of bits, place by place: the input of `hwsim.kernels.bit_sums`.

A weight is a sum of signed powers of two, no two of them neighbours; each times each bit of an input is a bit of the sum. A power
that is taken away is the complement of the bit, less a constant that is counted with the bias. Eight bits of a place at a time,
and of what is left four, are added to its sum, which carries one bit three places on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

EIGHT, FOUR = 8, 4  # bits that are added at a time
CARRY = 3  # places from a bit that is carried to where it is added
REGIONS = CARRY + 1  # of carries: those of a place are read while others are written
ZEROS, ONES, FIRST = 0, 1, 2  # rows of the arena: of bits that are all 0, all 1, and the first of the input's
Ints = NDArray[np.int64]
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class BitLists:
    """bits: rows of the arena that are added, [N]. counts: of each place of each output, [M, P, 2], in this order, how many
    eights of them, and then fours. carries: where carries go, four regions of `region` rows in turn; sums: where an output's P
    sums go, of which there are two outputs' (even ones, odd ones). rows: of the arena."""

    bits: Array
    counts: Ints
    carries: int
    region: int
    sums: int
    rows: int


def bit_lists(matrix: Ints, planes: int, constant: Ints, width: int) -> BitLists:
    """The bits of matrix [M, K] (int64) times inputs of so many bits, and a constant [M], modulo 2**width. Input k's bit q is
    row FIRST + 2 * (k * planes + q), its complement the next row."""
    output, place, row, taken = _digits(matrix, planes, width)
    spared = np.bincount(output, np.left_shift(1, place) * taken, len(matrix)).astype(np.int64)
    fixed = (((constant - spared) % (1 << width))[:, None] >> np.arange(width)) & 1  # [M, P]
    output, place, row = _with_fixed(output, place, row, fixed)
    loose = np.bincount(output * width + place, minlength=fixed.size).reshape(-1, width)
    counts = _counts(loose)
    length, carried = counts @ [EIGHT, FOUR], counts.sum(axis=2)  # [M, P]
    begin = (np.cumsum(length.ravel()) - length.ravel()).reshape(length.shape)
    bits = np.full(max(int(length.sum()), 1), ZEROS, np.int64)
    key = output * width + place
    rank = np.arange(len(key)) - (np.cumsum(loose.ravel()) - loose.ravel())[key]
    bits[begin.ravel()[key] + rank] = row
    carries, region = FIRST + 2 * matrix.shape[1] * planes, int(carried.max(initial=0))
    for p in range(CARRY, width):
        first = carries + (p - CARRY) % REGIONS * region
        _put_carries(bits, begin[:, p] + loose[:, p], carried[:, p - CARRY], first)
    sums = carries + REGIONS * region
    return BitLists(bits, counts, carries, region, sums, sums + 2 * width)


def _digits(matrix: Ints, planes: int, width: int) -> tuple[Ints, Ints, Ints, Ints]:
    """Signed digits of weights times bits of inputs: output, place, row and whether it is taken away."""
    output, column = np.nonzero(matrix)
    rest, found = matrix[output, column].astype(np.int64), []
    for place in range(width):
        odd = np.flatnonzero(rest & 1)
        if not rest.any():
            break
        digit = 2 - (rest[odd] & 3)  # 1 or -1, whichever leaves a multiple of 4
        taken = (digit < 0).astype(np.int64)
        for q in range(min(planes, width - place)):
            row = FIRST + 2 * (column[odd] * planes + q) + taken
            found.append((output[odd], np.full(len(odd), place + q), row, taken))
        rest[odd] -= digit
        rest >>= 1
    if not found:
        return (np.zeros(0, np.int64),) * 4
    a, b, c, d = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return a, b, c, d


def _with_fixed(output: Ints, place: Ints, row: Ints, fixed: Ints) -> tuple[Ints, Ints, Ints]:
    """With the constants' bits, ordered by output and place."""
    more, where = np.nonzero(fixed)
    output, place = np.concatenate([output, more]), np.concatenate([place, where])
    row = np.concatenate([row, np.full(len(more), ONES)])
    order = np.argsort(output * fixed.shape[1] + place, kind="stable")
    return output[order], place[order], row[order]


def _counts(loose: Ints) -> Ints:
    """How many eights and fours each place of each output has, [M, P, 2], for its own bits and those that are carried into it."""
    counts = np.zeros((*loose.shape, 2), np.int64)
    for p in range(loose.shape[1]):
        bits = loose[:, p] + (counts[:, p - CARRY].sum(axis=1) if p >= CARRY else 0)
        rest = bits % EIGHT
        counts[:, p, 0] = bits // EIGHT + (rest > FOUR)
        counts[:, p, 1] = (rest > 0) & (rest <= FOUR)
    return counts


def _put_carries(bits: Ints, begin: Ints, count: Ints, region: int) -> None:
    """Puts the carries of a place behind the bits of the place that they are carried to."""
    output = np.repeat(np.arange(len(count)), count)
    rank = np.arange(len(output)) - (np.cumsum(count) - count)[output]
    bits[begin[output] + rank] = region + rank
