"""Token pruning: gated tokens do nothing and pass unchanged, and masks come from the shared scoring rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion, sample_masks, tokens_kept
from pumice.models.neuron import GateState
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_layers import Block

CONFIG = SpikformerConfig(8, 8, 4, 1, 10, 16, 2, 2, depths=2, T=4, pool_stages=(3,))  # 16 tokens
GATED = ("attn.q_lif", "attn.k_lif", "attn.v_lif", "attn.attn_lif", "attn.proj_lif", "mlp.fc1_lif", "mlp.fc2_lif")


@pytest.fixture
def model() -> Spikformer:
    """Random weights, with BatchNorm statistics that make every layer fire, biased so that silence must be enforced."""
    torch.manual_seed(3)
    network = Spikformer(CONFIG).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.constant_(module.bias, 1.5)
            nn.init.constant_(module.weight, 1.5)
    return network


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 1, 8, 8, generator=torch.manual_seed(4))


def random_masks(seed: int = 5) -> tuple[Tensor, ...]:
    generator = torch.manual_seed(seed)
    return tuple(torch.rand(4, 3, 16, generator=generator) < 0.5 for _ in range(2))


@torch.no_grad()
def test_gated_tokens_never_fire_in_their_block(model: Spikformer, images: Tensor) -> None:
    masks = random_masks()
    trace = model.trace(images, masks)
    for block, mask in enumerate(masks):
        for lif in GATED:
            spikes = trace.spikes[f"block.{block}.{lif}"]
            assert spikes[mask].any(), lif
            assert not spikes[~mask].any(), lif


@torch.no_grad()
@pytest.mark.parametrize("state", ["hold", "decay"])
def test_a_gated_token_passes_a_block_unchanged(model: Spikformer, state: GateState) -> None:
    block, mask = model.block[0], random_masks()[0]
    assert isinstance(block, Block)
    x = torch.randint(0, 3, (4, 3, 16, 16)).float()
    out = block(x, mask, state)
    assert torch.equal(out[~mask], x[~mask])
    assert not torch.equal(out[mask], x[mask])


@torch.no_grad()
def test_a_token_gated_at_every_step_is_not_attended_to(model: Spikformer) -> None:
    """Whatever it carries, the routed tokens come out the same."""
    block = model.block[0]
    mask = torch.ones(4, 1, 16, dtype=torch.bool)
    mask[:, :, 5:9] = False
    x = torch.randint(0, 3, (4, 1, 16, 16)).float()
    other = x.clone()
    other[:, :, 5:9] = 7.0
    assert torch.equal(block(x, mask)[mask], block(other, mask)[mask])


@torch.no_grad()
def test_hold_and_decay_differ_and_full_retention_changes_nothing(model: Spikformer, images: Tensor) -> None:
    unpruned = model.trace(images)
    runs = {}
    for state in ("hold", "decay"):
        model.pruning = TokenPruning((0.5, 0.5), Criterion("random"), state)  # type: ignore[arg-type]
        runs[state] = model(images)
        model.pruning = TokenPruning((1.0, 1.0), Criterion(), state)  # type: ignore[arg-type]
        assert torch.equal(model(images), unpruned.logits)
    assert unpruned.masks == ()
    assert not torch.equal(runs["hold"], runs["decay"])


@torch.no_grad()
@pytest.mark.parametrize(
    "criterion",
    [
        Criterion(),
        Criterion(per_step=False),
        Criterion("irtop-official"),
        Criterion("firing-rate"),
        Criterion("random"),
    ],
)
def test_masks_are_those_of_the_shared_scoring(model: Spikformer, images: Tensor, criterion: Criterion) -> None:
    model.pruning = TokenPruning((0.6, 0.3), criterion)
    trace = model.trace(images)
    embedded = model.patch_embed(images, CONFIG.T).numpy()
    wanted = sample_masks(embedded, criterion, 0.6, 0)
    assert np.array_equal(trace.masks[0].numpy(), wanted)
    kept = tokens_kept(0.3, 4, 4, criterion.rule)
    assert (trace.masks[1].sum(-1) == kept).all()


@torch.no_grad()
def test_given_masks_replace_scoring_and_reproduce_a_live_run(model: Spikformer, images: Tensor) -> None:
    model.pruning = TokenPruning((0.5, 0.25))
    live = model.trace(images)
    given = model.trace(images, live.masks)
    assert torch.equal(given.logits, live.logits)
    masks = random_masks()
    assert all(torch.equal(a, b) for a, b in zip(model.trace(images, masks).masks, masks, strict=True))


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ((0.5, 0.0), r"block 1: retention 0.0 is not in \(0, 1\]"),
        ((1.5, 0.5), r"block 0: retention 1.5 is not in \(0, 1\]"),
        ((float("nan"),), "retention nan is not in"),
        ((0.4, 0.6), "block 1: retention 0.6 exceeds 0.4 before it"),
    ],
)
def test_impossible_schedules_are_refused(retention: tuple[float, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        TokenPruning(retention)


def test_a_schedule_of_the_wrong_length_is_refused(model: Spikformer) -> None:
    with pytest.raises(InputError, match="the schedule has 3 ratios, the model 2 blocks"):
        model.pruning = TokenPruning((0.5, 0.5, 0.5))
    with pytest.raises(InputError, match="the schedule has 1 ratios, the model 2 blocks"):
        Spikformer(CONFIG, TokenPruning((0.5,)))
    assert model.pruning is None


def test_given_masks_that_do_not_fit_are_refused(model: Spikformer, images: Tensor) -> None:
    with pytest.raises(InputError, match="given 1 routing masks for 2 blocks"):
        model.trace(images, random_masks()[:1])
    with pytest.raises(InputError, match=r"routing mask of block 0 is torch.float32"):
        model.trace(images, tuple(mask.float() for mask in random_masks()))
    with pytest.raises(InputError, match=r"not torch.bool \(4, 1, 16\)"):
        model.trace(images[:1], random_masks())


def test_unknown_membrane_rule_and_official_rule_at_one_step_are_refused(images: Tensor) -> None:
    with pytest.raises(InputError, match="unknown membrane rule 'reset'"):
        TokenPruning((0.5,), state="reset")  # type: ignore[arg-type]
    one_step = SpikformerConfig(8, 8, 4, 1, 10, 16, 2, depths=1, T=1, pool_stages=())
    network = Spikformer(one_step, TokenPruning((0.5,), Criterion("irtop-official"))).eval()
    with pytest.raises(InputError, match="block 0: irtop-official compares neighbouring timesteps"):
        network(images)
