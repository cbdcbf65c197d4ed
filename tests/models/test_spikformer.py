"""Spikformer against the official code's own spikes, and its refusals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from pumice.errors import InputError
from pumice.models.spikformer import Spikformer, SpikformerConfig, Trace

ORACLE = Path(__file__).parents[1] / "data" / "oracles" / "spikformer_cifar_2-64"
SMALL = SpikformerConfig(img_size_h=8, img_size_w=8, in_channels=1, embed_dims=16, num_heads=2, depths=1, T=2)


@pytest.fixture(scope="module")
def oracle() -> dict[str, Tensor]:
    return load_file(ORACLE.with_suffix(".safetensors"))


@pytest.fixture(scope="module")
def model(oracle: dict[str, Tensor]) -> Spikformer:
    network = Spikformer(SpikformerConfig(**json.loads(ORACLE.with_suffix(".json").read_text())["kwargs"])).eval()
    weights = {k.removeprefix("state_dict."): v for k, v in oracle.items() if k.startswith("state_dict.")}
    network.load_state_dict(weights, strict=True)
    return network


@pytest.fixture(scope="module")
def trace(model: Spikformer, oracle: dict[str, Tensor]) -> Trace:
    with torch.no_grad():
        return model.trace(oracle["input"])


def test_every_spike_of_every_layer_equals_the_official_code(trace: Trace, oracle: dict[str, Tensor]) -> None:
    official = {name.removeprefix("spikes."): s for name, s in oracle.items() if name.startswith("spikes.")}
    assert set(trace.spikes) == set(official)
    for name, spikes in official.items():
        assert torch.equal(trace.spikes[name].to(torch.uint8), spikes), name


def test_logits_equal_the_official_code(trace: Trace, oracle: dict[str, Tensor]) -> None:
    torch.testing.assert_close(trace.logits, oracle["logits"], rtol=0, atol=1e-5)


def test_a_sample_does_not_depend_on_its_batch(model: Spikformer, oracle: dict[str, Tensor], trace: Trace) -> None:
    with torch.no_grad():
        alone = model.trace(oracle["input"][:1])
    for name, spikes in alone.spikes.items():
        assert torch.equal(spikes, trace.spikes[name][:, :1]), name


def test_forward_and_trace_agree_and_leave_no_hooks(model: Spikformer, oracle: dict[str, Tensor], trace: Trace) -> None:
    with torch.no_grad():
        assert torch.equal(model(oracle["input"]), trace.logits)
    assert not any(module._forward_hooks for module in model.modules())


def test_gradients_reach_every_parameter_but_the_unused_layer_norms() -> None:
    torch.manual_seed(0)
    network = Spikformer(SpikformerConfig(8, 8, 4, 1, 10, 16, 2, depths=2, pool_stages=()))
    network(torch.rand(4, 1, 8, 8) * 4).square().sum().backward()
    without = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert without == {f"block.{b}.norm{n}.{p}" for b in (0, 1) for n in (1, 2) for p in ("weight", "bias")}


@pytest.mark.parametrize(("stages", "grid"), [((), (8, 10)), ((3,), (4, 5)), ((2, 3), (2, 3)), ((0, 1, 2, 3), (1, 1))])
def test_token_grid_follows_the_pools(stages: tuple[int, ...], grid: tuple[int, int]) -> None:
    config = SpikformerConfig(img_size_h=8, img_size_w=10, embed_dims=16, num_heads=2, pool_stages=stages, depths=1)
    assert config.grid == grid
    spikes = Spikformer(config).eval().trace(torch.rand(1, 3, 8, 10)).spikes
    assert spikes["block.0.attn.q_lif"].shape == (4, 1, grid[0] * grid[1], 16)


@pytest.mark.parametrize("stages", [(), (2, 3)])
def test_configuration_survives_json(stages: tuple[int, ...]) -> None:
    config = SpikformerConfig(pool_stages=stages)
    assert SpikformerConfig(**json.loads(json.dumps(config.as_dict()))) == config


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"embed_dims": 20}, "embed_dims 20 is no multiple of 8"),
        ({"num_heads": 5}, "embed_dims 384 does not divide into 5 heads"),
        ({"T": 0}, "T is 0, but must be at least 1"),
        ({"pool_stages": (4,)}, r"pool_stages \(4,\) must be distinct, 0 to 3"),
        ({"pool_stages": (2, 2)}, "must be distinct"),
    ],
)
def test_impossible_configurations_are_refused(fields: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SpikformerConfig(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("x", [torch.rand(1, 8, 8), torch.rand(1, 3, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.uint8)])
def test_images_of_another_shape_or_type_are_refused(x: Tensor) -> None:
    with pytest.raises(InputError, match=r"Spikformer input is .* not float \[B, 1, 8, 8\]"):
        Spikformer(SMALL)(x)
