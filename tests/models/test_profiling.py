"""`pumice.models.profile` against the official models' own counts, and on plain networks counted by hand."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models import profile
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
