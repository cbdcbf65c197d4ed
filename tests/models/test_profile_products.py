"""Products of activations in a profile: SDT-V1's and QKFormer's attention from official spikes, and what must not count."""

from __future__ import annotations

import pytest
import torch
from oracles import Oracle, load_oracle
from torch import Tensor, nn
from torch.nn import functional

from pumice.models import profile
from pumice.models.neuron import LIF
from pumice.models.official import load_official
from pumice.models.profiling.profiler import LayerProfile, Profile


def profiled(name: str, family: str) -> tuple[Oracle, Profile]:
    oracle = load_oracle(name)
    return oracle, profile(load_official(family, oracle.kwargs, oracle.weights), [oracle.input])


def products(found: Profile) -> dict[str, LayerProfile]:
    return {layer.name: layer for layer in found.layers if layer.kind in ("matmul", "mul", "sum")}


def meetings(a: Tensor, b: Tensor) -> int:
    """Positions where two official spike tensors are both nonzero."""
    return int(((a != 0) & (b != 0)).sum())


@pytest.mark.parametrize("block", [0, 1])
def test_sdt_v1_attention_equals_the_official_spikes(block: int) -> None:
    oracle, found = profiled("sdtv1_2-64_img32", "sdtv1")
    q, k, v, gate = (oracle.spikes[f"block.{block}.attn.{n}_lif"].float() for n in ("q", "k", "v", "talking_heads"))
    batch = q.shape[1]
    first, second = (products(found)[f"block.{block}.attn.mul{n}"] for n in (0, 1))
    assert first.events * batch == meetings(k, v)
    assert first.dense * batch == k.numel()
    assert second.events * batch == meetings(q, gate.reshape(*q.shape[:3], 1, 1))
    assert second.eq25 * batch == pytest.approx(float(q.mean()) * q.numel())
    assert first.binary
    assert second.binary


@pytest.mark.parametrize("stage", [1, 2])
def test_qkformer_token_attention_equals_the_official_spikes(stage: int) -> None:
    oracle, found = profiled("qk_cifar_4-64", "qkformer_cifar")
    place = f"stage{stage}.0.tssa"
    q, k, gate = (oracle.spikes[f"{place}.{name}_lif"].float() for name in ("q", "k", "attn"))
    summed, gated = products(found)[f"{place}.sum0"], products(found)[f"{place}.mul0"]
    assert (summed.events, summed.dense) == (int(q.sum()), q.numel())
    by_head = k.reshape(*k.shape[:2], gate.shape[2], -1, k.shape[-1])
    assert (gated.events, gated.dense) == (meetings(by_head, gate), k.numel())


def test_only_attention_is_counted_in_the_official_models() -> None:
    """Per block: SDT-V1 two products, token QK a sum and a product, (q kᵀ) v two matrix products; nothing else anywhere."""
    kinds = {
        ("sdtv1_2-64_img32", "sdtv1"): ["mul"] * 4,
        ("qk_cifar_4-64", "qkformer_cifar"): ["sum", "mul"] * 2 + ["matmul"] * 4,
        ("spikformer_cifar_2-64", "spikformer_cifar"): ["matmul"] * 4,
        ("sdtv3_tiny_img64", "sdtv3"): ["matmul"] * 16,
    }
    for (name, family), expected in kinds.items():
        _, found = profiled(name, family)
        assert [layer.kind for layer in products(found).values()] == expected, name
        assert not found.uncounted


class Around(nn.Module):
    """A function of a layer's spikes, so that there is something to count besides it."""

    def __init__(self, rule: str) -> None:
        super().__init__()
        self.rule = rule
        self.first = nn.Linear(4, 4, bias=False)
        self.lif = LIF()
        self.scale = nn.Parameter(torch.ones(4))
        self.register_buffer("table", torch.ones(4))
        with torch.no_grad():
            self.first.weight.fill_(2.0)

    def forward(self, x: Tensor) -> Tensor:
        spikes = self.lif(self.first(x).unsqueeze(0))
        result: Tensor = getattr(self, self.rule)(spikes)
        return result

    def product(self, s: Tensor) -> Tensor:
        return s * s

    def torch_mul(self, s: Tensor) -> Tensor:
        return torch.mul(s, other=s)

    def in_place(self, s: Tensor) -> Tensor:
        return s.clone().mul_(s)

    def with_a_scalar(self, s: Tensor) -> Tensor:
        return 2 * s * torch.tensor(3.0)

    def with_a_parameter(self, s: Tensor) -> Tensor:
        return s * self.scale * self.scale.view(1, 1, 4)

    def with_a_buffer(self, s: Tensor) -> Tensor:
        return s * self.table[None]

    def with_a_mask(self, s: Tensor) -> Tensor:
        return s * (s > 0)

    def with_fractions(self, s: Tensor) -> Tensor:
        return (s + 0.3) * s

    def normalized(self, s: Tensor) -> Tensor:
        return functional.batch_norm(s[0], torch.zeros(4), torch.ones(4)) * 0.5

    def in_a_neuron(self, s: Tensor) -> Tensor:
        return torch.as_tensor(self.lif(s))

    def sum_for_a_neuron(self, s: Tensor) -> Tensor:
        return torch.as_tensor(self.lif(s.sum(-1, keepdim=True)))

    def sum_for_nobody(self, s: Tensor) -> Tensor:
        return s.sum(-1)

    def sum_of_a_product(self, s: Tensor) -> Tensor:
        return torch.as_tensor(self.lif((s * s).flatten(1).sum(-1, keepdim=True)))


@pytest.mark.parametrize(
    ("rule", "kinds"),
    [
        ("product", ["mul"]),
        ("torch_mul", ["mul"]),
        ("in_place", ["mul"]),
        ("with_a_scalar", []),
        ("with_a_parameter", []),
        ("with_a_buffer", []),
        ("with_a_mask", []),
        ("with_fractions", []),
        ("normalized", []),
        ("in_a_neuron", []),
        ("sum_for_a_neuron", ["sum"]),
        ("sum_for_nobody", []),
        ("sum_of_a_product", ["mul"]),
    ],
)
def test_which_products_count(rule: str, kinds: list[str]) -> None:
    found = products(profile(Around(rule), [torch.eye(4)]))
    assert [layer.kind for layer in found.values()] == kinds
    for layer in found.values():
        assert (layer.events, layer.dense) == (4, 4)  # every neuron fires: 2 / tau reaches the threshold


def test_a_product_is_dropped_when_one_call_was_not_of_spikes() -> None:
    """The first batch happens to be whole; the second shows that the operand is a real value."""

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.first(x)
            return x * x

    whole, real = torch.ones(1, 2), torch.full((1, 2), 0.3)
    assert [layer.kind for layer in profile(Scaled(), [whole]).layers] == ["Linear", "mul"]
    assert [layer.kind for layer in profile(Scaled(), [whole, real]).layers] == ["Linear"]


def test_arithmetic_outside_of_the_rules_is_named() -> None:
    class Unusual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.weight = nn.Parameter(torch.ones(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            y = torch.einsum("bi,bj->bij", self.first(x), x)
            return functional.linear(y, self.weight) @ self.weight

    found = profile(Unusual(), [torch.ones(2, 4), torch.ones(1, 4)])
    assert dict(found.uncounted) == {"einsum": 2, "linear": 2, "matmul with a parameter": 2}
    assert [layer.name for layer in found.layers] == ["first"]
