"""The parts of SDT-V1, the Spike-Driven Transformer: patch embedding, element-wise spiking attention, MLP, block.

Attribute names give the official state-dict keys (BICLab/Spike-Driven-Transformer). Membranes, not spikes, run along the
residual path: `[T, B, C, H, W]`, real-valued; every convolution but the first sees 0/1.
"""

from __future__ import annotations

from torch import Tensor, nn

from pumice.models.neuron import LIF, GateState, Surrogate
from pumice.models.sdt_layers import gated
from pumice.models.timesteps import per_step

ATTENTION_THRESHOLD = 0.5
POOL = (3, 2, 1)  # kernel, stride, padding


class PatchEmbed(nn.Module):
    """Spiking patch splitting: four conv-BN-LIF stages, then a conv position embedding added to the last membrane.

    Stages 0 to 2 pool spikes after their LIF; stage 3 pools currents before it.
    """

    def __init__(self, in_channels: int, dim: int, pooled: tuple[bool, ...], surrogate: Surrogate) -> None:
        super().__init__()
        self.pooled = pooled
        self.proj_conv, self.proj_bn = _conv_bn(in_channels, dim // 8)
        self.proj_lif = LIF(surrogate=surrogate)
        self.proj_conv1, self.proj_bn1 = _conv_bn(dim // 8, dim // 4)
        self.proj_lif1 = LIF(surrogate=surrogate)
        self.proj_conv2, self.proj_bn2 = _conv_bn(dim // 4, dim // 2)
        self.proj_lif2 = LIF(surrogate=surrogate)
        self.proj_conv3, self.proj_bn3 = _conv_bn(dim // 2, dim)
        self.proj_lif3 = LIF(surrogate=surrogate)
        self.rpe_conv, self.rpe_bn = _conv_bn(dim, dim)
        self.pool = nn.MaxPool2d(*POOL)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        """x: images `[B, C, H, W]`, shown at every one of `steps` timesteps, or frames `[T, B, C, H, W]`.

        Returns membranes `[T, B, D, H', W']`.
        """
        spikes = self._pool(self.proj_lif(self._first_current(x, steps)), 0)
        spikes = self._pool(self.proj_lif1(_current(self.proj_conv1, self.proj_bn1, spikes)), 1)
        spikes = self._pool(self.proj_lif2(_current(self.proj_conv2, self.proj_bn2, spikes)), 2)
        membrane = self._pool(_current(self.proj_conv3, self.proj_bn3, spikes), 3)
        return _current(self.rpe_conv, self.rpe_bn, self.proj_lif3(membrane)) + membrane

    def _first_current(self, x: Tensor, steps: int) -> Tensor:
        if x.ndim == 5:
            return _current(self.proj_conv, self.proj_bn, x)
        # An image does not change, so the first conv and its BatchNorm run once for all timesteps.
        current: Tensor = self.proj_bn(self.proj_conv(x))
        return current.expand(steps, *current.shape)

    def _pool(self, x: Tensor, stage: int) -> Tensor:
        return per_step(self.pool, x) if self.pooled[stage] else x


class Attention(nn.Module):
    """Spike-driven self-attention: q ⊙ LIF₀.₅(Σ over tokens of k ⊙ v), one gate per channel, no scale; plus x."""

    def __init__(self, dim: int, heads: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.heads = heads
        self.shortcut_lif = LIF(surrogate=surrogate)
        self.q_conv, self.q_bn = _pointwise_bn(dim, dim, bias=False)
        self.q_lif = LIF(surrogate=surrogate)
        self.k_conv, self.k_bn = _pointwise_bn(dim, dim, bias=False)
        self.k_lif = LIF(surrogate=surrogate)
        self.v_conv, self.v_bn = _pointwise_bn(dim, dim, bias=False)
        self.v_lif = LIF(surrogate=surrogate)
        self.talking_heads = nn.Conv1d(heads, heads, 1, bias=False)  # in the official state dict, never applied
        self.talking_heads_lif = LIF(ATTENTION_THRESHOLD, surrogate=surrogate)
        self.proj_conv, self.proj_bn = _pointwise_bn(dim, dim, bias=True)

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """x and result: membranes `[T, B, C, H, W]`; keep: bool `[T, B, 1, H, W]` or None."""
        spikes = self.shortcut_lif(x, keep, state)
        q = self.q_lif(_current(self.q_conv, self.q_bn, spikes), keep, state)
        k = self.k_lif(_current(self.k_conv, self.k_bn, spikes), keep, state)
        v = self.v_lif(_current(self.v_conv, self.v_bn, spikes), keep, state)
        return gated(_current(self.proj_conv, self.proj_bn, q * self._gate(k, v)), keep) + x

    def _gate(self, k: Tensor, v: Tensor) -> Tensor:
        """Which channels pass: 0/1 `[T, B, C, 1, 1]`. A sum of coincidences is an integer, exact in any order."""
        counts = (k * v).flatten(3).sum(-1)
        # The official LIF sees [T, B, heads, 1, C / heads].
        gate: Tensor = self.talking_heads_lif(counts.view(*counts.shape[:2], self.heads, 1, -1))
        return gate.view(*counts.shape, 1, 1)


class MLP(nn.Module):
    """Two token-wise LIF-conv-BN layers; plus x."""

    def __init__(self, dim: int, hidden: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.fc1_lif = LIF(surrogate=surrogate)
        self.fc1_conv, self.fc1_bn = _pointwise_bn(dim, hidden, bias=True)
        self.fc2_lif = LIF(surrogate=surrogate)
        self.fc2_conv, self.fc2_bn = _pointwise_bn(hidden, dim, bias=True)
        self.inner_shortcut = hidden == dim  # mlp_ratios 1: the official code then adds x in the middle instead

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """x and result: membranes `[T, B, C, H, W]`; keep: bool `[T, B, 1, H, W]` or None."""
        hidden = _current(self.fc1_conv, self.fc1_bn, self.fc1_lif(x, keep, state))
        if self.inner_shortcut:
            hidden = x = x + gated(hidden, keep)
        return gated(_current(self.fc2_conv, self.fc2_bn, self.fc2_lif(hidden, keep, state)), keep) + x


class Block(nn.Module):
    """Attention, then MLP, each with a membrane shortcut."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.attn = Attention(dim, heads, surrogate)
        self.mlp = MLP(dim, dim * mlp_ratio, surrogate)

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """x and result: membranes `[T, B, C, H, W]`; keep: bool `[T, B, 1, H, W]` or None."""
        out: Tensor = self.mlp(self.attn(x, keep, state), keep, state)
        return out


def _current(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """BatchNorm of a convolution at every step of x `[T, B, C, H, W]`."""
    return per_step(lambda frames: norm(conv(frames)), x)


def _conv_bn(inputs: int, outputs: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False), nn.BatchNorm2d(outputs)


def _pointwise_bn(inputs: int, outputs: int, bias: bool) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(inputs, outputs, 1, bias=bias), nn.BatchNorm2d(outputs)
