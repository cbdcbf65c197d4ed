"""The LIF neuron: dynamics by hand, surrogate gradients, and what a gated token's membrane does."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.models.neuron import LIF, GateState, Surrogate


def by_hand(x: Tensor, keep: Tensor | None = None, state: str = "hold", tau: float = 2.0, theta: float = 1.0) -> Tensor:
    """The published equations, one step at a time: integrate, fire at v >= theta, reset to zero."""
    v, out = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        charged = v + (x[t] - v) / tau
        s = (charged >= theta).to(x)
        after = (1 - s) * charged
        if keep is not None:
            s = torch.where(keep[t], s, torch.zeros_like(s))
            after = torch.where(keep[t], after, v if state == "hold" else v * (1 - 1 / tau))
        v = after
        out.append(s)
    return torch.stack(out)


@pytest.mark.parametrize(("tau", "theta"), [(2.0, 1.0), (2.0, 0.5), (3.0, 1.0), (1.0, 0.7)])
def test_spikes_equal_the_published_equations(tau: float, theta: float) -> None:
    x = torch.randn(6, 3, 7, generator=torch.manual_seed(0)) * 2
    assert torch.equal(LIF(theta, tau)(x), by_hand(x, tau=tau, theta=theta))


def test_a_membrane_exactly_at_the_threshold_fires() -> None:
    assert LIF()(torch.tensor([[2.0]])).item() == 1.0
    assert LIF()(torch.tensor([[math.nextafter(2.0, 0.0) - 1e-6]])).item() == 0.0


@pytest.mark.parametrize("state", ["hold", "decay"])
def test_gated_spikes_equal_the_rule_written_out(state: GateState) -> None:
    generator = torch.manual_seed(1)
    x = torch.randn(5, 2, 6, 4, generator=generator) * 2
    keep = torch.rand(5, 2, 6, 1, generator=generator) < 0.5
    assert torch.equal(LIF()(x, keep, state), by_hand(x, keep, state))


@pytest.mark.parametrize(("state", "fires_at_last"), [("hold", 1.0), ("decay", 0.0)])
def test_held_membrane_keeps_its_charge_and_decaying_loses_it(state: GateState, fires_at_last: float) -> None:
    x = torch.tensor([1.5, 100.0, 100.0, 1.25]).view(4, 1, 1)
    keep = torch.tensor([True, False, False, True]).view(4, 1, 1)
    # Charged to 0.75, then gated twice: held 0.75 -> 1.0 fires; decayed 0.1875 -> 0.72 does not.
    spikes = LIF()(x, keep, state).flatten()
    assert spikes.tolist() == [0.0, 0.0, 0.0, fires_at_last]


@pytest.mark.parametrize(
    ("surrogate", "at_threshold", "one_above"),
    [
        (Surrogate("triangle", 1.0), 1.0, 0.0),
        (Surrogate("triangle", 1.5), 1.5, 0.5),
        (Surrogate("sigmoid", 4.0), 1.0, 4 * math.exp(-4) / (1 + math.exp(-4)) ** 2),
        (Surrogate("atan", 2.0), 1.0, 1 / (1 + math.pi**2)),
    ],
)
def test_surrogate_derivatives_have_their_published_values(
    surrogate: Surrogate, at_threshold: float, one_above: float
) -> None:
    derivative = surrogate.derivative(torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64))
    assert derivative.tolist() == pytest.approx([at_threshold, one_above, one_above])


@pytest.mark.parametrize("kind", ["triangle", "sigmoid", "atan"])
@pytest.mark.parametrize("state", [None, "hold", "decay"])
def test_backward_pass_equals_automatic_differentiation_of_the_equations(kind: str, state: GateState | None) -> None:
    """The same network with the spike replaced by its surrogate's straight-through form, and the reset detached."""
    generator = torch.manual_seed(2)
    surrogate = Surrogate(kind, 1.3)  # type: ignore[arg-type]
    x = (torch.randn(4, 2, 3, dtype=torch.float64, generator=generator) * 2).requires_grad_()
    keep = None if state is None else torch.rand(4, 2, 3, generator=generator) < 0.6
    weight = torch.randn(4, 2, 3, dtype=torch.float64, generator=generator)
    (LIF(surrogate=surrogate)(x, keep, state or "hold") * weight).sum().backward()
    ours, x.grad = x.grad, None
    v, loss = torch.zeros_like(x[0]), torch.zeros((), dtype=torch.float64)
    for t in range(4):
        charged = v + (x[t] - v) / 2
        s = (charged >= 1).to(x)
        soft = s + (charged - charged.detach()) * surrogate.derivative(charged.detach() - 1)
        after = (1 - s) * charged
        if keep is not None:
            soft = soft * keep[t]
            after = torch.where(keep[t], after, v if state == "hold" else v / 2)
        v, loss = after, loss + (soft * weight[t]).sum()
    loss.backward()
    assert ours is not None
    torch.testing.assert_close(ours, x.grad)


def test_unknown_surrogate_width_and_tau_are_refused() -> None:
    with pytest.raises(InputError, match="unknown surrogate 'step'"):
        Surrogate("step")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="width must be positive"):
        Surrogate("triangle", 0.0)
    with pytest.raises(InputError, match=r"tau must be at least 1 timestep, not 0\.5"):
        LIF(tau=0.5)
