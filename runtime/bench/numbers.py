"""Repeats as numbers: spreads, ratios of pairs, and exponents of growth."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np

from pumice.errors import InputError


@dataclass(frozen=True)
class Spread:
    """The least, the median and the most of some repeats."""

    min: float
    median: float
    max: float

    def as_dict(self) -> dict[str, float]:
        """JSON-ready."""
        return asdict(self)


def spread(values: Sequence[float]) -> Spread:
    """Of one value or more."""
    return Spread(min(values), statistics.median(values), max(values))


def ratios(above: Sequence[float], below: Sequence[float]) -> tuple[float, ...]:
    """Of what was measured in the same round: the k-th of one over the k-th of the other."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """p of cost = c · size^p, by least squares of the logarithms: 1 is linear growth, less is cheaper than that.

    Raises InputError for fewer than two different sizes, and for numbers that are not positive."""
    if len(sizes) != len(costs) or len(set(sizes)) < 2 or min(*sizes, *costs) <= 0:
        raise InputError(
            f"no exponent of sizes {list(sizes)} and costs {list(costs)}", "give positive pairs of two sizes"
        )
    x, y = np.log(np.asarray(sizes, np.float64)), np.log(np.asarray(costs, np.float64))
    x = x - x.mean()
    return float((x * (y - y.mean())).sum() / (x * x).sum())
