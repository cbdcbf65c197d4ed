"""SparseSpikformer against the official code's own spikes, its token selector in training, and its refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from oracles import Oracle, assert_spikes_equal, count_sops, layer_inputs, load_oracle, repeated

from pumice.errors import InputError
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.sparse_spikformer import SelectiveSSA, SparseSpikformer, SparseSpikformerConfig, SparseTrace

SMALL = SparseSpikformerConfig(32, 32, 4, 1, 10, 16, 2, depths=4, T=3)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return load_oracle("sparsespikformer_cifar_4-64")


@pytest.fixture(scope="module")
def model(oracle: Oracle) -> SparseSpikformer:
    network = SparseSpikformer(SparseSpikformerConfig(**oracle.kwargs))
    network.load_state_dict(oracle.weights, strict=True)
    return network.eval()


@pytest.fixture(scope="module")
def trace(model: SparseSpikformer, oracle: Oracle) -> SparseTrace:
    with torch.no_grad():
        opened = model.trace(oracle.input)
    assert isinstance(opened, SparseTrace)
    return opened


def test_every_spike_of_every_layer_equals_the_official_code(trace: SparseTrace, oracle: Oracle) -> None:
    assert_spikes_equal(trace.spikes, oracle)


def test_logits_equal_the_official_code(model: SparseSpikformer, trace: SparseTrace, oracle: Oracle) -> None:
    torch.testing.assert_close(trace.logits, oracle.logits, rtol=0, atol=1e-5)
    with torch.no_grad():
        logits, decisions = model.decide(oracle.input)
        assert torch.equal(model(oracle.input), trace.logits)
    assert torch.equal(logits, trace.logits)
    assert all(torch.equal(a, b) for a, b in zip(decisions, trace.decisions, strict=True))


def test_dropped_tokens_stay_dropped(trace: SparseTrace) -> None:
    """Ratios .8, .6, .4 of 64 tokens: 51, 38, 25; the official decisions count positions among the tokens left."""
    assert [mask.sum(-1).unique().tolist() for mask in trace.masks] == [[64], [51], [38], [25]]
    for before, after in pairwise(trace.masks):
        assert not (after & ~before).any()
    assert [tuple(decision.shape) for decision in trace.decisions] == [(8, 51), (8, 38), (8, 25)]
    places = torch.arange(64).expand(2, 64)
    for decision, slots, mask in zip(trace.decisions, trace.slots[1:], trace.masks[1:], strict=True):
        places = places.gather(1, decision[:2])
        assert torch.equal(places, slots)
        assert torch.equal(mask[0].nonzero()[:, 1].view(2, -1), slots.sort().values)


def test_synaptic_operations_equal_the_official_models(model: SparseSpikformer, oracle: Oracle) -> None:
    seen = layer_inputs(model, oracle.input)
    assert set(seen) == set(oracle.sops)
    for layer, expected in oracle.sops.items():
        x, module = seen[layer]
        sops = count_sops(module, repeated(x, 4) if layer == "patch_embed.proj_conv" else x)
        assert (sops.dense, sops.events) == (expected["macs_all_T"], expected["sop_exact_nz"]), layer
        assert sops.weighted == pytest.approx(expected["sop_exact"], rel=1e-6, abs=1e-2), layer
        assert sops.eq25 == pytest.approx(expected["sop_eq25"], rel=1e-5), layer


def test_training_samples_decisions_that_only_shrink_and_carry_a_gradient() -> None:
    network = SparseSpikformer(SMALL).train()
    logits, decisions = network.decide(torch.rand(2, 1, 32, 32) * 4)
    assert [tuple(decision.shape) for decision in decisions] == [(6, 64)] * 3
    for decision in decisions:
        assert set(decision.unique().tolist()) <= {0.0, 1.0}
    for before, after in pairwise(decisions):
        assert (after <= before).all()
    (logits.square().sum() + sum((decision.mean() - 0.5) ** 2 for decision in decisions)).backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {f"block.{b}.norm{n}.{p}" for b in range(4) for n in (1, 2) for p in ("weight", "bias")}


def test_a_policy_that_keeps_everything_changes_nothing() -> None:
    attention = SelectiveSSA(16, 2, SparseSpikformer(SMALL).patch_embed.rpe_lif.surrogate).eval()
    x = torch.randint(0, 3, (3, 2, 8, 16)).float()
    with torch.no_grad():
        assert torch.equal(attention(x, policy=torch.ones(3, 2, 8)), attention(x))


def test_nobody_sees_a_dropped_token_but_itself() -> None:
    attention = SelectiveSSA(16, 2, SparseSpikformer(SMALL).patch_embed.rpe_lif.surrogate).eval()
    q, k, v = (torch.randint(0, 2, (3, 2, 8, 16)).float() for _ in range(3))
    policy = torch.ones(3, 2, 8)
    policy[..., 5] = 0
    rest = [token for token in range(8) if token != 5]
    without = attention.coincidences(q[:, :, rest], k[:, :, rest], v[:, :, rest])
    assert torch.equal(attention._among(policy, q, k, v)[:, :, rest], without)


def test_parameter_count_of_the_published_size() -> None:
    with torch.device("meta"):
        network = SparseSpikformer(SparseSpikformerConfig())
    assert sum(p.numel() for p in network.parameters()) / 1e6 == pytest.approx(9.554, abs=1e-3)
    assert sum(p.numel() for p in network.predictor[0].parameters()) == 74_306


def test_configuration_survives_json() -> None:
    assert SparseSpikformerConfig(**json.loads(json.dumps(SMALL.as_dict()))) == SMALL


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dims": 20}, "embed_dims 20 is no multiple of 8"),
        ({"token_ratio": (0.9, 0.8)}, "2 ratios for 3 blocks"),
        ({"token_ratio": (0.9, 0.8, 0.85)}, "token_ratio 0.85 exceeds 0.8 before it"),
        ({"token_ratio": (0.9, 0.8, 0.0)}, r"token_ratio 0.0 is not in \(0, 1\]"),
        ({"token_ratio": (0.9, 0.8, 0.01)}, "token_ratio 0.01 of 64 tokens leaves none"),
        ({"pruning_loc": (1, 2, 4)}, r"pruning_loc \(1, 2, 4\) does not name blocks 0 to 3 in order"),
        ({"pruning_loc": (2, 1, 3)}, "does not name blocks 0 to 3 in order"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)


def test_other_misuse_is_refused() -> None:
    network = SparseSpikformer(SMALL)
    with pytest.raises(InputError, match="selects its tokens itself"):
        network.pruning = TokenPruning((0.5,) * 4)
    with pytest.raises(InputError, match="selects its tokens itself"):
        network.trace(torch.rand(1, 1, 32, 32), (torch.ones(3, 1, 64, dtype=torch.bool),) * 4)
    with pytest.raises(InputError, match=r"SparseSpikformer input is .* not float \[B, 1, 32, 32\]"):
        network(torch.rand(1, 3, 32, 32))
