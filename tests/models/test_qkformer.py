"""QKFormer against the official code's own spikes, unpruned and token-pruned, its batch semantics, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import Oracle, assert_logits_equal, assert_sops_equal, load_oracle
from torch import Tensor

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import Trace
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig, QKFormerImagenetConfig, QKFormerTpConfig

CONFIGS: dict[str, type[QKFormerConfig]] = {
    "qk_cifar_4-64": QKFormerConfig,
    "qk_imagenet_5-64": QKFormerImagenetConfig,
    "qk_imagenet_5-64__TP_all1.0": QKFormerTpConfig,
    "qk_imagenet_5-64__TP_0.5": QKFormerTpConfig,
}
PRUNED = [name for name in CONFIGS if "__TP_" in name]
SMALL = QKFormerConfig(img_size_h=16, img_size_w=16, in_channels=1, embed_dims=64, depths=4, T=3)
SMALL_TP = QKFormerTpConfig(64, 64, embed_dims=32, num_heads=2, num_classes=10, depths=4, T=3, k_values=(0.5,) * 4)


def network(oracle: Oracle, config: type[QKFormerConfig], batch_semantics: Any) -> QKFormer:
    model = QKFormer(config(**oracle.kwargs), batch_semantics=batch_semantics).eval()
    model.load_state_dict(oracle.weights, strict=True)
    return model


def small(config: QKFormerConfig = SMALL, **changes: Any) -> QKFormer:
    """A network without vectors whose neurons fire: BatchNorms that amplify."""
    torch.manual_seed(0)
    model = QKFormer(config, **changes).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 2.0, 4.0)
            torch.nn.init.uniform_(module.bias, 0.5, 2.0)
    return model


@pytest.fixture(scope="module", params=CONFIGS)
def case(request: pytest.FixtureRequest) -> tuple[Oracle, QKFormer, Trace]:
    oracle = load_oracle(request.param)
    model = network(oracle, CONFIGS[request.param], "official")
    with torch.no_grad():
        return oracle, model, model.trace(oracle.input)


def aligned(name: str, spikes: Tensor, slots: list[Tensor], stages: tuple[int, ...]) -> Tensor:
    """A block's spikes `[..., slots]` in the order of token indices; others as they are. Slots of equal scores have no
    order in the official code, so that only the sets can be compared."""
    if not slots or not name.startswith("stage"):
        return spikes
    stage, block = (int(part) for part in name.removeprefix("stage").split(".")[:2])
    tokens = spikes.flatten(3) if spikes.shape[-1] == spikes.shape[-2] and spikes.ndim == 5 else spikes
    return tokens[..., slots[sum(stages[: stage - 1]) + block][0].argsort()]


def test_every_spike_of_every_layer_equals_the_official_code(case: tuple[Oracle, QKFormer, Trace]) -> None:
    oracle, model, trace = case
    stages = model.config.stage_blocks
    assert set(trace.spikes) == set(oracle.spikes)
    for name, spikes in oracle.spikes.items():
        ours = trace.spikes[name].to(torch.uint8)
        assert ours.shape == spikes.shape, name
        ours = aligned(name, ours, list(trace.slots), stages)
        assert torch.equal(ours, aligned(name, spikes, list(oracle.kept), stages)), name


def test_logits_equal_the_official_code(case: tuple[Oracle, QKFormer, Trace]) -> None:
    oracle, model, trace = case
    assert_logits_equal(model, trace, oracle)


def test_kept_tokens_equal_the_official_code(case: tuple[Oracle, QKFormer, Trace]) -> None:
    oracle, _, trace = case
    assert len(trace.slots) == len(trace.masks) == len(oracle.kept)
    for ours, mask, official in zip(trace.slots, trace.masks, oracle.kept, strict=True):
        assert torch.equal(ours.sort().values, official.sort().values)
        for step in mask:
            assert torch.equal(step.nonzero()[:, 1], official[0].sort().values)


def test_synaptic_operations_equal_the_official_models(case: tuple[Oracle, QKFormer, Trace]) -> None:
    oracle, model, _ = case
    assert_sops_equal(model, oracle, {"patch_embed1.proj_conv": model.config.T})


@pytest.mark.parametrize("name", CONFIGS)
def test_at_batch_one_both_batch_semantics_agree(name: str) -> None:
    oracle = load_oracle(name)
    with torch.no_grad():
        logits = network(oracle, CONFIGS[name], "independent")(oracle.input)
    torch.testing.assert_close(logits, oracle.logits, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", PRUNED)
def test_routing_masks_in_place_equal_the_official_gather(name: str) -> None:
    """One mask for all steps: neurons that belong to positions give what the official code's fresh slots give."""
    oracle = load_oracle(name)
    model = network(oracle, QKFormerTpConfig, "independent")
    with torch.no_grad():
        gathered = model.trace(oracle.input)
        in_place = model.trace(oracle.input, gathered.masks)
    torch.testing.assert_close(in_place.logits, oracle.logits, rtol=0, atol=1e-5)
    for layer, spikes in gathered.spikes.items():
        assert in_place.spikes[layer].sum() == spikes.sum(), layer


