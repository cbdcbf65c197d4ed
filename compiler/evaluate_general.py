"""The general nodes of the float IR in float64, for the compiler: whole graphs with delays and cycles, step by step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import general_nodes as g
from pumice.compiler.loops import past

Floats = NDArray[np.float64]
Step = Callable[[Floats], Floats]


def over_time(node: g.Neuron | g.Threshold, x: Floats) -> Floats:
    """What neurons send for inputs x [T, B, …]."""
    step = stepper(node)
    return np.stack([step(frame) for frame in x])


def stepper(node: g.Neuron | g.Threshold) -> Step:
    """The neurons of `node` from a sample's first step on: called with x [B, …] of each step, returns what they send."""
    if isinstance(node, g.Threshold):
        return lambda x: _beyond(x, node.threshold, node.comparator).astype(np.float64)
    membrane = _filter(node.membrane)
    current = _filter(node.current) if node.current is not None else None
    state: dict[str, Floats] = {}

    def step(x: Floats) -> Floats:
        """What the neurons send for the input x [B, …] of the next step; they keep their state."""
        before = state.get("v")
        if before is None:
            before = np.broadcast_to(node.membrane.start, x.shape)
            state["u"] = np.zeros(x.shape) if node.current is None else np.broadcast_to(node.current.start, x.shape)
        if current is not None:
            x = state["u"] = current(state["u"], x)
        v = membrane(before, x)
        sent, state["v"] = (v, v) if node.firing is None else fired(before, v, node.firing)
        return sent

    return step


def fired(before: Floats, v: Floats, rule: g.Firing) -> tuple[Floats, Floats]:
    """(spikes, the membrane after them) for a membrane v that was `before` at the end of the step before; see `Firing`."""
    late = rule.reset == "subtract" and rule.reset_at != "spike"
    owed = spikes_in(before, rule) * rule.threshold if late else np.zeros_like(v)
    v = v - owed
    spikes = spikes_in(v, rule)
    match rule.reset, rule.reset_at:
        case "zero", _:
            after = np.where(spikes > 0, rule.v_reset, v)
        case "subtract", "spike":
            after = v - spikes * rule.threshold
        case "subtract", "both":
            after = v - (spikes * rule.threshold - owed)
        case _:
            after = v
    return spikes, after if rule.low is None else np.maximum(after, rule.low)


def spikes_in(v: Floats, rule: g.Firing) -> Floats:
    """How many spikes a membrane is worth."""
    if rule.spikes == "one":
        return _beyond(v, rule.threshold, rule.comparator).astype(np.float64)
    ratio = np.maximum(v, 0) / rule.threshold
    return np.asarray(np.floor(ratio) if rule.comparator == ">=" else np.maximum(np.ceil(ratio) - 1, 0))


def delayed(values: Floats, steps: NDArray[np.int64]) -> Floats:
    """All of `past`, [T, B, …]."""
    return np.stack([past(values, steps, t) for t in range(len(values))])


def _filter(leak: g.Leak) -> Callable[[Floats, Floats], Floats]:
    return lambda s, x: np.asarray(leak.keep * s + leak.gain * x + leak.offset)


def _beyond(v: Floats, threshold: NDArray[Any], comparator: str) -> NDArray[np.bool_]:
    return np.asarray(v >= threshold if comparator == ">=" else v > threshold)
