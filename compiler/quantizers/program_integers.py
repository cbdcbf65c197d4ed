"""The integers of programmable neurons: what a float neuron's parameters are in 1/64 of a current unit.

A neuron's membrane is kept in units in which its input counts 1, as a LIF's is (see `quantization`): what the file calls gain
goes into threshold, bias and resets. Neurons that do not fire have none of these to take the gain; it goes into their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Shape
from pumice.compiler.passes.lowering.neurons import gain_of, reset_of
from pumice.compiler.quantizers.context import Floats, Grid, Ints, positioned
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams, neuron_step

UNIT = 1 << MEMBRANE_SHIFT


@dataclass(frozen=True, eq=False)
class ProgramIntegers:
    """Programmable neurons on a grid of `scale` current units per float unit."""

    scale: float
    params: NeuronParams

    def run(self, current: Ints) -> tuple[Ints, int]:
        """What they send [T, B, C, …] for their currents, and the largest |v| seen."""
        u, v = self.params.begin(current.shape[1:])
        sent, peak = np.empty_like(current), 0
        for t in range(len(current)):
            u, v, sent[t] = neuron_step(u, v, current[t], self.params)
            peak = max(peak, int(np.abs(v).max(initial=0)))
        return sent, peak


def to_whole_threshold(neuron: g.Neuron) -> Callable[[float], float]:
    """What nudges a scale: where all neurons have one threshold, so that this is a whole number of 1/64 units."""
    assert neuron.firing is not None
    units = np.unique(np.abs(neuron.firing.threshold / gain_of(neuron)) * UNIT)

    def nudged(scale: float) -> float:
        if len(units) != 1 or round(units[0] * scale) == 0:
            return scale
        return float(round(units[0] * scale) / units[0])

    return nudged


def at_scale(neuron: g.Neuron, bias: Floats, scale: float, most: int) -> ProgramIntegers | None:
    """The integers of neurons that fire, with float bias [C], at `scale`; None where they do not fit 24 bits."""
    rule = neuron.firing
    assert rule is not None
    units = _inner(rule.threshold / gain_of(neuron), neuron) * UNIT
    base = _base(neuron, gain_of(neuron), bias, scale)
    threshold, gain = _compact(np.rint(units * scale)), gain_of(neuron)
    params = replace(
        base,
        threshold=threshold,
        v_reset=_whole(rule.v_reset / gain, neuron, scale),
        floor=base.floor if rule.low is None else _whole(rule.low / gain, neuron, scale),
        reset=reset_of(rule),
        inclusive=rule.comparator == ">=",
        most=most,
        limits=(0, most),
    )
    lost = bool(np.any((threshold == 0) & (_inner(rule.threshold, neuron) != 0)))
    return ProgramIntegers(scale, params) if _fits(params) and not lost else None


def integrator(neuron: g.Neuron, bias: Floats, scale: float, grid: Grid, gain: Floats) -> ProgramIntegers | None:
    """The integers of neurons that send their membrane, at `scale`, of an input that `gain` is still to be applied to; None where
    they do not fit 24 bits."""
    shift = round(np.log2(grid.scale * float(gain.flat[0]) / (scale * UNIT)))
    base = _base(neuron, gain, bias, scale)
    params = replace(base, most=0, shift=shift, limits=(-grid.limit, grid.limit))
    return ProgramIntegers(scale, params) if _fits(params) else None


def _fits(p: NeuronParams) -> bool:
    """Whether all constants fit 24 bits."""
    arrays = (p.threshold, p.bias, p.current_bias, p.start, p.current_start, p.v_reset)
    return max(int(np.abs(array).max(initial=0)) for array in arrays) < STATE_LIMIT


def _base(neuron: g.Neuron, gain: Floats, bias: Floats, scale: float) -> NeuronParams:
    """Decays, what is added in every step, and where the states begin; what a spike does is left open."""
    leak, current, axes = neuron.membrane, neuron.current, len(layer_shape(neuron))
    zero, channels = np.zeros((1,) * axes, np.int64), bias.reshape(-1, *[1] * (axes - 1))
    own, into = _inner(leak.offset / gain, neuron), np.zeros_like(channels)
    du, start = zero + DECAY_UNITY, zero
    if current is None:
        own = own + channels
    else:
        into = _inner(current.offset * leak.gain / gain, neuron) + channels
        du, start = _decay(current.keep, neuron), _whole(current.start * leak.gain / gain, neuron, scale)
    return NeuronParams(
        threshold=zero + 1,
        dv=_decay(leak.keep, neuron),
        du=du,
        bias=_compact(np.rint(own * scale * UNIT)),
        current_bias=_compact(np.rint(into * scale * UNIT)),
        start=_whole(leak.start / gain, neuron, scale),
        current_start=start,
        v_reset=zero,
        floor=zero + NO_FLOOR,
    )


def layer_shape(neuron: g.Neuron) -> Shape:
    return positioned(neuron.out.shape)


def _inner(values: Floats, neuron: g.Neuron) -> Floats:
    """One value a neuron, in the shape of the integer layer."""
    return np.broadcast_to(np.asarray(values, np.float64), neuron.out.shape).reshape(layer_shape(neuron))


def _whole(values: Floats, neuron: g.Neuron, scale: float) -> Ints:
    """Membrane values of the float neurons, in 1/64 current units."""
    return _compact(np.rint(_inner(values, neuron) * scale * UNIT))


def _decay(keep: Floats, neuron: g.Neuron) -> Ints:
    return _compact(np.rint(DECAY_UNITY * (1 - _inner(keep, neuron))))


def _compact(values: NDArray[Any]) -> Ints:
    """Whole numbers; one instead of many that are equal."""
    whole = values.astype(np.int64)
    same = whole.size > 0 and bool(np.all(whole == whole.flat[0]))
    return whole[(slice(0, 1),) * whole.ndim] if same else whole
