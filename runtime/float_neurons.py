"""Neurons and delays of the float IR, one timestep at a time, in float64."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g


class LifCell:
    """`float_nodes.Lif`: v += (x - v) / tau, reset to 0."""

    def __init__(self, node: f.Lif) -> None:
        self.node = node
        self.v: Tensor | None = None

    def step(self, x: Tensor) -> Tensor:
        """Spikes [B, …] for input x [B, …]."""
        v = torch.zeros_like(x) if self.v is None else self.v
        v = v + (x - v) / self.node.tau
        fired = v >= self.node.threshold if self.node.comparator == ">=" else v > self.node.threshold
        self.v = torch.where(fired, 0.0, v)
        return fired.double()


class NeuronCell:
    """`general_nodes.Neuron`: an optional current, a membrane, and what firing does to it."""

    def __init__(self, node: g.Neuron) -> None:
        self.current = None if node.current is None else Filter(node.current)
        self.membrane = Filter(node.membrane)
        self.firing = None if node.firing is None else Firing(node.firing)

    def step(self, x: Tensor) -> Tensor:
        """Spikes, or the membrane of a neuron that does not fire, [B, …] for input x [B, …]."""
        if self.current is not None:
            x = self.current.step(x)
        if self.firing is None:
            return self.membrane.step(x)
        debt = self.firing.debt(self.membrane.state)
        v = self.membrane.step(x)
        spikes, self.membrane.state = self.firing.fire(v if debt is None else v - debt, debt)
        return spikes


class Filter:
    """`general_nodes.Leak`: s = keep · s + gain · x + offset, from s = start."""

    def __init__(self, leak: g.Leak) -> None:
        self.keep, self.gain, self.offset = (_tensor(a) for a in (leak.keep, leak.gain, leak.offset))
        self.state = _tensor(leak.start)

    def step(self, x: Tensor) -> Tensor:
        """The state after x [B, …]."""
        self.state = self.keep * self.state + self.gain * x + self.offset
        return self.state


class Firing:
    """`general_nodes.Firing` on tensors."""

    def __init__(self, rule: g.Firing) -> None:
        self.rule = rule
        self.threshold, self.v_reset = _tensor(rule.threshold), _tensor(rule.v_reset)
        self.low = None if rule.low is None else _tensor(rule.low)

    def debt(self, before: Tensor) -> Tensor | None:
        """What is taken from v in this step because v, at the end of the step before, was beyond the threshold."""
        if self.rule.reset != "subtract" or self.rule.reset_at == "spike":
            return None
        return self._count(before) * self.threshold

    def fire(self, v: Tensor, debt: Tensor | None) -> tuple[Tensor, Tensor]:
        """(spikes, v after them). A reset "next" leaves v for the next step's debt; with "both", what the debt has already
        taken is not taken twice."""
        spikes = self._count(v)
        if self.rule.reset == "zero":
            v = torch.where(spikes > 0, self.v_reset, v)
        elif self.rule.reset_at == "spike":
            v = v - spikes * self.threshold
        elif self.rule.reset_at == "both":
            v = v - (spikes * self.threshold - (0 if debt is None else debt))
        return spikes, v if self.low is None else torch.maximum(v, self.low)

    def _count(self, v: Tensor) -> Tensor:
        if self.rule.spikes == "many":
            ratio = v.clamp(min=0) / self.threshold
            return torch.floor(ratio) if self.rule.comparator == ">=" else (torch.ceil(ratio) - 1).clamp(min=0)
        fired = v >= self.threshold if self.rule.comparator == ">=" else v > self.threshold
        return fired.double()


class DelayLine:
    """`general_nodes.Delay`: what came before, 0 at first."""

    def __init__(self, steps: NDArray[np.int64]) -> None:
        self.steps = steps
        self.past: list[Tensor] = []

    def step(self, x: Tensor) -> Tensor:
        """The delayed value [B, …] when x [B, …] comes in."""
        self.past.append(x)
        self.past = self.past[-(int(self.steps.max(initial=0)) + 1) :]
        return look_back(torch.stack(self.past), len(self.past) - 1, self.steps)


def look_back(values: Tensor, t: int, steps: NDArray[np.int64]) -> Tensor:
    """values[t - steps] per neuron, 0 before the first. values [T, B, …], steps […]; returns [B, …]."""
    out = torch.zeros_like(values[0])
    for step in np.unique(steps):
        if step <= t:
            chosen = torch.from_numpy(np.ascontiguousarray(steps == step))
            out = torch.where(chosen, values[t - int(step)], out)
    return out


def _tensor(array: NDArray[Any]) -> Tensor:
    return torch.tensor(np.asarray(array, np.float64))
