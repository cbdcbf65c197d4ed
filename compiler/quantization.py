"""The arithmetic of choosing integers for one layer: weights, threshold, bias, and what they cost in spikes.

A float layer fires when V >= tau * threshold, with V[t] = V[t-1] * (1 - 1/tau) + x[t]: the LIF's 1/tau is folded into
its threshold. On the integer grid, one unit of x is `scale` current units, the threshold is vth = tau * threshold * scale,
and the scale is nudged so that vth is a whole number: the threshold itself is never rounded. A LIF with a gain of its own has
threshold / gain in place of tau * threshold; one without leak, dv = 0.

`>=` becomes the chip's strict `>` in one of two ways, where the reset is to 0 and the leak quick. "bias": one extra 1/64 of
a unit of bias lifts an exact tie over the threshold; a membrane strictly below a tie on the layer's own grid stays below,
because that grid is coarser than 2/64 for the first six steps after a reset (more with shifted counts). "threshold": where
the bias needs its exponent, so that 1/64 is not representable, the scale is nudged so that the firing limit is 64 vth + 1.
Elsewhere a lift would add up from step to step: neurons that subtract their threshold, or leak so slowly that the lifts
reach a step of the grid, compare with `>=` themselves ("inclusive"), which stock neurons of Lava do not.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.float_nodes import Lif, MultiSpike
from pumice.compiler.tiles import tiles
from pumice.hwsim.arith import (
    DECAY_UNITY,
    MEMBRANE_SHIFT,
    LifParams,
    Reset,
    lif_step,
    spike_levels,
)
from pumice.hwsim.spec import ChipSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Tie = Literal["bias", "threshold", "strict", "inclusive"]
UNIT = 1 << MEMBRANE_SHIFT
EVEN = 2  # steps of the grid of even weights


@dataclass(frozen=True)
class NeuronIntegers:
    """Threshold, decay and bias of a LIF layer on a grid of `scale` current units per float unit."""

    scale: float
    vth: int
    dv: int
    bias_mant: Ints
    bias_exp: int
    tie: Tie
    reset: Reset = "hard"

    def params(self, ndim: int) -> LifParams:
        """As the arithmetic takes them, for a population of `ndim` axes with channels first."""
        bias = _effective(self.bias_mant, self.bias_exp, ndim)
        return LifParams(self.vth, self.dv, bias, reset=self.reset, inclusive=self.tie == "inclusive")

    def run(self, current: Ints) -> tuple[Ints, int]:
        """Spikes [T, B, C, …] of the layer from its currents, and the largest |v| seen."""
        spikes, peak = run_layer(current, self.params(current.ndim - 2))
        return spikes.astype(np.int64), peak


@dataclass(frozen=True)
class LevelIntegers:
    """Thresholds (ascending, in 1/64 current units) and bias of a MultiSpike layer on a grid of `scale` units per float unit."""

    scale: float
    thresholds: Ints
    bias_mant: Ints
    bias_exp: int

    def run(self, current: Ints) -> tuple[Ints, int]:
        """Levels [T, B, C, …] of the layer from its currents; it keeps no membrane."""
        bias = _effective(self.bias_mant, self.bias_exp, current.ndim - 2)
        return spike_levels(current, bias, self.thresholds), 0


def _effective(mantissa: Ints, exponent: int, ndim: int) -> Ints:
    """The bias of a population of `ndim` axes, channels first."""
    return (mantissa << exponent).reshape(-1, *[1] * (ndim - 1))


def neuron_integers(lif: Lif, bias: Floats, scale: float, chip: ChipSpec, step: int = EVEN) -> NeuronIntegers | None:
    """The integers of `lif` with float bias [C] near `scale`, or None where its threshold or bias does not fit the chip.

    step: of the grid of its weights, which lifts of 1/64 for exact ties, that add up to tau / 64, must not reach."""
    fold = lif.limit
    vth = max(1, round(fold * scale))
    exact = vth / fold
    inclusive = lif.comparator == ">=" and (lif.reset != "hard" or lif.tau >= step * UNIT)
    lift = int(lif.comparator == ">=" and not inclusive)
    unlifted: Tie = "inclusive" if inclusive else "strict"
    dv = round(DECAY_UNITY / lif.tau)
    mant = np.rint(bias * exact * UNIT).astype(np.int64) + lift
    if vth >= 1 << chip.threshold_bits:
        return None
    if np.abs(mant).max(initial=0) < _mantissa_limit(chip):
        return NeuronIntegers(exact, vth, dv, mant, 0, "bias" if lift else unlifted, lif.reset)
    exact = (vth + lift / UNIT) / fold
    found = _with_exponent(bias * exact * UNIT, chip)
    return NeuronIntegers(exact, vth, dv, *found, "threshold" if lift else unlifted, lif.reset) if found else None


def level_integers(neuron: MultiSpike, bias: Floats, scale: float, chip: ChipSpec) -> LevelIntegers | None:
    """The integers of a MultiSpike layer with float bias [C] at `scale`, or None where its bias does not fit the chip.

    Half to even: from d - 1/2, an input rounds up to level d where d is even, so a tie must pass there and only there.
    """
    ideal = [(d - 0.5) * scale * UNIT for d in range(1, neuron.levels + 1)]
    thresholds = [np.floor(t) if d % 2 else np.ceil(t) - 1 for d, t in enumerate(ideal, 1)]
    exact = bias * scale * UNIT
    fits = np.abs(np.rint(exact)).max(initial=0) < _mantissa_limit(chip)
    found = (np.rint(exact).astype(np.int64), 0) if fits else _with_exponent(exact, chip)
    return LevelIntegers(scale, np.array(thresholds, np.int64), *found) if found else None


def _mantissa_limit(chip: ChipSpec) -> int:
    return 1 << (chip.bias_mantissa_bits - 1)


def _with_exponent(ideal: Floats, chip: ChipSpec) -> tuple[Ints, int] | None:
    """Bias [C], in 1/64 units, as (mantissa, exponent) with the smallest exponent of 1 or more that fits; None if none does."""
    for exponent in range(1, 1 << chip.bias_exponent_bits):
        mant = np.rint(ideal / (1 << exponent)).astype(np.int64)
        if np.abs(mant).max(initial=0) < _mantissa_limit(chip):
            return mant, exponent
    return None


def worst_current(weight: Ints, low: int, high: int) -> int:
    """The largest |current| that inputs in [low, high] can cause; weight [O, ...]."""
    rows = weight.reshape(weight.shape[0], -1)
    positive, negative = np.maximum(rows, 0).sum(axis=1), np.minimum(rows, 0).sum(axis=1)
    top = positive * high + negative * low
    bottom = negative * high + positive * low
    return int(max(top.max(initial=0), (-bottom).max(initial=0)))


def run_layer(current: Ints, params: LifParams) -> tuple[NDArray[np.bool_], int]:
    """Spikes [T, B, …] of a LIF layer from its currents, and the largest |v| seen."""
    spikes = np.empty(current.shape, np.bool_)
    peak, bias = 0, np.broadcast_to(params.bias, current.shape[2:])
    for samples, channels in tiles(current.shape[1:]):
        some, part = current[:, samples, channels], replace(params, bias=bias[channels])
        u = v = np.zeros_like(some[0])
        for t in range(len(some)):
            u, v, spikes[t, samples, channels] = lif_step(u, v, some[t], part)
            peak = max(peak, magnitude(v))
    return spikes, peak


def magnitude(x: Ints) -> int:
    """The largest |value|, 0 of none."""
    return max(-int(x.min(initial=0)), int(x.max(initial=0)))


def input_grid(samples: Floats, bits: int) -> tuple[float, int, int]:
    """Scale and integer range [low, high] for real inputs: of the grids that fit, the one nearest to the samples, and
    the coarsest of several equally near.

    Powers of two are tried beside the full range, because pixel data often lies exactly on such a grid. Every bit of a payload
    costs the first layer's accumulator one of its weights, so none is taken that says nothing. Samples that are spikes, 0 and 1
    alone, stay spikes.
    """
    if samples.size and bool(np.isin(samples, (0, 1)).all()):
        return 1.0, 0, 1
    signed = bool(samples.min(initial=0) < 0)
    bits = max(bits, 1 + signed)  # a sign alone would tell nothing
    largest = float(np.abs(samples).max(initial=0)) or 1.0
    full = ((1 << (bits - signed)) - 1) / largest
    top = int(np.floor(np.log2(full)))
    candidates = [full, *(2.0**k for k in range(top, top - bits + signed, -1))]
    errors = [float(np.abs(np.rint(samples * s) / s - samples).max(initial=0)) for s in candidates]
    best = max(n for n, error in enumerate(errors) if error == min(errors))
    needed = bits - signed - max(best - 1, 0)
    high = (1 << needed) - 1
    return float(candidates[best]), -high - 1 if signed else 0, high
