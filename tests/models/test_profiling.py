"""`pumice.models.profile` against the official models' own counts, and on plain networks counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from oracles import load_oracle
from safetensors.torch import load_file
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models import load_official, profile
from pumice.models.spikformer import Spikformer, SpikformerConfig

ORACLE = Path(__file__).parents[1] / "data" / "oracles" / "spikformer_cifar_2-64"
SOPS = json.loads(ORACLE.with_suffix(".json").read_text())


def official() -> tuple[Spikformer, Tensor]:
    tensors = load_file(ORACLE.with_suffix(".safetensors"))
    model = Spikformer(SpikformerConfig(**SOPS["kwargs"])).eval()
    model.load_state_dict({k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")})
    return model, tensors["input"]


def test_layers_equal_the_official_counts() -> None:
    model, images = official()
    found = {layer.name: layer for layer in profile(model, [images]).layers}
    for name, expected in SOPS["sops"]["layers"].items():
        layer = found[name]
        steps = SOPS["kwargs"]["T"] if name == "patch_embed.proj_conv" else 1  # ours convolves a static image once
        assert layer.dense * 2 * steps == expected["macs_all_T"]
        assert layer.events * 2 * steps == expected["sop_exact_nz"]
        assert layer.events_weighted * 2 * steps == pytest.approx(expected["sop_exact"], rel=1e-6)
        assert layer.eq25 * 2 * steps == pytest.approx(expected["sop_eq25"], rel=1e-6)
        assert layer.spike_valued == expected["spike_valued"]


def test_attention_is_counted_where_it_happens() -> None:
    model, images = official()
    products = [layer for layer in profile(model, [images]).layers if layer.kind == "matmul"]
    assert [layer.name.rpartition(".")[0] for layer in products] == ["block.0.attn"] * 2 + ["block.1.attn"] * 2
    assert all(layer.binary or layer.spike_valued for layer in products)
    assert all(0 < layer.events <= layer.dense for layer in products)


def test_batches_are_averaged_per_sample() -> None:
    model, images = official()
    whole, parts = profile(model, [images]), profile(model, [images[:1], images[1:]])
    assert whole.samples == parts.samples == 2
    for a, b in zip(whole.layers, parts.layers, strict=True):
        assert (a.name, a.events, a.dense) == (b.name, b.events, b.dense)


def test_a_plain_network_counted_by_hand() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1, groups=1, bias=False), nn.Flatten(), nn.Linear(8, 3))
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].weight[1] = 0.0  # an output channel without synapses
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1.0  # reaches one window
    x[0, 0, 1, 1] = 2.0  # a graded spike that reaches four
    conv, linear = profile(net, [x]).layers
    assert (conv.events, conv.events_weighted, conv.dense) == (1 + 4, 1 + 2 * 4, 2 * 4 * 9)
    assert (conv.density, conv.rate, conv.spike_valued, conv.binary) == (0.5, 2 / 16, True, False)
    assert (linear.events, linear.dense) == (4 * 3, 8 * 3)
    assert profile(net, [x]).parameters == 18 + 24 + 3


def test_the_module_is_left_as_it_was() -> None:
    net = nn.Sequential(nn.Linear(4, 2))
    before = torch.ones(1, 4)
    expected = net(before)
    profile(net, [before])
    assert torch.equal(net(before), expected)
    assert not net[0]._forward_pre_hooks
    assert not net._forward_hooks


def test_nothing_to_count_is_said() -> None:
    with pytest.raises(InputError, match="nothing to count"):
        profile(nn.ReLU(), [torch.ones(1, 2)])
    with pytest.raises(InputError, match="nothing to count"):
        profile(nn.Linear(2, 2), [])


def test_activation_sparsity_equals_the_official_firing_rates() -> None:
    oracle = load_oracle("sdtv1_2-64_img32")
    found = profile(load_official("sdtv1", oracle.kwargs, oracle.weights), [oracle.input])
    sparsity = {layer.name: layer.sparsity for layer in found.activations}
    assert set(sparsity) == set(oracle.spikes)
    for name, spikes in oracle.spikes.items():
        assert sparsity[name] == pytest.approx(float((spikes == 0).double().mean())), name
    zeros = sum(int((spikes == 0).sum()) for spikes in oracle.spikes.values())
    total = sum(spikes.numel() for spikes in oracle.spikes.values())
    assert found.neurobench.activation_sparsity == pytest.approx(zeros / total)


def test_levels_of_multispike_are_whole_numbers() -> None:
    """SDT-V3 sends quarters: its operations are accumulates, and only the image is real-valued."""
    oracle = load_oracle("sdtv3_tiny_img64")
    found = profile(load_official("sdtv3", oracle.kwargs, oracle.weights), [oracle.input])
    assert [layer.name for layer in found.layers if not layer.spike_valued] == ["downsample1_1.encode_conv"]
    assert {layer.kind for layer in found.activations} == {"MultiSpike"}
    assert found.steps is None


def test_runs_tell_once_per_sample_from_once_per_timestep() -> None:
    model, images = official()
    found = profile(model, [images, images[:1]])
    runs = {layer.name: layer.runs for layer in found.layers}
    steps, tokens = 4, 16
    assert found.steps == steps
    assert (runs["patch_embed.proj_conv"], runs["patch_embed.proj_conv1"]) == (1, steps)
    assert (runs["block.0.attn.q_linear"], runs["head"], runs["block.0.attn.matmul0"]) == (steps * tokens, 1, None)
    assert {layer.calls for layer in found.layers} == {1}


def test_rates_are_means_over_inputs_not_over_batches() -> None:
    net = nn.Linear(2, 1)
    dark, lit = torch.zeros(3, 2), torch.ones(1, 2)
    assert profile(net, [dark, lit]).layers[0].rate == profile(net, [torch.cat([dark, lit])]).layers[0].rate == 0.25


def test_a_convolution_pads_as_it_is_told() -> None:
    """Wrapped around, every input reaches all nine windows; with zeros around it, only four in a corner."""
    x = torch.zeros(1, 1, 4, 4)
    x[0, 0, 0, 0] = 1.0
    events = {
        mode: profile(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode)), [x]).layers[0].events
        for mode in ("zeros", "circular")
    }
    assert events == {"zeros": 4, "circular": 9}


def test_a_convolution_in_three_dimensions() -> None:
    (layer,) = profile(nn.Sequential(nn.Conv3d(1, 2, 2, bias=False)), [torch.ones(2, 1, 3, 3, 3)]).layers
    assert (layer.events, layer.dense, layer.runs) == (8 * 2 * 8, 8 * 2 * 8, 1)


def test_other_activation_layers_can_be_named() -> None:
    class Step(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (x > 0).float()

    net, x = nn.Sequential(nn.Linear(2, 2), Step()), torch.ones(1, 2)
    assert profile(net, [x]).neurobench.activation_sparsity is None
    assert [layer.name for layer in profile(net, [x], activations=(Step,)).activations] == ["1"]
