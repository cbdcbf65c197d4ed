"""A pruned model's structure is rebuilt from its facts, so that its state dict loads strictly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from pumice.errors import InputError
from pumice.models.checkpoints import load_checkpoint, read_facts, save_checkpoint
from pumice.models.pruning.low_rank import factorize
from pumice.models.pruning.variants import apply_variant, variant_of
from pumice.models.slif import to_slif
from pumice.models.spikformer import Spikformer, SpikformerConfig

TINY = SpikformerConfig(8, 8, 4, 1, 10, 16, 2, 2, depths=1, T=2, pool_stages=())


def changed(low_rank: dict[str, int], slif: bool | list[str]) -> Spikformer:
    torch.manual_seed(0)
    model = Spikformer(TINY)
    if low_rank:
        factorize(model, low_rank)
    if slif:
        to_slif(model, None if slif is True else slif)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name.endswith("_shift"):
                    parameter.normal_(0, 0.2)
    return model.eval()


@pytest.mark.parametrize("low_rank", [{}, {"block.0.attn.k_linear": 3, "block.0.mlp.fc2_linear": 7}])
@pytest.mark.parametrize("slif", [False, True, ["block.0.attn.attn_lif", "patch_embed.rpe_lif"]])
def test_structure_survives_json_and_gives_the_same_spikes(low_rank: dict[str, int], slif: bool | list[str]) -> None:
    model, images = changed(low_rank, slif), torch.rand(3, 1, 8, 8)
    facts = json.loads(json.dumps(variant_of(model)))
    other = Spikformer(TINY)
    apply_variant(other, facts)
    other.load_state_dict(model.state_dict())
    assert variant_of(other) == facts
    ours, theirs = model.trace(images), other.eval().trace(images)
    assert torch.equal(ours.logits, theirs.logits)
    assert all(torch.equal(ours.spikes[name], theirs.spikes[name]) for name in ours.spikes)


def test_a_checkpoint_restores_the_structure_and_the_spikes(tmp_path: Path) -> None:
    model, images = changed({"block.0.mlp.fc1_linear": 4}, True), torch.rand(3, 1, 8, 8)
    save_checkpoint(model, tmp_path / "pruned.safetensors", {"seed": 0})
    loaded = load_checkpoint(tmp_path / "pruned.safetensors")
    assert variant_of(loaded) == {"low_rank": {"block.0.mlp.fc1_linear": 4}, "slif": True}
    assert torch.equal(loaded(images), model(images))


def test_a_plain_checkpoint_has_no_entry_for_it(tmp_path: Path) -> None:
    save_checkpoint(Spikformer(TINY), tmp_path / "plain.safetensors", {"seed": 0})
    assert "variant" not in read_facts(tmp_path / "plain.safetensors")


def test_a_checkpoint_whose_variant_does_not_fit_is_named(tmp_path: Path) -> None:
    facts = {"variant": {"slif": ["head"]}}
    save_checkpoint(Spikformer(TINY), tmp_path / "misfit.safetensors", facts)
    with pytest.raises(InputError, match=r"misfit\.safetensors: layer 'head' is a Linear, not a LIF"):
        load_checkpoint(tmp_path / "misfit.safetensors")


def test_a_plain_model_has_no_variant_and_needs_none() -> None:
    model = Spikformer(TINY)
    keys = set(model.state_dict())
    assert variant_of(model) == {}
    apply_variant(model, {})
    assert set(model.state_dict()) == keys


@pytest.mark.parametrize(
    ("variant", "message"),
    [
        (["slif"], r"model variant \['slif'\] is no table"),
        ({"quantized": True}, "unknown model variant 'quantized'"),
        ({"low_rank": {"block.0.attn.q_linear": 17}}, "rank 17 of a 16x16 matrix"),
        ({"low_rank": {"block.9.attn.q_linear": 2}}, r"Spikformer has no layer 'block\.9\.attn\.q_linear'"),
        ({"low_rank": {"block.0.attn.q_linear": "2"}}, "model variant low_rank is .* not ranks by layer"),
        ({"low_rank": ["block.0.attn.q_linear"]}, "model variant low_rank is .* not ranks by layer"),
        ({"slif": "yes"}, "model variant slif is 'yes'"),
        ({"slif": ["head"]}, "layer 'head' is a Linear, not a LIF"),
    ],
)
def test_damaged_facts_are_refused(variant: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        apply_variant(Spikformer(TINY), variant)
