"""Our synaptic-operation counters against those measured on the official Spikformer, layer by layer, each definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from pumice.hwsim.counters import layer_sops
from pumice.models.spikformer import Spikformer, SpikformerConfig

ORACLE = Path(__file__).parents[1] / "data" / "oracles" / "spikformer_cifar_2-64"
SOPS = json.loads(ORACLE.with_suffix(".json").read_text())


@pytest.fixture(scope="module")
def layer_inputs() -> dict[str, tuple[np.ndarray, nn.Module]]:
    """Per Linear and Conv, its input on the oracle's images as [frames, C, H, W], and the module."""
    tensors = load_file(ORACLE.with_suffix(".safetensors"))
    model = Spikformer(SpikformerConfig(**SOPS["kwargs"])).eval()
    model.load_state_dict({k.removeprefix("state_dict."): v for k, v in tensors.items() if k.startswith("state_dict.")})
    seen: dict[str, tuple[np.ndarray, nn.Module]] = {}
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            module.register_forward_pre_hook(lambda m, args, name=name: seen.update({name: (as_images(args[0]), m)}))
    with torch.no_grad():
        model(tensors["input"])
    return seen


def as_images(x: torch.Tensor) -> np.ndarray:
    """Tokens [..., N, C] or vectors [B, C] as images [frames, C, N, 1]; images as they are."""
    if x.ndim == 4 and x.shape[-1] == x.shape[-2]:
        return x.numpy()
    rows = x.reshape(-1, x.shape[-1])
    return rows.numpy()[:, :, None, None]


@pytest.mark.parametrize("name", sorted(SOPS["sops"]["layers"]))
def test_every_definition_equals_the_official_models(
    layer_inputs: dict[str, tuple[np.ndarray, nn.Module]], name: str
) -> None:
    expected, (x, module) = SOPS["sops"]["layers"][name], layer_inputs[name]
    weight = module.weight.detach().numpy()
    if (
        name == "patch_embed.proj_conv"
    ):  # ours convolves a static image once; the official model, and a chip, at every step
        x = np.tile(x, (SOPS["kwargs"]["T"], 1, 1, 1))
    if isinstance(module, nn.Conv2d):
        sops = layer_sops(x, weight, module.stride, module.padding)  # type: ignore[arg-type]
    else:
        sops = layer_sops(x, weight[:, :, None, None])
    assert sops.dense == expected["macs_all_T"]
    assert sops.events == expected["sop_exact_nz"]
    assert sops.weighted == pytest.approx(expected["sop_exact"], rel=1e-6)
    assert sops.eq25 == pytest.approx(expected["sop_eq25"], rel=1e-6)
    if expected["spike_valued"]:
        assert sops.weighted == expected["sop_exact"]
