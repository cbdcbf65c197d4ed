"""Vectors made with the official model code (`data/oracles`), and what it takes to compare a network of ours with them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from pumice.hwsim.counters import LayerSops, layer_sops
from pumice.hwsim.scoring import best_tokens
from pumice.models import gathered_tokens
from pumice.models.network import SpikingNetwork, Trace

FOLDER = Path(__file__).parent / "data" / "oracles"
LAYERS = (nn.Linear, nn.Conv1d, nn.Conv2d)


@dataclass(frozen=True)
class Oracle:
    """One case: the official constructor's kwargs, state dict, input, logits, spikes by name, and per pruned block the
    scores of its tokens `[B, N]` and those it kept `[B, k*k]`; sops: its synaptic operations by layer."""

    kwargs: dict[str, Any]
    weights: dict[str, Tensor]
    input: Tensor
    logits: Tensor
    spikes: dict[str, Tensor]
    scores: tuple[Tensor, ...]
    kept: tuple[Tensor, ...]
    sops: dict[str, dict[str, Any]]


def load_oracle(name: str) -> Oracle:
    """The case `name`; a pruned one brings the weights of the case it was made from."""
    facts = json.loads((FOLDER / f"{name}.json").read_text())
    tensors = load_file(FOLDER / f"{name}.safetensors")
    source = facts["state_dict_from"]
    blocks = sum(key.endswith(".indices") for key in tensors)
    return Oracle(
        facts["kwargs"],
        under(load_file(FOLDER / f"{source}.safetensors") if source else tensors, "state_dict."),
        tensors["input"],
        tensors["logits"],
        under(tensors, "spikes."),
        tuple(tensors[f"topk.{block}.flat_scores"] for block in range(blocks)),
        tuple(tensors[f"topk.{block}.indices"] for block in range(blocks)),
        facts["sops"]["layers"],
    )


def under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose name starts with `prefix`, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def assert_spikes_equal(spikes: dict[str, Tensor], oracle: Oracle) -> None:
    """The same layers, and every spike (for SDT-V3: level) of each."""
    assert set(spikes) == set(oracle.spikes)
    for name, official in oracle.spikes.items():
        assert torch.equal(spikes[name].to(torch.uint8), official), name


def assert_logits_equal(network: SpikingNetwork, trace: Trace, oracle: Oracle) -> None:
    """To 1e-5; bit for bit with and without a trace, which leaves no hook behind."""
    torch.testing.assert_close(trace.logits, oracle.logits, rtol=0, atol=1e-5)
    with torch.no_grad():
        assert torch.equal(network(oracle.input), trace.logits)
    assert not any(module._forward_hooks for module in network.modules())


def assert_kept_tokens_equal(trace: Trace, oracle: Oracle, shape: tuple[int, int, int]) -> None:
    """The same tokens in every pruned block, as slots and, at every step, as a mask of `shape` [T, B, N]."""
    assert len(trace.slots) == len(trace.masks) == len(oracle.kept)
    for ours, mask, official in zip(trace.slots, trace.masks, oracle.kept, strict=True):
        assert torch.equal(ours.sort().values, official.sort().values)
        assert mask.shape == shape
        for step in mask:
            assert torch.equal(step.nonzero()[:, 1].view(shape[1], -1), official.sort().values)


def assert_scores_equal(network: SpikingNetwork, oracle: Oracle, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores by which tokens are kept, in every pruned block."""
    seen: list[NDArray[np.float64]] = []

    def recorded(scores: NDArray[np.float64], k: int) -> NDArray[np.int64]:
        seen.append(scores)
        return best_tokens(scores, k)

    monkeypatch.setattr(gathered_tokens, "best_tokens", recorded)
    with torch.no_grad():
        network(oracle.input)
    for ours, official in zip(seen, oracle.scores, strict=True):
        np.testing.assert_allclose(ours, official.numpy(), rtol=0, atol=1e-7)


def assert_sops_equal(network: nn.Module, oracle: Oracle, repeats: Mapping[str, int] | None = None) -> None:
    """Synaptic operations of every layer, by each definition. repeats: how often the official model, and a chip, convolve what
    a layer of ours takes once, an image that stands still."""
    seen, repeats = layer_inputs(network, oracle.input), repeats or {}
    assert set(seen) == set(oracle.sops)
    for layer, expected in oracle.sops.items():
        x, module = seen[layer]
        sops = count_sops(module, repeated(x, repeats.get(layer, 1)))
        assert (sops.dense, sops.events) == (expected["macs_all_T"], expected["sop_exact_nz"]), layer
        assert sops.weighted == pytest.approx(expected["sop_exact"], rel=1e-6), layer
        assert sops.eq25 == pytest.approx(expected["sop_eq25"], rel=1e-6), layer
        if expected["spike_valued"]:
            assert sops.weighted == expected["sop_exact"], layer


def layer_inputs(network: nn.Module, x: Tensor) -> dict[str, tuple[NDArray[Any], nn.Module]]:
    """Per Linear and Conv that runs, its input in `network(x)` as [frames, C, H, W], and the module."""
    seen: dict[str, tuple[NDArray[Any], nn.Module]] = {}
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, LAYERS):
            record = lambda m, args, name=name: seen.update({name: (as_images(m, args[0]), m)})  # noqa: E731
            handles.append(module.register_forward_pre_hook(record))
    with torch.no_grad():
        network(x)
    for handle in handles:
        handle.remove()
    return seen


def as_images(module: nn.Module, x: Tensor) -> NDArray[Any]:
    """A layer's input as images [frames, C, H, W]: tokens and vectors become images one pixel wide."""
    if isinstance(module, nn.Conv2d):
        return x.numpy()
    if isinstance(module, nn.Conv1d):
        return x.numpy()[..., None]
    return x.reshape(-1, x.shape[-1]).numpy()[:, :, None, None]


def count_sops(module: nn.Module, x: NDArray[Any]) -> LayerSops:
    """Our counters on one layer. x: its input [frames, C, H, W]."""
    weight = module.weight.detach().numpy()
    weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
    if isinstance(module, nn.Conv2d):
        return layer_sops(x, weight, module.stride, module.padding, module.groups)  # type: ignore[arg-type]
    return layer_sops(x, weight)


def repeated(x: NDArray[Any], steps: int) -> NDArray[Any]:
    """An image that we convolve once, as the official model and a chip see it: at every step."""
    return np.tile(x, (steps, 1, 1, 1))
