"""Operations of NIR in all their generality: parameters per neuron, windows that are not square, delays, cycles.

The float executor runs them. The passes read `float_nodes`, so what is to be compiled must be one of those; `support` says which.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Node

Floats = NDArray[np.floating[Any]]
Pair = tuple[int, int]


@dataclass(frozen=True, eq=False)
class Leak:
    """One leaky state per step: s = keep · s + gain · x + offset, from s = start. Arrays of the layer's shape."""

    keep: Floats
    gain: Floats
    offset: Floats
    start: Floats


@dataclass(frozen=True, eq=False)
class Firing:
    """When a membrane fires, and what that does to it; the words are those of `readings.Reading`. threshold, v_reset: arrays of
    the layer's shape; low: the least v, or None."""

    threshold: Floats
    comparator: Literal[">", ">="]
    reset: Literal["zero", "subtract"]
    reset_at: Literal["spike", "next", "both"]
    v_reset: Floats
    spikes: Literal["one", "many"]
    low: Floats | None


@dataclass(frozen=True, eq=False)
class Neuron(Node):
    """I, IF, LI, LIF, CubaLI and CubaLIF in discrete time. current: filter before the membrane, None without one. firing: None of
    neurons that give their membrane instead of spikes."""

    membrane: Leak
    current: Leak | None
    firing: Firing | None


@dataclass(frozen=True, eq=False)
class Threshold(Node):
    """1 where x is beyond the threshold; keeps no state. threshold: of the layer's shape."""

    threshold: Floats
    comparator: Literal[">", ">="]


@dataclass(frozen=True, eq=False)
class Scale(Node):
    """x · scale, elementwise."""

    scale: Floats


@dataclass(frozen=True, eq=False)
class LinearMap(Node):
    """weight [O, I] along the last axis of x [..., I], or weight [..., O, I] with one matrix for each place. bias [..., O]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class GeneralConv(Node):
    """Convolution (cross-correlation) over one or two axes. weight [O, C / groups, k…], bias [O]. padding: zeros before and after
    each axis."""

    weight: Floats
    bias: Floats
    stride: tuple[int, ...]
    padding: tuple[Pair, ...]
    dilation: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False)
class Pool(Node):
    """Sum or mean over windows [h, w] of [C, H, W]. Zeros of the padding count as elements of a mean."""

    kernel: Pair
    stride: Pair
    padding: Pair
    mean: bool


@dataclass(frozen=True, eq=False)
class Delay(Node):
    """What came `steps` timesteps before, 0 at first. steps: of the layer's shape."""

    steps: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Feedback(Node):
    """The other end of a cycle: what the node `of` gave `steps` timesteps before, 0 at first; every step is at least 1. It has no
    input, so that the graph without it has an order."""

    of: str
    steps: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Unknown(Node):
    """Stands for a node that could not be read, in a report of all nodes; nothing runs it."""

    problem: str
