"""Low-rank layers: the factors are the nearest matrix of their rank, stand in for the dense layer, and merge back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from pumice.errors import InputError
from pumice.models.pruning.low_rank import (
    LowRankLinear,
    factorize,
    from_dense,
    low_rank_layers,
    rank_by_layer,
    rank_of,
    share_saved,
)
from pumice.models.pruning.weight_pruning import block_layers
from pumice.models.spikformer import Spikformer, SpikformerConfig

TINY = SpikformerConfig(8, 8, 4, 1, 10, 16, 2, 2, depths=2, T=2, pool_stages=())


@pytest.fixture
def dense() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(12, 20)


@pytest.mark.parametrize("rank", [1, 5, 12])
def test_the_factors_err_by_the_singular_values_left_out(dense: nn.Linear, rank: int) -> None:
    """Eckart & Young: no matrix of this rank is nearer, and the distance is known from the singular values alone."""
    factors = from_dense(dense, rank)
    values = torch.linalg.svdvals(dense.weight.detach())
    merged = factors.merged()
    error = (merged.weight - dense.weight).norm()
    torch.testing.assert_close(error, values[rank:].square().sum().sqrt(), atol=1e-5, rtol=1e-5)
    assert torch.linalg.matrix_rank(merged.weight) == rank
    assert torch.equal(merged.bias, dense.bias)


def test_the_pair_computes_what_the_merged_layer_computes(dense: nn.Linear) -> None:
    factors, x = from_dense(dense, 4), torch.randn(2, 3, 5, 12)
    assert factors(x).shape == (2, 3, 5, 20)
    torch.testing.assert_close(factors(x), factors.merged()(x))
    torch.testing.assert_close(from_dense(dense, 12)(x), dense(x), atol=1e-5, rtol=1e-5)


def test_the_official_names_are_kept_with_a_child_per_factor() -> None:
    model = Spikformer(TINY)
    factorize(model, {"block.1.attn.q_linear": 3})
    shapes = {name: tuple(value.shape) for name, value in model.state_dict().items() if "1.attn.q_linear" in name}
    prefix = "block.1.attn.q_linear"
    assert shapes == {f"{prefix}.0.weight": (3, 16), f"{prefix}.1.weight": (16, 3), f"{prefix}.1.bias": (16,)}
    assert rank_by_layer(model) == {prefix: 3}
    assert f"{prefix}.0" in block_layers(model)


def test_a_layer_without_bias_stays_without() -> None:
    factors = from_dense(nn.Linear(6, 4, bias=False), 2)
    assert factors.outer.bias is None
    assert factors.merged().bias is None


def test_full_rank_gives_the_same_spikes_and_every_factor_learns() -> None:
    torch.manual_seed(3)
    model, images = Spikformer(TINY).double().eval(), torch.rand(2, 1, 8, 8, dtype=torch.float64)
    before = model(images)
    names = low_rank_layers(model)
    assert len(names) == 12
    factorize(model, dict.fromkeys(names, 16))
    assert low_rank_layers(model) == ()
    torch.testing.assert_close(model(images), before)
    assert not any(layer.training for layer in model.modules())
    model.train()(images).square().sum().backward()
    for name in names:
        gradients = [p.grad for p in model.get_submodule(name).parameters()]
        assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(("kept", "rank"), [(0.5, 3), (0.99, 7), (0.34, 2), (0.01, 1)])
def test_rank_of_a_share_is_the_largest_that_fits(dense: nn.Linear, kept: float, rank: int) -> None:
    assert rank_of(dense, kept) == rank
    assert (rank + 1) * 32 > kept * 240


def test_share_saved_counts_weights() -> None:
    model = nn.Sequential(nn.Linear(10, 30), nn.Linear(30, 10), nn.Linear(10, 2))
    assert share_saved(model) == 0
    factorize(model, {"0": 5, "1": 3})
    assert share_saved(model) == pytest.approx(1 - (5 * 40 + 3 * 40) / 600)


def test_impossible_ranks_and_names_are_refused_and_change_nothing(dense: nn.Linear) -> None:
    model = Spikformer(TINY)
    keys = set(model.state_dict())
    with pytest.raises(InputError, match=r"layer 'block\.0\.mlp\.fc1_linear': rank 17 of a 32x16 matrix"):
        factorize(model, {"block.0.attn.q_linear": 2, "block.0.mlp.fc1_linear": 17})
    with pytest.raises(InputError, match="rank 0 of a 10x16 matrix"):
        factorize(model, {"head": 0})
    with pytest.raises(InputError, match=r"Spikformer has no layer 'block\.0\.attn\.qkv_linear'"):
        factorize(model, {"block.0.attn.q_linear": 2, "block.0.attn.qkv_linear": 2})
    with pytest.raises(InputError, match=r"layer 'patch_embed\.proj_conv' is a Conv2d, not a Linear"):
        factorize(model, {"patch_embed.proj_conv": 1})
    with pytest.raises(InputError, match="no layers were named"):
        factorize(model, {})
    assert set(model.state_dict()) == keys
    with pytest.raises(InputError, match=r"the share of weights kept is 1\.5"):
        rank_of(dense, 1.5)
    with pytest.raises(InputError, match="LowRankLinear: rank 5 of a 4x9 matrix"):
        LowRankLinear(9, 4, 5)
