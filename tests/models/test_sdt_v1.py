"""SDT-V1 against the official code's own spikes, unpruned and token-pruned, and its refusals."""

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
    load_oracle,
)

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import Trace
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.sdt_v1 import SdtV1, SdtV1Config

BASE = "sdtv1_2-64_img32"
CASES = (BASE, f"{BASE}__TP_k3-2", f"{BASE}__TP_k6-4")
SMALL = SdtV1Config(16, 16, in_channels=1, embed_dims=16, num_heads=2, depths=2, T=3, pooling_stat="0011")


def network(oracle: Oracle, **changes: Any) -> SdtV1:
    model = SdtV1(SdtV1Config(**(oracle.kwargs | changes))).eval()
    model.load_state_dict(oracle.weights, strict=True)
    return model


def small(seed: int = 0, pruning: TokenPruning | None = None, **changes: Any) -> SdtV1:
    """A network without vectors whose neurons fire: BatchNorms that amplify."""
    torch.manual_seed(seed)
    model = SdtV1(replace(SMALL, **changes), pruning).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 2.0, 4.0)
            torch.nn.init.uniform_(module.bias, 0.0, 1.0)
    return model


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[Oracle, SdtV1, Trace]:
    oracle = load_oracle(request.param)
    model = network(oracle)
    with torch.no_grad():
        return oracle, model, model.trace(oracle.input)


def test_every_spike_of_every_layer_equals_the_official_code(case: tuple[Oracle, SdtV1, Trace]) -> None:
    oracle, _, trace = case
    assert_spikes_equal(trace.spikes, oracle)


def test_logits_equal_the_official_code(case: tuple[Oracle, SdtV1, Trace]) -> None:
    oracle, model, trace = case
    assert_logits_equal(model, trace, oracle)


def test_kept_tokens_equal_the_official_code(case: tuple[Oracle, SdtV1, Trace]) -> None:
    oracle, _, trace = case
    assert_kept_tokens_equal(trace, oracle, (4, 2, 64))


@pytest.mark.parametrize("name", CASES[1:])
def test_routing_masks_in_place_equal_the_official_gather(name: str) -> None:
    """One mask for all steps: neurons that belong to positions give what the official code's fresh slots give."""
    oracle = load_oracle(name)
    with torch.no_grad():
        gathered = network(oracle).trace(oracle.input)
        in_place = network(oracle, k_values=None).trace(oracle.input, gathered.masks)
    torch.testing.assert_close(in_place.logits, oracle.logits, rtol=0, atol=1e-5)
    for layer, spikes in gathered.spikes.items():
        if not layer.startswith("block") or layer.endswith("talking_heads_lif"):
            assert torch.equal(in_place.spikes[layer], spikes), layer
            continue
        at = gathered.slots[int(layer.split(".")[1])][:, None].expand(4, -1, spikes.shape[2], -1)
        everywhere = in_place.spikes[layer].flatten(3)
        assert torch.equal(everywhere.gather(3, at), spikes.flatten(3)), layer
        assert everywhere.sum() == spikes.sum(), layer  # and no gated token fires


@pytest.mark.parametrize("name", CASES)
def test_synaptic_operations_equal_the_official_models(name: str) -> None:
    oracle = load_oracle(name)
    assert_sops_equal(network(oracle), oracle, {"patch_embed.proj_conv": oracle.kwargs["T"]})


@pytest.mark.parametrize("name", CASES[:2])
def test_event_frames_that_stand_still_are_an_image(name: str) -> None:
    oracle = load_oracle(name)
    model = network(oracle)
    with torch.no_grad():
        still = oracle.input.unsqueeze(1).expand(-1, 4, -1, -1, -1)  # [B, T, C, H, W]
        torch.testing.assert_close(model(still), oracle.logits, rtol=0, atol=1e-5)


def test_tet_gives_the_logits_of_every_step() -> None:
    oracle = load_oracle(BASE)
    with torch.no_grad():
        steps = network(oracle, TET=True)(oracle.input)
    assert steps.shape == (4, 2, 10)
    torch.testing.assert_close(steps.mean(0), oracle.logits, rtol=0, atol=1e-5)


def test_event_frames_run_through_the_steps_in_order() -> None:
    model, frames = small(), torch.rand(2, 3, 1, 16, 16)
    with torch.no_grad():
        longer = model.trace(frames).spikes
        changed = frames.clone()
        changed[:, 2] = 0
        cut = model.trace(changed).spikes
    for name, spikes in longer.items():
        assert torch.equal(spikes[:2], cut[name][:2]), name
    assert not torch.equal(longer["patch_embed.proj_lif"][2], cut["patch_embed.proj_lif"][2])


