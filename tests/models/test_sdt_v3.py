"""SDT-V3 against the official code's own levels, unpruned and token-pruned, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import (
    Oracle,
    assert_kept_tokens_equal,
    assert_logits_equal,
    assert_scores_equal,
    assert_sops_equal,
    assert_spikes_equal,
    layer_inputs,
    load_oracle,
)

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.multispike import MultiSpike, binary_expansion
from pumice.models.network import Trace
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.sdt_v3 import SdtV3, SdtV3Config

BASE = "sdtv3_tiny_img64"
CASES = (BASE, f"{BASE}__TP_all1.0", f"{BASE}__TP_0.75")
SMALL = SdtV3Config(64, 64, num_classes=4, embed_dim=(4, 4, 8, 8), num_heads=2, mlp_ratios=2)
SHARES = (1.0, 1.0, 0.75, 0.75, 0.5, 0.5, 0.5, 0.25)
BLOCKS = tuple([f"block3.{i}" for i in range(6)] + [f"block4.{i}" for i in range(2)])


def network(oracle: Oracle, **changes: Any) -> SdtV3:
    model = SdtV3(SdtV3Config(**(oracle.kwargs | changes))).eval()
    model.load_state_dict(oracle.weights, strict=True)
    return model


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Oracle, SdtV3, Trace]:
    oracle = load_oracle(request.param)
    model = network(oracle)
    with torch.no_grad():
        return oracle, model, model.trace(oracle.input)


def test_every_level_of_every_layer_equals_the_official_code(case: tuple[Oracle, SdtV3, Trace]) -> None:
    oracle, _, trace = case
    assert_spikes_equal(trace.spikes, oracle)


def test_logits_equal_the_official_code(case: tuple[Oracle, SdtV3, Trace]) -> None:
    oracle, model, trace = case
    assert_logits_equal(model, trace, oracle)


def test_kept_tokens_equal_the_official_code(case: tuple[Oracle, SdtV3, Trace]) -> None:
    oracle, _, trace = case
    assert_kept_tokens_equal(trace, oracle, (1, 2, 16))


@pytest.mark.parametrize("name", CASES[1:])
def test_token_scores_equal_the_official_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = load_oracle(name)
    assert_scores_equal(network(oracle), oracle, monkeypatch)


@pytest.mark.parametrize("name", CASES[1:])
def test_routing_masks_in_place_equal_the_official_gather(name: str) -> None:
    oracle = load_oracle(name)
    with torch.no_grad():
        gathered = network(oracle).trace(oracle.input)
        in_place = network(oracle, k_values=None).trace(oracle.input, gathered.masks)
    torch.testing.assert_close(in_place.logits, oracle.logits, rtol=0, atol=1e-5)
    for layer, levels in gathered.spikes.items():
        if not layer.startswith("block") or ".conv." in layer:
            assert torch.equal(in_place.spikes[layer], levels), layer
            continue
        at = gathered.slots[BLOCKS.index(layer[:8])][:, None].expand(-1, levels.shape[1], -1)
        everywhere = in_place.spikes[layer].flatten(2)
        assert torch.equal(everywhere.gather(2, at), levels.flatten(2)), layer
        assert everywhere.sum() == levels.sum(), layer  # and no gated token fires


@pytest.mark.parametrize("name", CASES)
def test_synaptic_operations_equal_the_official_models(name: str) -> None:
    oracle = load_oracle(name)
    assert_sops_equal(network(oracle), oracle)


def test_binary_spikes_stand_for_every_layer_s_levels() -> None:
    """Four binary steps through each Linear and Conv, averaged, give what the level gives in one: currents are exact sums."""
    oracle = load_oracle(BASE)
    model = network(oracle).double()
    for name, (x, module) in layer_inputs(model, oracle.input.double()).items():
        if name == "downsample1_1.encode_conv":
            continue  # the image itself
        norm = 1 if name == "head" else 4
        spikes = binary_expansion(torch.from_numpy(x) * norm)
        shape = {"Linear": (0, 1), "Conv1d": (0, 1, 2)}.get(type(module).__name__, (0, 1, 2, 3))
        with torch.no_grad():
            at_once = module(torch.from_numpy(x).reshape([x.shape[i] for i in shape]))
            steps = [module(step.reshape([x.shape[i] for i in shape]) * 4 / norm) for step in spikes]
        torch.testing.assert_close(torch.stack(steps).mean(0), at_once, rtol=0, atol=1e-12)


def test_a_gated_token_passes_the_second_half_of_a_block_unchanged() -> None:
    torch.manual_seed(0)
    model = SdtV3(SMALL, TokenPruning(SHARES, Criterion("irtop-paper", alpha=1.0))).eval()
    block, x = model.block3[0], torch.randn(2, 8, 4, 4) * 2
    keep = torch.rand(2, 1, 4, 4) < 0.5
    with torch.no_grad():
        out, mixed = block(x, keep), block.mix(x)
        masks = model.trace(torch.rand(2, 3, 64, 64)).masks
    assert torch.equal(out[~keep.expand_as(out)], mixed[~keep.expand_as(out)])
    assert not torch.equal(out, mixed)
    assert [mask.sum(-1).unique().item() for mask in masks] == [16 * share for share in SHARES]


@pytest.mark.parametrize("heads", [1, 2, 4, 8])
def test_attention_equals_its_definition(heads: int) -> None:
    """(q kᵀ) v · 2/√d, computed in the other order and layout; with d = 16 the scale is 1/2 and ties occur."""
    torch.manual_seed(heads)
    oracle_like = SdtV3(replace(SMALL, embed_dim=(4, 4, 16 * heads, 16 * heads), num_heads=heads)).eval()
    attention = oracle_like.block3[0].attn
    inputs = torch.randn(2, 16 * heads, 3, 3) * 3
    seen: dict[str, torch.Tensor] = {}
    for name in ("q_spike", "k_spike", "v_spike", "attn_spike"):
        attention.get_submodule(name).register_forward_hook(lambda m, i, out, name=name: seen.update({name: out}))
    with torch.no_grad():
        attention(inputs)
    q, k, v = (seen[f"{n}_spike"].flatten(2).view(2, heads, -1, 9).transpose(2, 3) for n in "qkv")
    mixed = (q @ k.transpose(2, 3)) @ v * 0.5
    assert torch.equal(MultiSpike()(mixed.transpose(2, 3).reshape(2, -1, 9)), seen["attn_spike"])


@pytest.mark.parametrize(
    ("dims", "millions"),
    [((32, 64, 128, 192), 5.106), ((48, 96, 192, 240), 10.023), ((64, 128, 256, 360), 18.988)],
)
def test_parameter_counts_of_the_published_sizes(dims: tuple[int, ...], millions: float) -> None:
    with torch.device("meta"):
        model = SdtV3(SdtV3Config(embed_dim=dims))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)
    assert model.config.grid == (14, 14)


def test_gradients_reach_every_parameter() -> None:
    torch.manual_seed(0)
    model = SdtV3(SMALL)
    model(torch.rand(2, 3, 64, 64) * 4).square().sum().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize("config", [SdtV3Config(), replace(SMALL, k_values=SHARES)])
def test_configuration_survives_json(config: SdtV3Config) -> None:
    assert SdtV3Config(**json.loads(json.dumps(config.as_dict()))) == config


def test_sides_are_truncated_in_floating_point_as_officially() -> None:
    assert replace(
        SMALL, img_size_h=224, img_size_w=224, k_values=(0.9,) + (0.8,) * 3 + (0.75,) + (0.65,) * 3
    ).sides() == (
        *(12, 11, 11, 11, 10),
        *(9, 9, 9),
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dim": (4, 4, 8)}, "embed_dim has 3 entries, not 4"),
        ({"embed_dim": (3, 4, 8, 8)}, r"embed_dim\[0\] is 3, but must be even"),
        ({"num_heads": 3}, r"embed_dim\[2\] 8 does not divide into 3 heads"),
        ({"num_classes": 0}, "num_classes is 0, but must be at least 1"),
        ({"k_values": (0.5,)}, "k_values has 1 entries for 8 blocks"),
        ({"k_values": (1.2,) * 8}, r"block 0: k_values 1.2 is not in \(0, 1\]"),
        ({"k_values": (0.5,) * 7 + (0.75,)}, "block 7: k is 3, more than the 2 of the block before it"),
        ({"k_values": (0.2,) * 8}, "block 0: k is 0, which leaves no token"),
        ({"k_values": (1.0,) * 8, "img_size_w": 32}, "block 0: k is 4, but 16 tokens exceed the 4 x 2 there are"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (4, 2, 3, 64, 64)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"not float \[B, 3, 64, 64\]"):
        SdtV3(SMALL)(torch.rand(shape))


def test_gathering_and_gating_at_once_is_refused() -> None:
    model = SdtV3(replace(SMALL, k_values=SHARES), TokenPruning(SHARES))
    with pytest.raises(InputError, match="the config has k_values and the network a pruning"):
        model(torch.rand(1, 3, 64, 64))
