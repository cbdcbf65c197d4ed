"""What is said of a quantized node: formulas with their numbers, what was lost, and what that does on calibration data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Step:
    """One integer, or one array of them, and where it comes from.

    rule: the formula in symbols; filled: the same with the numbers in it, of an array for its largest entry. numbers: every
    symbol's full value, a list where there is one per channel. integers: what stands in the compiled program. remark: what was
    rounded, clipped, shifted or moved, "" for nothing.
    """

    result: str
    rule: str
    filled: str
    numbers: Mapping[str, Any]
    integers: int | list[int]
    remark: str = ""


@dataclass(frozen=True)
class Weights:
    """What rounding did to a layer's weights. zeroed: nonzero ones that became 0. clipped: those beyond their bits.
    largest_error, mean_error: |w_int / s - w|, in units of the float weight."""

    count: int
    zeroed: int
    clipped: int
    largest_error: float
    mean_error: float


@dataclass(frozen=True)
class Errors:
    """This node alone, on the float network's input over the calibration data, against the float network.

    of: what `mean` and `largest` are the absolute error of, in float units: "v", the membrane that is compared with the
    threshold; "input", "value" or "logit" elsewhere. before_change: the largest among neurons that have sent the same so far,
    None where nothing is sent. changed: the share of `sent` that differs, None where nothing is. compared: how many numbers.
    """

    of: str
    mean: float
    largest: float
    before_change: float | None
    changed: float | None
    sent: str
    compared: int


@dataclass(frozen=True)
class Explanation:
    """node: the integer node; kind: in words; covers: the names by which it can be asked for (the user's nodes that became part
    of it). exact: it moves or adds integers, nothing is rounded. steps, weights, errors: see there; weights of all its synapses
    together, and of each where there are several (synapses, by name)."""

    node: str
    kind: str
    covers: tuple[str, ...]
    exact: bool = False
    steps: tuple[Step, ...] = ()
    weights: Weights | None = None
    errors: Errors | None = None
    notes: tuple[str, ...] = ()
    synapses: tuple[tuple[str, Weights], ...] = ()
