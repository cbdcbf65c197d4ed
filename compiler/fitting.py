"""One layer's integers: the scale of its weights by their error in the membranes, the bias by the spikes that it costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.quantization import magnitude
from pumice.compiler.scale_search import Part, Snap, scales_by_error
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import InputError
from pumice.hwsim.arith import ACTIVATION_LIMIT

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


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
class LayerProblem:
    """A float layer to quantize, and what it does on calibration data.

    parts: its synapses, whose currents add up. bias [O]; source: the user's node. mean_current [O]: the float layer's mean
    current, without bias. integers(bias, scale): its neurons' integers near a scale, or None where they do not fit. snap(scale):
    the scale that these would have, None where they are known not to fit. target: what its neurons send, [T, B, O, …].
    error(sent, target): what one choice of integers costs. scales: to try, group by group until one fits; none for those that
    leave the least error in the membranes, and coarser ones where none of these fits.
    """

    parts: tuple[Part, ...]
    bias: Floats
    source: str
    mean_current: Floats
    integers: Callable[[Floats, float], Integers | None]
    snap: Snap
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


def fit_layer(layer: LayerProblem, grid: WeightGrid) -> LayerFit:
    """The quantization of a layer's synapses and neurons: of the scales, the one that leaves the least error in the membranes; of
    the bias, as it is or corrected for the mean error of the weights, the one that changes the least of what the layer sends.

    Raises InputError where no scale fits the chip.
    """
    for group in layer.scales or ([scale] for scale in scales_by_error(layer.parts, grid, layer.snap)):
        fits = [fit for scale in group for fit in _try_scale(scale, layer, grid)]
        if fits:
            return min(fits, key=lambda fit: fit.mismatch)
    message = f"node {layer.source!r}: no weight scale fits threshold, bias and 24-bit membrane"
    raise InputError(message, "rescale the layer")


def _try_scale(scale: float, layer: LayerProblem, grid: WeightGrid) -> Iterator[LayerFit]:
    """The layer near one scale: with its own bias, and with the bias corrected for the mean error that rounding the
    weights makes on calibration data (Nagel et al., ICCV 2019). Nothing where it does not fit the chip."""
    plain = layer.integers(layer.bias, scale)
    if plain is None:
        return
    found = [grid.nearest(part.ideal(plain.scale)) for part in layer.parts]
    weights = tuple(weight for weight, _ in found)
    worst = tuple(part.worst(weight) for weight, part in zip(weights, layer.parts, strict=True))
    if sum(worst) >= ACTIVATION_LIMIT:
        return
    currents = [part.currents(weight) for weight, part in zip(weights, layer.parts, strict=True)]
    current = currents[0] if len(currents) == 1 else np.asarray(sum(currents))
    drift = current.mean(axis=(0, 1, *range(3, current.ndim))) / plain.scale - layer.mean_current
    corrected, seen = layer.integers(layer.bias - drift, scale), magnitude(current)
    for neurons in (plain, corrected):
        if neurons is None or neurons.scale != plain.scale:
            continue
        outputs, peak = neurons.run(current)
        error = layer.error(outputs, layer.target)
        yield LayerFit(weights, neurons, error, worst, seen, peak, sum(clipped for _, clipped in found))
