"""sLIF: bit-exact to LIF until trained, correct gradients of both trained numbers, values that stay legal."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.models.neuron import LIF, GateState, Surrogate
from pumice.models.nir import nodes as nir_nodes
from pumice.models.slif import SLIF, lif_layers, slif_values, to_slif
from pumice.models.spikformer import Spikformer, SpikformerConfig

TINY = SpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=1, T=3, pool_stages=())
STATES: tuple[GateState | None, ...] = (None, "hold", "decay")
Spike = Callable[[Tensor, Tensor], Tensor]


def shifted(tau: float, theta: float, surrogate: Surrogate | None = None) -> SLIF:
    """A layer away from its start, in float64: tau and threshold are not its initial values."""
    layer = SLIF(theta, tau, surrogate).double()
    with torch.no_grad():
        layer.tau_shift.fill_(0.3)
        layer.threshold_shift.fill_(-0.2)
    return layer


def case(state: GateState | None) -> tuple[Tensor, Tensor | None, Tensor]:
    generator = torch.manual_seed(4)
    x = torch.randn(5, 3, 4, dtype=torch.float64, generator=generator) * 2 + 0.5
    keep = None if state is None else torch.rand(5, 3, 4, generator=generator) < 0.6
    return x, keep, torch.randn(5, 3, 4, dtype=torch.float64, generator=generator)


def unrolled(
    x: Tensor, keep: Tensor | None, state: GateState | None, tau: Tensor, theta: Tensor, spike: Spike
) -> Tensor:
    """The published equations in plain torch operations; the reset is a constant. spike: what a step puts out."""
    v, out = torch.zeros_like(x[0]), []
    for t in range(len(x)):
        charged = v + (x[t] - v) / tau
        after = (1 - (charged >= theta).to(x)) * charged
        s = spike(charged, theta)
        if keep is not None:
            s = s * keep[t]
            after = torch.where(keep[t], after, v if state == "hold" else v * (1 - 1 / tau))
        v = after
        out.append(s)
    return torch.stack(out)


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("kind", ["triangle", "sigmoid", "atan"])
def test_gradients_equal_automatic_differentiation_of_the_equations(kind: str, state: GateState | None) -> None:
    surrogate = Surrogate(kind, 1.3)  # type: ignore[arg-type]

    def straight_through(charged: Tensor, theta: Tensor) -> Tensor:
        distance = charged - theta
        hard = (distance >= 0).to(charged)
        return hard + (distance - distance.detach()) * surrogate.derivative(distance.detach())

    layer, (x, keep, weight) = shifted(2.0, 1.0, surrogate), case(state)
    x.requires_grad_()
    (layer(x, keep, state or "hold") * weight).sum().backward()
    tau_shift, threshold_shift = (p.detach().clone().requires_grad_() for p in layer.parameters())
    ours, x.grad = x.grad, None
    spikes = unrolled(x, keep, state, 1 + tau_shift.exp(), threshold_shift.exp(), straight_through)
    (spikes * weight).sum().backward()
    assert ours is not None
    torch.testing.assert_close(ours, x.grad)
    torch.testing.assert_close(layer.tau_shift.grad, tau_shift.grad)
    torch.testing.assert_close(layer.threshold_shift.grad, threshold_shift.grad)


@pytest.mark.parametrize("state", STATES)
def test_gradients_equal_finite_differences(state: GateState | None) -> None:
    """With the sigmoid that the surrogate is the derivative of as output, the loss is smooth where no reset flips, and
    its slope needs no automatic differentiation to know."""
    layer, (x, keep, weight) = shifted(2.0, 1.0), case(state)

    def loss(tau_shift: float, threshold_shift: float) -> float:
        shifts = torch.tensor([tau_shift, threshold_shift], dtype=torch.float64).exp()
        tau, theta = 1 + shifts[0], shifts[1]
        out = unrolled(x, keep, state, tau, theta, lambda charged, at: torch.sigmoid(4 * (charged - at)))
        return float((out * weight).sum())

    (layer(x, keep, state or "hold") * weight).sum().backward()
    a, b = (p.item() for p in layer.parameters())
    step = 1e-6
    slopes = (
        (loss(a + step, b) - loss(a - step, b)) / (2 * step),
        (loss(a, b + step) - loss(a, b - step)) / (2 * step),
    )
    assert layer.tau_shift.grad is not None
    assert layer.threshold_shift.grad is not None
    assert (layer.tau_shift.grad.item(), layer.threshold_shift.grad.item()) == pytest.approx(slopes, rel=1e-6)
    assert min(map(abs, slopes)) > 1e-3


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize(("tau", "theta"), [(2.0, 1.0), (2.0, 0.5), (3.3, 0.7), (1.1, 0.1)])
def test_fresh_layer_spikes_as_lif_bit_for_bit(tau: float, theta: float, state: GateState | None) -> None:
    x = torch.randn(6, 40, 50, generator=torch.manual_seed(0)) * 2
    keep = None if state is None else torch.rand(6, 40, 1, generator=torch.manual_seed(1)) < 0.6
    fresh = SLIF(theta, tau)
    assert (fresh.tau, fresh.v_threshold) == (tau, theta)
    assert torch.equal(fresh(x, keep, state or "hold"), LIF(theta, tau)(x, keep, state or "hold"))


def test_trained_layer_spikes_as_a_lif_of_the_values_it_shows() -> None:
    layer = shifted(2.0, 1.0).float()
    x = torch.randn(6, 40, 50, generator=torch.manual_seed(0)) * 2
    assert torch.equal(layer(x), LIF(layer.v_threshold, layer.tau)(x))
    assert not torch.equal(layer(x), LIF()(x))


@pytest.mark.parametrize("shift", [-30.0, -1.0, 1.0, 5.0])
def test_values_stay_legal_wherever_training_moves_them(shift: float) -> None:
    layer = SLIF(0.5, 2.0)
    with torch.no_grad():
        layer.tau_shift.fill_(shift)
        layer.threshold_shift.fill_(shift)
    assert layer.tau >= 1
    assert layer.v_threshold > 0


def test_model_of_slif_equals_the_model_of_lif_and_its_state_dict_carries_what_it_learns() -> None:
    torch.manual_seed(0)
    model, images = Spikformer(TINY).eval(), torch.rand(2, 1, 8, 8)
    before = model.trace(images)
    names = to_slif(model)
    assert names == lif_layers(model) == tuple(slif_values(model))
    after = model.trace(images)
    assert torch.equal(before.logits, after.logits)
    assert all(torch.equal(before.spikes[name], after.spikes[name]) for name in names)
    model.train()(images).sum().backward()
    for name in names:
        assert model.get_parameter(f"{name}.tau_shift").grad is not None
    with torch.no_grad():
        model.get_parameter("block.0.attn.q_lif.threshold_shift").fill_(-0.5)
    other = Spikformer(TINY)
    to_slif(other)
    other.load_state_dict(model.state_dict())
    assert slif_values(other) == slif_values(model)
    assert slif_values(other)["block.0.attn.q_lif"][1] == pytest.approx(0.60653, abs=1e-5)


def test_attention_keeps_its_own_threshold_and_a_trained_layer_is_left_alone() -> None:
    model = Spikformer(TINY)
    to_slif(model, ["block.0.attn.attn_lif"])
    assert slif_values(model) == {"block.0.attn.attn_lif": (2.0, 0.5)}
    trained = model.get_submodule("block.0.attn.attn_lif")
    to_slif(model)
    assert model.get_submodule("block.0.attn.attn_lif") is trained


def test_exported_neuron_has_plain_numbers() -> None:
    layer = shifted(2.0, 1.0).float()
    node = nir_nodes.lif(layer, (3, 4))
    assert node.tau / nir_nodes.DT == pytest.approx(layer.tau)
    assert node.v_threshold == pytest.approx(layer.v_threshold)


def test_wrong_names_and_starts_are_refused() -> None:
    model = Spikformer(TINY)
    with pytest.raises(InputError, match=r"Spikformer has no layer 'block\.7\.attn\.q_lif'"):
        to_slif(model, ["block.7.attn.q_lif"])
    with pytest.raises(InputError, match="layer 'head' is a Linear, not a LIF"):
        to_slif(model, ["head"])
    with pytest.raises(InputError, match="no layers were named"):
        to_slif(torch.nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"tau must start above 1 timestep, not at 1\.0"):
        SLIF(tau=1.0)
    with pytest.raises(InputError, match="the threshold must start above 0, not at 0"):
        SLIF(v_threshold=0)
