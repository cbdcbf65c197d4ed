"""The integers that the synapses of a layer may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.arith import Signs

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class WeightGrid:
    """Weights of `bits` bits. "mixed": the sign is one of them, and the chip doubles the weight, so weights are even. "split": a
    source's positive and negative weights are lists of synapses, whose sign is the list's: every magnitude of `bits` bits, on a
    grid twice as fine, with as many synapses as before. synapses: how many, at most, carry one weight, as their sum.
    Source: lava-nc 0.10.0, `utils/weightutils.py` (SignMode).
    """

    bits: int
    signs: Signs = "mixed"
    synapses: int = 1

    @property
    def step(self) -> int:
        """Weights are q * step with low <= q <= high."""
        return 1 if self.signs == "split" else 2

    @property
    def low(self) -> int:
        """See `step`."""
        return -self.high if self.signs == "split" else -self.synapses << (self.bits - 1)

    @property
    def high(self) -> int:
        """See `step`."""
        return self.synapses * ((1 << (self.bits - (self.signs == "mixed"))) - 1)

    @property
    def largest(self) -> int:
        """The largest weight."""
        return self.high * self.step

    def nearest(self, ideal: NDArray[Any]) -> tuple[Ints, int]:
        """The weights nearest to `ideal`, in units of the current; and how many were clipped."""
        whole = np.rint(np.asarray(ideal, np.float64) / self.step)
        clipped = int(((whole < self.low) | (whole > self.high)).sum())
        return self.step * np.clip(whole, self.low, self.high).astype(np.int64), clipped

    def rounding_error(self, ideal: Floats) -> Floats:
        """What `nearest` adds to each weight."""
        error = np.rint(ideal / self.step)
        np.clip(error, self.low, self.high, out=error)
        error *= self.step
        return np.asarray(error - ideal)

    def holds(self, weight: Ints) -> bool:
        """Whether all weights are on the grid."""
        low, high = int(weight.min(initial=0)), int(weight.max(initial=0))
        return self.low * self.step <= low and high <= self.largest and not np.any(weight & (self.step - 1))
