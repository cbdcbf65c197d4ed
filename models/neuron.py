"""The leaky integrate-and-fire neuron of the spiking transformers, its surrogate gradients and its token gate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from pumice.errors import InputError

GateState = Literal["hold", "decay"]
SurrogateKind = Literal["triangle", "sigmoid", "atan"]


@dataclass(frozen=True)
class Surrogate:
    """The derivative that stands in for the spike's step function during training.

    kind "triangle": max(0, width - |u - θ|) (TP-Spikformer, Eq. 23; `width` is its β). "sigmoid" and "atan": the
    derivative of a sigmoid, or of an arc tangent, of slope `width` (SpikingJelly's defaults are 4 and 2).
    """

    kind: SurrogateKind = "sigmoid"
    width: float = 4.0

    def __post_init__(self) -> None:
        if self.kind not in get_args(SurrogateKind):
            raise InputError(f"unknown surrogate {self.kind!r}", f"known: {', '.join(get_args(SurrogateKind))}")
        if self.width <= 0:
            raise InputError(f"surrogate {self.kind!r}: width must be positive, not {self.width}", "use 1 to 4")

    def derivative(self, distance: Tensor) -> Tensor:
        """d spike / d membrane at `distance` = u - θ; any shape, elementwise."""
        if self.kind == "triangle":
            return distance.abs().neg_().add_(self.width).clamp_min_(0.0)
        if self.kind == "atan":
            return distance.mul(math.pi / 2 * self.width).square_().add_(1.0).reciprocal_().mul_(self.width / 2)
        sigmoid = torch.sigmoid(self.width * distance)
        return sigmoid.mul_(1 - sigmoid).mul_(self.width)


@dataclass(frozen=True)
class Dynamics:
    """What one step does: `v += (x - v) / tau; s = v >= v_threshold; v = (1 - s) * v`, and to a gated token, to v alone."""

    tau: float
    v_threshold: float
    state: GateState
    surrogate: Surrogate

    @property
    def leak(self) -> float:
        """What remains of the membrane after a step without input."""
        return 1.0 - 1.0 / self.tau

    @property
    def gated_leak(self) -> float:
        """What remains of a gated token's membrane after a step."""
        return 1.0 if self.state == "hold" else self.leak


class _Lif(torch.autograd.Function):
    """All timesteps of a LIF layer at once. Writing the backward pass by hand keeps two tensors per step, not eight."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, keep: Tensor | None, dynamics: Dynamics, tau: Tensor | None, threshold: Tensor | None
    ) -> Tensor:
        """Spikes `[T, ...]` of currents x. `tau` and `threshold` only receive gradients: `dynamics` has the numbers."""
        membranes = torch.empty_like(x)
        spikes = torch.empty_like(x)
        v = torch.zeros_like(x[0])
        for t in range(x.shape[0]):
            h = torch.add(v, (x[t] - v).div_(dynamics.tau), out=membranes[t])
            s = torch.ge(h, dynamics.v_threshold, out=spikes[t])
            fresh = h * (1.0 - s)
            if keep is not None:
                s.mul_(keep[t])
                fresh = torch.where(keep[t], fresh, v * dynamics.gated_leak)
            v = fresh
        ctx.save_for_backward(membranes, spikes, keep)
        ctx.dynamics = dynamics
        return spikes

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None, None, Tensor | None, Tensor | None]:
        """Backpropagation through time (Eq. 22); the reset is a constant, as in the official training code."""
        membranes, spikes, keep = ctx.saved_tensors
        dynamics: Dynamics = ctx.dynamics
        slope = dynamics.surrogate.derivative(membranes - dynamics.v_threshold)
        grad_h = slope.mul_(grad_outputs[0])
        wants_tau, wants_threshold = ctx.needs_input_grad[3:]
        grad_threshold = _grad_threshold(grad_h, keep) if wants_threshold else None
        grad_v = torch.zeros_like(grad_h) if wants_tau else None
        carried = torch.zeros_like(grad_h[0])
        for t in reversed(range(grad_h.shape[0])):
            if grad_v is not None:
                grad_v[t] = carried
            step = grad_h[t].addcmul_(carried, 1.0 - spikes[t])
            if keep is None:
                carried = step * dynamics.leak
                continue
            step.mul_(keep[t])
            carried = torch.where(keep[t], step * dynamics.leak, carried * dynamics.gated_leak)
        grad_tau = None if grad_v is None else _grad_tau(grad_h, grad_v, membranes, spikes, keep, dynamics)
        return grad_h.div_(dynamics.tau), None, None, grad_tau, grad_threshold


def lif_spikes(
    x: Tensor,
    keep: Tensor | None,
    dynamics: Dynamics,
    tau: Tensor | None = None,
    threshold: Tensor | None = None,
) -> Tensor:
    """Spikes of a LIF layer stepped over axis 0 from rest; x and keep as in `LIF.forward`.

    tau, threshold: scalar tensors of `dynamics`' own values that shall receive gradients, or None.
    """
    return cast(Tensor, _Lif.apply(x, keep, dynamics, tau, threshold))  # type: ignore[no-untyped-call]


def _grad_threshold(grad_h: Tensor, keep: Tensor | None) -> Tensor:
    """d loss / d threshold, from each spike's own share of d loss / d membrane: the surrogate is a function of u - θ."""
    return -(grad_h if keep is None else grad_h * keep).sum()


def _grad_tau(
    grad_h: Tensor, grad_v: Tensor, membranes: Tensor, spikes: Tensor, keep: Tensor | None, dynamics: Dynamics
) -> Tensor:
    """d loss / d tau. grad_h, grad_v: d loss / d membrane before and after the reset, `[T, ...]`.

    A routed neuron's step gives dh/dtau = (v - h) / tau; a gated one that decays, dv'/dtau = v / tau².
    """
    total = grad_h.new_zeros(())
    v = torch.zeros_like(grad_h[0])
    for t in range(grad_h.shape[0]):
        total = total + (grad_h[t] * (v - membranes[t])).sum() / dynamics.tau
        fresh = membranes[t] * (1.0 - spikes[t])
        if keep is not None:
            if dynamics.state == "decay":
                total = total + (torch.where(keep[t], 0.0, grad_v[t]) * v).sum() / dynamics.tau**2
            fresh = torch.where(keep[t], fresh, v * dynamics.gated_leak)
        v = fresh
    return total


class LIF(nn.Module):
    """A layer of LIF neurons with hard reset to 0, stepped over axis 0 from rest.

    Equals SpikingJelly's `MultiStepLIFNode(decay_input=True, v_reset=0, detach_reset=True)` (torch backend) in float32,
    bit for bit. Source: TP-Spikformer, Eq. 1-3.
    """

    def __init__(self, v_threshold: float = 1.0, tau: float = 2.0, surrogate: Surrogate | None = None) -> None:
        super().__init__()
        if tau < 1:
            raise InputError(f"LIF: tau must be at least 1 timestep, not {tau}", "the official models use 2")
        self.tau = tau
        self.v_threshold = v_threshold
        self.surrogate = surrogate or Surrogate()

    def extra_repr(self) -> str:
        return f"tau={self.tau}, v_threshold={self.v_threshold}, surrogate={self.surrogate}"

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """Spikes of the input currents.

        x: `[T, B, ...]`; keep: bool, broadcastable to x, or None. Returns 0/1 in x's shape and dtype. Where keep is
        False a neuron gets no input and no bias, does not fire, and holds its membrane or lets it decay (`state`).
        """
        return lif_spikes(x, keep, Dynamics(self.tau, self.v_threshold, state, self.surrogate))
