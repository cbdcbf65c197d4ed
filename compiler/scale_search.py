"""The scale of a layer's weights, chosen by the error that rounding them leaves in the membranes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.quantization import worst_current
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.arith import ACTIVATION_LIMIT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Snap = Callable[[float], float | None]  # the nearest scale that the neurons can have, None where there surely is none

ROOM = 0.98  # of the grid is filled where that is free to choose: neurons nudge a scale to the next whole threshold
STEP_TOLERANCE = 1e-6  # of the largest weight: float32 weights are multiples of their step no better than this

# Multiples of the scale at which the largest weight just fits: below 1 the grid is coarser, above 1 outliers are clipped. Weights
# that are integers already stay what they are at 1.
FACTORS = (1.0, *np.linspace(0.5, 1.15, 61).tolist(), 1.3, 1.6, 2.0)


@dataclass(frozen=True, eq=False)
class Part:
    """One synapse of a layer. weight [O, C / groups, kh, kw]; input_scale, input_range: its integer input's grid; moments():
    `membrane_moments` of it; currents(weight): what integer weights make of the calibration inputs, [T, B, O, …]."""

    weight: Floats
    groups: int
    input_scale: float
    input_range: tuple[int, int]
    moments: Callable[[], Floats]
    currents: Callable[[Ints], Ints]

    def ideal(self, scale: float) -> Floats:
        """Weights in current units, unrounded, of a layer with `scale` of them in a float unit."""
        return self.weight * (scale / self.input_scale)

    def worst(self, weight: Ints) -> int:
        """The largest |current| that inputs in range can cause."""
        return worst_current(weight, *self.input_range)


def scales_by_error(parts: Sequence[Part], grid: WeightGrid, snap: Snap) -> Iterator[float]:
    """Current units per float unit, those at which rounding the weights leaves less error in the membranes before the others: of
    those around the largest that fits the weights of all synapses; and then, for where none of these does, of ever coarser ones.
    """
    fitting, exact = fitting_scale(parts, grid), exact_scale(parts, grid)
    moments = [part.moments() for part in parts]
    for halving in range(grid.high.bit_length() + 1):
        tried = [*([exact / 2**halving] if exact else []), *(fitting * factor / 2**halving for factor in FACTORS)]
        scales = dict.fromkeys(scale for one in tried if (scale := snap(one)) is not None)
        errors = {scale: membrane_error(parts, moments, grid, scale) for scale in scales}
        yield from (scale for scale in sorted(errors, key=errors.__getitem__) if errors[scale] < np.inf)


def fitting_scale(parts: Sequence[Part], grid: WeightGrid) -> float:
    """The scale at which the largest weight just fits."""
    largest = max(float(np.abs(part.weight).max(initial=0)) / part.input_scale for part in parts)
    return grid.largest / largest if largest else grid.largest * min(part.input_scale for part in parts)


def exact_scale(parts: Sequence[Part], grid: WeightGrid) -> float | None:
    """The largest scale at which all weights are whole numbers already, of one synapse each if they fit it; None where there is
    none, as for most trained weights."""
    values = np.unique(np.concatenate([np.abs(part.weight).ravel() / part.input_scale for part in parts]))
    values = values[values > 0]
    step = common_step(values, values.max() / grid.high) if values.size else None
    if step is None:
        return None
    steps = round(values.max() / step)
    one = grid.high // grid.synapses
    held = one if steps <= one else grid.high
    return float(max(1, int(held * ROOM) // steps) * grid.step / step)


def common_step(values: Floats, least: float) -> float | None:
    """The largest number, `least` or more, of which all values (above 0, ascending) are multiples; None where there is none."""
    step, nothing = 0.0, STEP_TOLERANCE * float(values[-1])
    for value in values:
        rest = float(value)
        while rest > nothing:
            step, rest = rest, abs(step - rest * round(step / rest))
        if step < least - nothing:
            return None
    return step


def membrane_error(parts: Sequence[Part], moments: Sequence[Floats], grid: WeightGrid, scale: float) -> float:
    """What rounding the weights leaves in the membranes, in float units: standard deviations, added up over outputs. Infinite
    where the weights could make the accumulator wrap."""
    variance, worst = np.zeros(len(parts[0].weight)), 0
    for part, moment in zip(parts, moments, strict=True):
        ideal = part.ideal(scale)
        weight, _ = grid.nearest(ideal)
        worst += part.worst(weight)
        variance += error_variance(weight - ideal, part.groups, moment)
    return float(np.sqrt(variance).sum() / scale) if worst < ACTIVATION_LIMIT else np.inf


def error_variance(error: Floats, groups: int, moments: Floats) -> Floats:
    """Variance [O] of what errors [O, C / groups, kh, kw] of the weights leave in the membranes. moments: [blocks, K, K]."""
    rows = error.reshape(groups, len(error) // groups, -1, moments.shape[-1])
    blocks = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(
        len(moments), -1, rows.shape[-1]
    )  # [blocks, O / groups, K]
    variance = ((blocks @ moments) * blocks).sum(axis=-1)
    by_output = variance.reshape(groups, -1, variance.shape[-1]).sum(axis=1).reshape(-1)
    return np.asarray(np.maximum(by_output, 0.0))