@pytest.mark.parametrize("state", ["hold", "decay"])
def test_a_gated_token_passes_each_block_unchanged(state: Any) -> None:
    model = small(pruning=TokenPruning((0.5, 0.25), Criterion(), state))
    with torch.no_grad():
        trace = model.trace(torch.rand(2, 1, 16, 16))
    assert [mask.sum(-1).unique().tolist() for mask in trace.masks] == [[8], [4]]
    for block, mask in enumerate(trace.masks):
        for layer in ("attn.shortcut_lif", "attn.q_lif", "attn.k_lif", "attn.v_lif", "mlp.fc1_lif", "mlp.fc2_lif"):
            spikes = trace.spikes[f"block.{block}.{layer}"].flatten(3)
            assert spikes.sum() > 0
            assert not (spikes * ~mask.unsqueeze(2)).any(), layer


def test_masks_that_keep_everything_change_nothing() -> None:
    model, images = small(), torch.rand(2, 1, 16, 16)
    with torch.no_grad():
        assert torch.equal(
            model(images, tuple(torch.ones(3, 2, 16, dtype=torch.bool) for _ in range(2))), model(images)
        )


def test_gradients_reach_every_parameter_but_the_unused_talking_heads() -> None:
    model = small()
    model(torch.rand(4, 1, 16, 16) * 4).square().sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {f"block.{block}.attn.talking_heads.weight" for block in (0, 1)}


def test_mlp_of_ratio_one_has_its_shortcut_inside() -> None:
    mlp = small(mlp_ratios=1).block[0].mlp
    x = torch.rand(3, 2, 16, 4, 4)
    with torch.no_grad():
        inner = x + mlp.fc1_bn(mlp.fc1_conv(mlp.fc1_lif(x).flatten(0, 1))).view(x.shape)
        expected = inner + mlp.fc2_bn(mlp.fc2_conv(mlp.fc2_lif(inner).flatten(0, 1))).view(x.shape)
        assert torch.equal(mlp(x), expected)


@pytest.mark.parametrize(
    ("dims", "depth", "millions"), [(384, 8, 16.817), (512, 6, 23.374), (512, 10, 36.006), (768, 8, 66.339)]
)
def test_parameter_counts_of_the_published_sizes(dims: int, depth: int, millions: float) -> None:
    with torch.device("meta"):
        model = SdtV1(SdtV1Config(224, 224, in_channels=3, num_classes=1000, embed_dims=dims, depths=depth))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=5e-4)
    assert model.config.grid == (14, 14)


@pytest.mark.parametrize("config", [SdtV1Config(), replace(SMALL, k_values=(3, 2))])
def test_configuration_survives_json(config: SdtV1Config) -> None:
    assert SdtV1Config(**json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dims": 20}, "embed_dims 20 is no multiple of 8"),
        ({"num_heads": 3}, "embed_dims 16 does not divide into 3 heads"),
        ({"T": 0}, "T is 0, but must be at least 1"),
        ({"pooling_stat": "011"}, "pooling_stat '011' is not four digits 0 or 1"),
        ({"img_size_w": 18}, "image 16 x 18 does not divide by 4"),
        ({"spike_mode": "plif"}, "spike_mode 'plif' is not supported"),
        ({"dvs_mode": True}, "dvs_mode is not supported"),
        ({"k_values": (2,)}, "k_values has 1 entries for 2 blocks"),
        ({"k_values": (2, 0)}, "block 1: k is 0, which leaves no token"),
        ({"k_values": (5, 2)}, "block 0: k is 5, but 25 tokens exceed the 4 x 4 there are"),
        ({"k_values": (2, 3)}, "block 1: k is 3, more than the 2 of the block before it"),
        ({"k_values": (2, 1.5)}, "block 1: k is 1.5, not a whole number"),
        ({"k_values": (2, 2), "T": 1}, "pruning scores the change between timesteps, but T is 1"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


@pytest.mark.parametrize("shape", [(1, 16, 16), (2, 3, 16, 16), (2, 4, 1, 16, 16)])
def test_inputs_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"not float \[B, 1, 16, 16\] or \[B, 3, 1, 16, 16\]"):
        small()(torch.rand(shape))


def test_gathering_and_gating_at_once_is_refused() -> None:
    model = small(pruning=TokenPruning((0.5, 0.5)), k_values=(2, 2))
    with pytest.raises(InputError, match="the config has k_values and the network a pruning"):
        model(torch.rand(1, 1, 16, 16))


@pytest.mark.parametrize("name", CASES[1:])
def test_token_scores_equal_the_official_code(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    oracle = load_oracle(name)
    assert_scores_equal(network(oracle), oracle, monkeypatch)
