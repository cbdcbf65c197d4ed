"""Spikformer's ImageNet and DVS forms against the official code's own spikes, and their refusals."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch
from oracles import Oracle, assert_logits_equal, assert_sops_equal, assert_spikes_equal, load_oracle

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import Trace
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer_conv import (
    SpikformerDvs,
    SpikformerDvsConfig,
    SpikformerImagenet,
    SpikformerImagenetConfig,
)

IMAGENET, DVS = "spikformer_imagenet_2-64", "spikformer_dvs_2-64"
SMALL = SpikformerImagenetConfig(64, 64, 16, 1, 10, 16, 2, depths=2, T=3)
SMALL_DVS = SpikformerDvsConfig(64, 64, 16, 2, 10, 16, 2, depths=2, T=3)


def network(name: str, oracle: Oracle) -> SpikformerImagenet:
    model = (
        SpikformerDvs(SpikformerDvsConfig(**oracle.kwargs))
        if name == DVS
        else SpikformerImagenet(SpikformerImagenetConfig(**oracle.kwargs))
    )
    model.load_state_dict(oracle.weights, strict=True)
    return model.eval()


def firing(model: SpikformerImagenet) -> SpikformerImagenet:
    """Makes the neurons of an untrained network fire: BatchNorms that amplify."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 2.0, 4.0)
            torch.nn.init.uniform_(module.bias, 0.5, 2.0)
    return model.eval()


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module", params=[IMAGENET, DVS])
def case(request: pytest.FixtureRequest) -> tuple[Oracle, SpikformerImagenet, Trace]:
    oracle = load_oracle(request.param)
    model = network(request.param, oracle)
    with torch.no_grad():
        return oracle, model, model.trace(oracle.input)


def test_every_spike_of_every_layer_equals_the_official_code(case: tuple[Oracle, SpikformerImagenet, Trace]) -> None:
    oracle, _, trace = case
    assert_spikes_equal(trace.spikes, oracle)


def test_logits_equal_the_official_code(case: tuple[Oracle, SpikformerImagenet, Trace]) -> None:
    oracle, model, trace = case
    assert_logits_equal(model, trace, oracle)
    assert trace.masks == ()


def test_synaptic_operations_equal_the_official_models(case: tuple[Oracle, SpikformerImagenet, Trace]) -> None:
    oracle, model, _ = case
    still = oracle.input.ndim == 4
    assert_sops_equal(model, oracle, {"patch_embed.proj_conv": 4} if still else {})


def test_a_sample_does_not_depend_on_its_batch() -> None:
    oracle = load_oracle(IMAGENET)
    model = network(IMAGENET, oracle)
    with torch.no_grad():
        for name, spikes in model.trace(oracle.input[:1]).spikes.items():
            assert torch.equal(spikes[:, 0].to(torch.uint8), oracle.spikes[name][:, 0]), name


def test_event_frames_run_through_the_steps_in_order() -> None:
    model, frames = firing(SpikformerDvs(SMALL_DVS)), torch.rand(2, 5, 2, 64, 64)
    with torch.no_grad():
        whole, start = model.trace(frames).spikes, model.trace(frames[:, :3]).spikes
    for name, spikes in whole.items():
        assert spikes.shape[:2] == (5, 2), name
        assert torch.equal(spikes[:3], start[name]), name


@pytest.mark.parametrize("state", ["hold", "decay"])
@pytest.mark.parametrize("form", [SpikformerImagenet, SpikformerDvs])
def test_gated_tokens_do_not_fire(form: type[SpikformerImagenet], state: Any) -> None:
    config: Any = SMALL_DVS if form is SpikformerDvs else SMALL
    model = firing(form(config, TokenPruning((0.5, 0.25), Criterion(), state)))
    x = torch.rand(2, 3, 2, 64, 64) if form is SpikformerDvs else torch.rand(2, 1, 64, 64)
    with torch.no_grad():
        trace = model.trace(x)
        assert torch.equal(model(x, trace.masks), trace.logits)
    assert [mask.sum(-1).unique().tolist() for mask in trace.masks] == [[8], [4]]
    for block, mask in enumerate(trace.masks):
        for name, spikes in trace.spikes.items():
            if name.startswith(f"block.{block}"):
                assert spikes.sum() > 0 or "attn_lif" in name, name
                assert not (spikes.flatten(3) * ~mask.unsqueeze(2)).any(), name


def test_gradients_reach_every_parameter_but_the_unused() -> None:
    model = firing(SpikformerDvs(SMALL_DVS))
    model(torch.rand(4, 3, 2, 64, 64)).square().sum().backward()
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    norms = {f"block.{b}.norm{n}.{p}" for b in (0, 1) for n in (1, 2) for p in ("weight", "bias")}
    assert without == norms | {"norm.weight", "norm.bias", "pos_embed"}


@pytest.mark.parametrize(
    ("model", "millions"),
    [
        (lambda: SpikformerDvs(SpikformerDvsConfig()), 2.586),
        (lambda: SpikformerImagenet(SpikformerImagenetConfig(embed_dims=384, num_heads=12)), 16.828),
        (lambda: SpikformerImagenet(SpikformerImagenetConfig()), 29.706),
        (lambda: SpikformerImagenet(SpikformerImagenetConfig(embed_dims=768, num_heads=12)), 66.363),
    ],
)
def test_parameter_counts_of_the_published_sizes(model: Any, millions: float) -> None:
    with torch.device("meta"):
        count = sum(p.numel() for p in model().parameters())
    assert count / 1e6 == pytest.approx(millions, abs=1e-3)


@pytest.mark.parametrize("config", [SMALL, SMALL_DVS])
def test_configuration_survives_json(config: SpikformerImagenetConfig) -> None:
    assert type(config)(**json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"embed_dims": 20}, "embed_dims 20 is no multiple of 8"),
        ({"num_heads": 3}, "embed_dims 16 does not divide into 3 heads"),
        ({"T": 0}, "T is 0, but must be at least 1"),
    ],
)
def test_impossible_configurations_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        replace(SMALL, **changes)  # type: ignore[arg-type]


def test_inputs_of_another_shape_are_refused() -> None:
    with pytest.raises(InputError, match=r"Spikformer \(ImageNet\) input is .* not float \[B, 1, 64, 64\]"):
        SpikformerImagenet(SMALL)(torch.rand(1, 3, 64, 64))
    for shape in ((1, 2, 64, 64), (1, 3, 1, 64, 64), (1, 0, 2, 64, 64)):
        with pytest.raises(InputError, match=r"Spikformer \(DVS\) input is .* not float \[B, T, 2, 64, 64\]"):
            SpikformerDvs(SMALL_DVS)(torch.rand(shape))
