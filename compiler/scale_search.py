"""The scale of a layer's weights, chosen by the error that rounding them leaves in the membranes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.quantization import worst_current
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.arith import ACTIVATION_LIMIT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Snap = Callable[[float], float | None]  # the nearest scale that the neurons can have, None where there surely is none

ROOM = 0.98  # of the grid is filled where that is free to choose: neurons nudge a scale to the next whole threshold
WORK = (
    1 << 25
)  # products by which a scale's error is told: with all outputs of most layers, with some of a very large one
STRONGEST = 16  # outputs that mostly show that a current could wrap
FEW = 256  # weights that mostly show that a layer's lie on no grid
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

    def worst(self, weight: NDArray[Any]) -> int:
        """The largest |current| that inputs in range can cause."""
        return worst_current(weight, *self.input_range)

    def rounding(self, grid: WeightGrid) -> float:
        """How much larger rounding the weights can make it."""
        return float(self.weight[0].size * max(abs(end) for end in self.input_range) * grid.step / 2)


def scales_by_error(parts: Sequence[Part], grid: WeightGrid, snap: Snap) -> Iterator[float]:
    """Current units per float unit, those at which rounding the weights leaves less error in the membranes before the others: of
    those around the largest that fits the weights of all synapses; and then, for where none of these does, of ever coarser ones.
    """
    fitting, exact = fitting_scale(parts, grid), exact_scale(parts, grid)
    moments = [part.moments() for part in parts]
    some, stand_for = some_outputs(parts, moments)
    fits = current_fits(parts, grid, fitting)
    for halving in range(grid.high.bit_length() + 1):
        tried = [*([exact / 2**halving] if exact else []), *(fitting * factor / 2**halving for factor in FACTORS)]
        scales = dict.fromkeys(scale for one in tried if (scale := snap(one)) is not None)
        errors = {scale: membrane_error(some, moments, grid, scale, stand_for) for scale in scales}
        yield from (scale for scale in sorted(errors, key=errors.__getitem__) if fits(scale))


def fitting_scale(parts: Sequence[Part], grid: WeightGrid) -> float:
    """The scale at which the largest weight just fits."""
    largest = max(float(np.abs(part.weight).max(initial=0)) / part.input_scale for part in parts)
    return grid.largest / largest if largest else grid.largest * min(part.input_scale for part in parts)


def exact_scale(parts: Sequence[Part], grid: WeightGrid) -> float | None:
    """The largest scale at which all weights are whole numbers already, of one synapse each if they fit it; None where there is
    none, as for most trained weights."""
    values = np.concatenate([np.abs(part.weight).ravel() / part.input_scale for part in parts])
    largest = values.max(initial=0)
    for some in (np.append(values[:: -(-values.size // FEW)], largest), values):  # sorting all takes long
        steps_of = np.unique(some[some > 0])
        step = common_step(steps_of, largest / grid.high) if steps_of.size else None
        if step is None:
            return None
    steps = round(largest / step)
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


def current_fits(parts: Sequence[Part], grid: WeightGrid, typical: float) -> Callable[[float], bool]:
    """What tells whether weights of a scale cannot make the accumulator wrap. typical: any scale. Rounding all weights takes
    long, so unrounded ones tell first what surely fits, and the outputs with the most weight what does not."""
    strongest = [replace(part, weight=_strongest(part.weight)) for part in parts]
    unrounded = sum(part.worst(part.ideal(typical)) + 1 for part in parts) / typical
    rounding = sum(part.rounding(grid) for part in parts)

    def fits(scale: float) -> bool:
        surely = unrounded * scale + rounding < ACTIVATION_LIMIT  # weights that are clipped too become no larger
        return surely or all(worst(some, grid, scale) < ACTIVATION_LIMIT for some in (strongest, parts))

    return fits


def _strongest(weight: Floats) -> Floats:
    """Those of some outputs [O', C / groups, kh, kw] whose weights are largest together."""
    together = np.abs(weight).reshape(len(weight), -1).sum(axis=1)
    return np.asarray(weight[np.argsort(-together, kind="stable")[:STRONGEST]])


def some_outputs(parts: Sequence[Part], moments: Sequence[Floats]) -> tuple[Sequence[Part], Floats]:
    """The parts of as many outputs as WORK allows, and how many outputs each of them stands for: those with the largest weights,
    which a scale clips, for themselves, and some for all others. All outputs of small layers and of convolutions in groups."""
    outputs = len(parts[0].weight)
    work = sum(part.weight.size * moment.shape[-1] for part, moment in zip(parts, moments, strict=True))
    number = max(1, outputs * WORK // max(2 * work, 1))
    if work <= WORK or any(part.groups > 1 for part in parts):
        return parts, np.ones(outputs)
    largest = np.max([np.abs(part.ideal(1.0)).reshape(outputs, -1).max(axis=1) for part in parts], axis=0)
    order = np.argsort(-largest, kind="stable")
    others = order[number + ((np.arange(number) + 0.5) * (outputs - number) / number).astype(np.int64)]
    stands_for = np.repeat([1.0, (outputs - number) / number], number)
    return [replace(part, weight=part.weight[[*order[:number], *others]]) for part in parts], stands_for


def worst(parts: Sequence[Part], grid: WeightGrid, scale: float) -> int:
    """The largest |current| of all parts together with weights of this scale."""
    return sum(part.worst(grid.nearest(part.ideal(scale))[0]) for part in parts)


def membrane_error(
    parts: Sequence[Part], moments: Sequence[Floats], grid: WeightGrid, scale: float, times: Floats | float = 1.0
) -> float:
    """What rounding the weights leaves in the membranes, in float units: standard deviations, added up over outputs, each of them
    `times` as often."""
    variance = np.zeros(len(parts[0].weight))
    for part, moment in zip(parts, moments, strict=True):
        variance += error_variance(grid.rounding_error(part.ideal(scale)), part.groups, moment)
    return float((np.sqrt(variance) * times).sum() / scale)


def error_variance(error: Floats, groups: int, moments: Floats) -> Floats:
    """Variance [O] of what errors [O, C / groups, kh, kw] of the weights leave in the membranes. moments: [blocks, K, K]."""
    rows = error.reshape(groups, len(error) // groups, -1, moments.shape[-1])
    blocks = np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(
        len(moments), -1, rows.shape[-1]
    )  # [blocks, O / groups, K]
    variance = ((blocks @ moments) * blocks).sum(axis=-1)
    by_output = variance.reshape(groups, -1, variance.shape[-1]).sum(axis=1).reshape(-1)
    return np.asarray(np.maximum(by_output, 0.0))