def test_independent_samples_ignore_their_batch_and_official_ones_do_not() -> None:
    images = torch.rand(4, 1, 16, 16)
    independent, official = small(batch_semantics="independent"), small(batch_semantics="official")
    with torch.no_grad():
        alone = torch.cat([independent(image) for image in images.split(1)])
        torch.testing.assert_close(independent(images), alone, rtol=0, atol=1e-6)
        trace = official.trace(images)
        assert not torch.allclose(trace.logits, alone)
    assert trace.spikes["stage3.0.ssa.proj_lif"].shape == (3 * 4, 64, 16)


def test_official_batches_read_the_batch_as_time() -> None:
    model = small(batch_semantics="official")
    attention = model.stage3[0].ssa
    currents: list[Tensor] = []
    attention.proj_lif.register_forward_hook(lambda m, args, out: currents.append(args[0]))
    with torch.no_grad():
        spikes = model.trace(torch.rand(2, 1, 16, 16)).spikes["stage3.0.ssa.proj_lif"]
    v = torch.zeros_like(currents[0][0])
    for current, spike in zip(currents[0], spikes, strict=True):
        v = v + (current - v) / 2
        assert torch.equal(spike, (v >= 1).float())
        v = torch.where(v >= 1, 0.0, v)


@pytest.mark.parametrize("state", ["hold", "decay"])
def test_gated_tokens_do_not_fire(state: Any) -> None:
    model = small(pruning=TokenPruning((0.5, 0.5, 0.25, 0.25), Criterion(), state))
    with torch.no_grad():
        trace = model.trace(torch.rand(2, 1, 16, 16))
    assert [tuple(mask.shape) for mask in trace.masks] == [(3, 2, 256), (3, 2, 64), (3, 2, 16), (3, 2, 16)]
    for prefix, mask in zip(("stage1.0", "stage2.0", "stage3.0", "stage3.1"), trace.masks, strict=True):
        for layer, spikes in trace.spikes.items():
            if layer.startswith(prefix):
                assert spikes.sum() > 0 or "attn_lif" in layer, layer
                tokens = spikes.reshape(3, 2, -1, mask.shape[-1])
                assert not (tokens * ~mask.unsqueeze(2)).any(), layer


def test_masks_that_keep_everything_change_nothing() -> None:
    model, images = small(), torch.rand(2, 1, 16, 16)
    masks = tuple(torch.ones(3, 2, n, dtype=torch.bool) for n in (256, 64, 16, 16))
    with torch.no_grad():
        assert torch.equal(model(images, masks), model(images))
        with pytest.raises(InputError, match=r"routing mask of block 1 is torch.bool \(3, 2, 64\)"):
            small(replace(SMALL, img_size_h=32))(torch.rand(2, 1, 32, 16), (masks[0].repeat(1, 1, 2), *masks[1:]))
        with pytest.raises(InputError, match="given 3 routing masks for 4 blocks"):
            model(images, masks[:3])


def test_gradients_reach_every_parameter() -> None:
    model = small()
    model(torch.rand(4, 1, 16, 16)).square().sum().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


@pytest.mark.parametrize(
    ("config", "millions"),
    [
        (QKFormerConfig(), 6.706),
        (QKFormerImagenetConfig(embed_dims=384, num_heads=6), 16.474),
        (QKFormerImagenetConfig(), 29.079),
        (QKFormerTpConfig(embed_dims=768, num_heads=12), 64.963),
    ],
)
def test_parameter_counts_of_the_published_sizes(config: QKFormerConfig, millions: float) -> None:
    with torch.device("meta"):
        model = QKFormer(config)
    # the published CIFAR model has 10 classes like ours; the others 1000
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=1e-3)


@pytest.mark.parametrize("config", [SMALL, SMALL_TP])
def test_configuration_survives_json(config: QKFormerConfig) -> None:
    assert type(config)(**json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("config", "changes", "message"),
    [
        (SMALL, {"embed_dims": 20}, "embed_dims 20 is no multiple of 8"),
        (SMALL, {"embed_dims": 40}, "the 10 channels of stage 1 do not divide into 8 heads"),
        (SMALL, {"depths": 1}, "depths is 1, but stages 1 and 2 alone have 2 blocks"),
        (SMALL, {"T": 0}, "T is 0, but must be at least 1"),
        (SMALL_TP, {"k_values": (0.5,)}, "k_values has 1 entries for 4 blocks"),
        (SMALL_TP, {"k_values": (0.5, 0.5, 0.6, 0.5)}, "block 2: k_value 0.6 exceeds 0.5 before it"),
        (SMALL_TP, {"k_values": (1.5,) * 4}, r"block 0: k_value 1.5 is not in \(0, 1\]"),
        (SMALL_TP, {"k_values": (0.5, 0.5, 0.5, 0.1)}, "block 3: k_value 0.1 keeps 0 of 4 x 4 tokens"),
        (SMALL_TP, {"T": 1}, "T is 1, but its score compares timesteps"),
    ],
)
def test_impossible_configurations_are_refused(config: QKFormerConfig, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(config, **changes)


def test_other_misuse_is_refused() -> None:
    with pytest.raises(InputError, match=r"QKFormer \(CIFAR\) input is .* not float \[B, 1, 16, 16\]"):
        small()(torch.rand(1, 3, 16, 16))
    with pytest.raises(InputError, match="unknown batch semantics 'serial'"):
        QKFormer(SMALL, batch_semantics="serial")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="k_values and a pruning at once"):
        small(SMALL_TP, pruning=TokenPruning((0.5,) * 4))(torch.rand(1, 3, 64, 64))
