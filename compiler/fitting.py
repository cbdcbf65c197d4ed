"""Choosing the scale of a layer: each candidate is tried on calibration data, and the one that changes the least is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.quantization import quantize_weights, worst_current
from pumice.errors import InputError
from pumice.hwsim.arith import ACTIVATION_LIMIT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Multiples of the scale at which the largest weight just fits: below 1 the grid is coarser, above 1 outliers are clipped.
SCALE_FACTORS = (1.0, 0.9, 0.8, 0.65, 1.1, 1.25, 1.5, 2.0)


def mismatch(sent: Ints, target: NDArray[Any]) -> float:
    """The share of spikes, or levels, that differ."""
    return float((sent != target).mean())


class Integers(Protocol):
    """The integers of a layer's neurons, on a grid of `scale` current units per float unit."""

    @property
    def scale(self) -> float: ...

    def run(self, current: Ints) -> tuple[Ints, int]:
        """What they send [T, B, C, …] for their currents, and the largest |v| seen."""
        ...


@dataclass(frozen=True, eq=False)
class PartProblem:
    """One synapse of a layer. weight [O, C, kh, kw]; input_scale, input_range: its integer input's grid; currents(weight): what
    integer weights make of the calibration inputs, [T, B, O, …]."""

    weight: Floats
    input_scale: float
    input_range: tuple[int, int]
    currents: Callable[[Ints], Ints]


@dataclass(frozen=True, eq=False)
class LayerProblem:
    """A float layer to quantize, and what it does on calibration data.

    parts: its synapses, whose currents add up. bias [O]; source: the user's node. mean_current [O]: the float layer's mean
    current, without bias. integers(bias, scale): its neurons' integers near a scale, or None where they do not fit. target: what
    its neurons send, [T, B, O, …]. error(sent, target): what one choice of integers costs. scales: to try, group by group until
    one fits; none for those around the largest that fits the weights.
    """

    parts: tuple[PartProblem, ...]
    bias: Floats
    source: str
    mean_current: Floats
    integers: Callable[[Floats, float], Integers | None]
    target: NDArray[Any]
    error: Callable[[Ints, NDArray[Any]], float] = mismatch
    scales: tuple[list[float], ...] = ()


@dataclass(frozen=True)
class LayerFit:
    """A quantized layer and what was measured of it on calibration data.

    weights, worst_currents: one for each synapse. mismatch: fraction of spikes that differ from the float layer on the same
    input; of neurons that send their membrane, the mean error. worst_current, observed_current: in current units. clipped:
    weights that did not fit their bits.
    """

    weights: tuple[Ints, ...]
    neurons: Integers
    mismatch: float
    worst_currents: tuple[int, ...]
    observed_current: int
    observed_membrane: int
    clipped: int

    @property
    def worst_current(self) -> int:
        """Of all synapses together."""
        return sum(self.worst_currents)


def fit_layer(layer: LayerProblem, weight_bits: int) -> LayerFit:
    """The quantization of a layer's synapses and neurons that reproduces most of what the float layer sends.

    Raises InputError where no scale fits the chip.
    """
    for group in layer.scales or _candidate_scales(layer.parts, weight_bits):
        fits = [fit for scale in group for fit in _try_scale(scale, layer, weight_bits)]
        if fits:
            return min(fits, key=lambda fit: fit.mismatch)
    message = f"node {layer.source!r}: no weight scale fits threshold, bias and 24-bit membrane"
    raise InputError(message, "rescale the layer")


def _candidate_scales(parts: tuple[PartProblem, ...], bits: int) -> Iterator[list[float]]:
    """Scales to try, in current units per float unit: those around the largest that fits the weights of all synapses; and,
    where none of these fits the accumulator, ever coarser ones."""
    fitting, unit = min((fitting_scale(part, bits) for part in parts), key=lambda pair: pair[0] * pair[1])
    yield [fitting * factor * unit for factor in SCALE_FACTORS]
    yield from ([fitting / 2**k * unit] for k in range(1, bits))


def fitting_scale(part: PartProblem, bits: int) -> tuple[float, float]:
    """The largest scale at which the weights of one synapse fit, as (weight units per float weight, payload units per float
    unit of its input)."""
    largest = float(np.abs(part.weight).max(initial=0)) or 1.0
    return ((1 << bits) - 2) / largest, part.input_scale


def _try_scale(scale: float, layer: LayerProblem, bits: int) -> Iterator[LayerFit]:
    """The layer near one scale: with its own bias, and with the bias corrected for the mean error that rounding the
    weights makes on calibration data (Nagel et al., ICCV 2019). Nothing where it does not fit the chip."""
    plain = layer.integers(layer.bias, scale)
    if plain is None:
        return
    found = [quantize_weights(part.weight, plain.scale / part.input_scale, bits) for part in layer.parts]
    weights = tuple(weight for weight, _ in found)
    worst = tuple(worst_current(w, *part.input_range) for w, part in zip(weights, layer.parts, strict=True))
    if sum(worst) >= ACTIVATION_LIMIT:
        return
    currents = [part.currents(weight) for weight, part in zip(weights, layer.parts, strict=True)]
    current = currents[0] if len(currents) == 1 else np.asarray(sum(currents))
    drift = current.mean(axis=(0, 1, *range(3, current.ndim))) / plain.scale - layer.mean_current
    corrected = layer.integers(layer.bias - drift, scale)
    for neurons in (plain, corrected):
        if neurons is None or neurons.scale != plain.scale:
            continue
        outputs, peak = neurons.run(current)
        error, seen = layer.error(outputs, layer.target), int(np.abs(current).max(initial=0))
        yield LayerFit(weights, neurons, error, worst, seen, peak, sum(clipped for _, clipped in found))
