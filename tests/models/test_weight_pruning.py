"""Magnitude pruning: the smallest weights go, exactly as many as asked for, and they stay away."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pumice.errors import InputError
from pumice.models.official import FAMILIES
from pumice.models.pruning.weight_pruning import (
    Grouping,
    apply_masks,
    block_layers,
    keep_masks,
    prune_l1,
    weight_density,
    weight_layers,
    weight_sparsity,
    zero_masks,
)
from pumice.models.spikformer import Spikformer, SpikformerConfig

TINY = SpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=2, T=2, pool_stages=())
SIX = ("attn.q_linear", "attn.k_linear", "attn.v_linear", "attn.proj_linear", "mlp.fc1_linear", "mlp.fc2_linear")


@pytest.fixture
def model() -> Spikformer:
    torch.manual_seed(0)
    return Spikformer(TINY)


def weights(model: nn.Module, names: tuple[str, ...]) -> torch.Tensor:
    return torch.cat([model.get_parameter(f"{name}.weight").detach().flatten() for name in names])


def test_the_default_layers_are_the_six_matrices_of_every_block(model: Spikformer) -> None:
    assert block_layers(model) == tuple(f"block.{block}.{name}" for block in range(2) for name in SIX)
    outside = set(weight_layers(model)) - set(block_layers(model))
    assert all(name.startswith("patch_embed.") or name == "head" for name in outside)


@pytest.mark.parametrize("family", ["spikformer_dvs", "qkformer_imagenet", "sdtv1", "sdtv3"])
def test_every_family_has_block_layers_without_embedding_or_head(family: str) -> None:
    entry = FAMILIES[family]
    names = block_layers(entry.build(entry.config(**entry.small), "official"))
    assert any("q_conv" in name for name in names)
    assert not any("embed" in name or "downsample" in name or name == "head" for name in names)


@pytest.mark.parametrize("amount", [0.1, 0.5, 0.9])
def test_global_pruning_zeroes_the_smallest_magnitudes_of_all(model: Spikformer, amount: float) -> None:
    before, names = weights(model, block_layers(model)).clone(), block_layers(model)
    masks = prune_l1(model, amount)
    after = weights(model, names)
    gone = after == 0
    assert gone.sum() == round(amount * len(before))
    assert before[gone].abs().max() <= before[~gone].abs().min()
    assert torch.equal(after[~gone], before[~gone])
    assert torch.equal(torch.cat([masks[name].flatten() for name in names]), ~gone)
    assert weight_sparsity(model) == pytest.approx(amount, abs=1 / len(before))


def test_layer_pruning_takes_the_same_share_of_each(model: Spikformer) -> None:
    prune_l1(model, 0.75, "layer")
    density = weight_density(model)
    assert {density[name] for name in block_layers(model)} == {0.25}
    assert {density[name] for name in set(weight_layers(model)) - set(block_layers(model))} == {1.0}


@pytest.mark.parametrize("grouping", ["global", "layer"])
def test_pruning_is_permanent_and_leaves_an_ordinary_model(model: Spikformer, grouping: Grouping) -> None:
    keys, images = set(model.state_dict()), torch.rand(2, 1, 8, 8)
    prune_l1(model, 0.5, grouping, weight_layers(model))
    assert set(model.state_dict()) == keys
    assert isinstance(model.head.weight, nn.Parameter)
    fresh = Spikformer(TINY)
    fresh.load_state_dict(model.state_dict())
    assert torch.equal(fresh.eval()(images), model.eval()(images))


def test_pruned_weights_stay_zero_in_training_only_because_of_the_masks(model: Spikformer) -> None:
    masks = prune_l1(model, 0.8)
    again = keep_masks(model, masks)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(2):
        model(torch.rand(4, 1, 8, 8)).square().sum().backward()
        optimizer.step()
        assert weight_sparsity(model) < 0.5
        again()
        assert weight_sparsity(model) == pytest.approx(0.8, abs=0.01)
    assert all(torch.equal(mask, masks[name]) for name, mask in zero_masks(model).items())


def test_masks_carry_a_ticket_to_another_model(model: Spikformer) -> None:
    masks = prune_l1(model, 0.6)
    other = Spikformer(TINY)
    apply_masks(other, masks)
    assert all(torch.equal(mask, masks[name]) for name, mask in zero_masks(other).items())


@pytest.mark.parametrize("amount", [0.0, 1.0, -0.1, 1.5, float("nan")])
def test_an_impossible_amount_is_refused(model: Spikformer, amount: float) -> None:
    with pytest.raises(InputError, match=r"the share of weights to prune is .* not between 0 and 1"):
        prune_l1(model, amount)
    assert weight_sparsity(model) == 0


def test_unknown_groupings_and_layers_are_refused(model: Spikformer) -> None:
    with pytest.raises(InputError, match="unknown grouping 'channel'"):
        prune_l1(model, 0.5, "channel")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"Spikformer has no layer 'block\.2\.mlp\.fc1_linear'"):
        prune_l1(model, 0.5, layers=["block.0.mlp.fc1_linear", "block.2.mlp.fc1_linear"])
    with pytest.raises(InputError, match=r"layer 'block\.0\.attn\.q_bn' is a BatchNorm1d, not a Linear or Conv"):
        prune_l1(model, 0.5, layers=["block.0.attn.q_bn"])
    with pytest.raises(InputError, match="layer 'head' is named twice"):
        prune_l1(model, 0.5, layers=["head", "head"])
    with pytest.raises(InputError, match="no layers were named"):
        prune_l1(nn.Linear(2, 2), 0.5)
    with pytest.raises(InputError, match=r"the mask of layer 'head' has shape \(2, 2\), its weight \(10, 8\)"):
        apply_masks(model, {"head": torch.ones(2, 2, dtype=torch.bool)})
    assert weight_sparsity(model) == 0
