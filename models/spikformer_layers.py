"""The parts of Spikformer (CIFAR form): patch embedding, spiking self-attention, MLP, block.

Attribute names give the official state-dict keys (ZK-Zhou/spikformer). Tokens run `[T, B, N, C]` through the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from pumice.models.neuron import LIF, GateState, Surrogate
from pumice.models.timesteps import per_step

ATTENTION_SCALE = 0.125
ATTENTION_THRESHOLD = 0.5
POOL = (3, 2, 1)  # kernel, stride, padding


class PatchEmbed(nn.Module):
    """Spiking patch splitting: four conv-BN-LIF stages, max-pools after the LIF of some, a conv position embedding."""

    def __init__(self, in_channels: int, dim: int, pool_stages: Sequence[int], surrogate: Surrogate) -> None:
        super().__init__()
        dims = (in_channels, dim // 8, dim // 4, dim // 2, dim)
        self.stages = tuple(range(4))
        for stage in self.stages:
            suffix = stage_suffix(stage)
            self.add_module(f"proj_conv{suffix}", nn.Conv2d(dims[stage], dims[stage + 1], 3, padding=1, bias=False))
            self.add_module(f"proj_bn{suffix}", nn.BatchNorm2d(dims[stage + 1]))
            self.add_module(f"proj_lif{suffix}", LIF(surrogate=surrogate))
        self.rpe_conv = nn.Conv2d(dim, dim, 3, padding=1, bias=False)
        self.rpe_bn = nn.BatchNorm2d(dim)
        self.rpe_lif = LIF(surrogate=surrogate)
        self.pool_stages = tuple(pool_stages)
        self.pool = nn.MaxPool2d(*POOL)

    def forward(self, image: Tensor, steps: int) -> Tensor:
        """image: `[B, C, H, W]`, shown at every one of `steps` timesteps, or a stream `[T, B, C, H, W]` of `steps` frames.
        Returns spike counts `[T, B, D, H', W']`."""
        # A still image does not change, so the first conv and its BatchNorm run once for all timesteps.
        frames = image.flatten(0, 1) if image.ndim == 5 else image
        current = self.get_submodule("proj_bn")(self.get_submodule("proj_conv")(frames))
        still = image.ndim == 4
        current = current.expand(steps, *current.shape) if still else current.unflatten(0, image.shape[:2])
        spikes = self.get_submodule("proj_lif")(current)
        spikes = self._pooled(spikes, 0)
        for stage in self.stages[1:]:
            suffix = stage_suffix(stage)
            spikes = self._conv_bn_lif(spikes, f"proj_conv{suffix}", f"proj_bn{suffix}", f"proj_lif{suffix}")
            spikes = self._pooled(spikes, stage)
        positions = self._conv_bn_lif(spikes, "rpe_conv", "rpe_bn", "rpe_lif")
        return spikes + positions

    def _conv_bn_lif(self, x: Tensor, conv: str, norm: str, lif: str) -> Tensor:
        current = per_step(lambda frames: self.get_submodule(norm)(self.get_submodule(conv)(frames)), x)
        spikes: Tensor = self.get_submodule(lif)(current)
        return spikes

    def _pooled(self, spikes: Tensor, stage: int) -> Tensor:
        return per_step(self.pool, spikes) if stage in self.pool_stages else spikes


class SSA(nn.Module):
    """Spiking self-attention (Spikformer; TP-Spikformer Eq. 8-9): (q kᵀ) v · 0.125 without softmax."""

    def __init__(self, dim: int, heads: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.heads = heads
        self.q_linear, self.q_bn, self.q_lif = _linear_bn_lif(dim, dim, surrogate)
        self.k_linear, self.k_bn, self.k_lif = _linear_bn_lif(dim, dim, surrogate)
        self.v_linear, self.v_bn, self.v_lif = _linear_bn_lif(dim, dim, surrogate)
        self.attn_lif = LIF(ATTENTION_THRESHOLD, surrogate=surrogate)
        self.proj_linear, self.proj_bn, self.proj_lif = _linear_bn_lif(dim, dim, surrogate)

    def forward(self, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """x: spike counts `[T, B, N, C]`; keep: bool `[T, B, N, 1]` or None. Returns spikes `[T, B, N, C]`."""
        q = self.q_lif(token_norm(self.q_bn, self.q_linear(x)), keep, state)
        k = self.k_lif(token_norm(self.k_bn, self.k_linear(x)), keep, state)
        v = self.v_lif(token_norm(self.v_bn, self.v_linear(x)), keep, state)
        spikes = self.attn_lif(self.coincidences(q, k, v), keep, state)
        out: Tensor = self.proj_lif(token_norm(self.proj_bn, self.proj_linear(spikes)), keep, state)
        return out

    def coincidences(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """(q kᵀ) v · 0.125 per head; binary `[T, B, N, C]` each. Sums of integers: both orders of the product are exact."""
        q, k, v = (x.view(*x.shape[:3], self.heads, -1).transpose(2, 3) for x in (q, k, v))
        k = k.transpose(-1, -2)
        product = q @ (k @ v) if q.shape[-1] < q.shape[-2] else (q @ k) @ v
        return product.transpose(2, 3).flatten(3) * ATTENTION_SCALE


class MLP(nn.Module):
    """Two token-wise Linear-BN-LIF layers."""

    def __init__(self, dim: int, hidden: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.fc1_linear, self.fc1_bn, self.fc1_lif = _linear_bn_lif(dim, hidden, surrogate)
        self.fc2_linear, self.fc2_bn, self.fc2_lif = _linear_bn_lif(hidden, dim, surrogate)

    def forward(self, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """x: spike counts `[T, B, N, C]`; keep: bool `[T, B, N, 1]` or None. Returns spikes `[T, B, N, C]`."""
        hidden = self.fc1_lif(token_norm(self.fc1_bn, self.fc1_linear(x)), keep, state)
        out: Tensor = self.fc2_lif(token_norm(self.fc2_bn, self.fc2_linear(hidden)), keep, state)
        return out


class Block(nn.Module):
    """x + SSA(x), then x + MLP(x). A gated token adds nothing to its residual stream, so it passes unchanged (Eq. 19)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)  # in the official state dict, never applied
        self.attn = SSA(dim, heads, surrogate)
        self.norm2 = nn.LayerNorm(dim)  # likewise
        self.mlp = MLP(dim, dim * mlp_ratio, surrogate)

    def forward(self, x: Tensor, mask: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """x: spike counts `[T, B, N, C]`; mask: bool `[T, B, N]` or None. Returns spike counts `[T, B, N, C]`."""
        keep = None if mask is None else mask.unsqueeze(-1)
        x = x + self.attn(x, keep, state)
        out: Tensor = x + self.mlp(x, keep, state)
        return out


def stage_suffix(stage: int) -> str:
    """How the official code numbers its convolutions: proj_conv, proj_conv1, proj_conv2, proj_conv3."""
    return str(stage) if stage else ""


def token_norm(norm: nn.BatchNorm1d, x: Tensor) -> Tensor:
    """BatchNorm over the channels of tokens `[T, B, N, C]`."""
    normed: Tensor = norm(x.flatten(0, 2))
    return normed.view(x.shape)


def _linear_bn_lif(inputs: int, outputs: int, surrogate: Surrogate) -> tuple[nn.Linear, nn.BatchNorm1d, LIF]:
    return nn.Linear(inputs, outputs), nn.BatchNorm1d(outputs), LIF(surrogate=surrogate)
