"""The parts of SDT-V3: downsampling, separable convolution, convolution block, graded attention, MLP, transformer block.

Attribute names give the official state-dict keys (BICLab/Spike-Driven-Transformer-V3). Real membranes run along the residual
path, `[B, C, H, W]`; every convolution but the first sees MultiSpike values, quarters of 0 to 4. There is no time axis:
one pass is one step of integers, or D = 4 steps of binary spikes (`multispike.binary_expansion`).
"""

from __future__ import annotations

from torch import Tensor, nn

from pumice.models.multispike import MultiSpike
from pumice.models.sdt_layers import gated

EXPANSION = 2  # channels inside a separable convolution, per channel outside
VALUE_EXPANSION = 4  # channels of v per channel of q and k


class DownSampling(nn.Module):
    """MultiSpike (not in the first layer), convolution, BatchNorm."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, first: bool = False) -> None:
        super().__init__()
        self.encode_conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2)
        self.encode_bn = nn.BatchNorm2d(outputs)
        self.encode_spike = nn.Identity() if first else MultiSpike()

    def forward(self, x: Tensor) -> Tensor:
        """x: images or membranes `[B, C, H, W]`; returns membranes `[B, D, H', W']`."""
        out: Tensor = self.encode_bn(self.encode_conv(self.encode_spike(x)))
        return out


class SepConv(nn.Module):
    """Point-wise, depth-wise, point-wise convolution, each after a MultiSpike and before a BatchNorm."""

    def __init__(self, dim: int, kernel: int) -> None:
        super().__init__()
        hidden = EXPANSION * dim
        self.spike1 = MultiSpike()
        self.pwconv1 = _conv_bn(dim, hidden)
        self.spike2 = MultiSpike()
        self.dwconv = nn.Sequential(
            nn.Conv2d(hidden, hidden, kernel, padding=kernel // 2, groups=hidden, bias=False), nn.BatchNorm2d(hidden)
        )
        self.spike3 = MultiSpike()
        self.pwconv2 = _conv_bn(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: membranes `[B, C, H, W]`."""
        hidden = self.dwconv(self.spike2(self.pwconv1(self.spike1(x))))
        out: Tensor = self.pwconv2(self.spike3(hidden))
        return out


class ConvBlock(nn.Module):
    """x + SepConv(x), then x + two 3×3 MultiSpike-conv-BN layers."""

    def __init__(self, dim: int, mlp_ratio: int) -> None:
        super().__init__()
        self.Conv = SepConv(dim, kernel=7)
        self.spike1 = MultiSpike()
        self.conv1 = nn.Conv2d(dim, dim * mlp_ratio, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(dim * mlp_ratio)
        self.spike2 = MultiSpike()
        self.conv2 = nn.Conv2d(dim * mlp_ratio, dim, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(dim)

    def forward(self, x: Tensor) -> Tensor:
        """x and result: membranes `[B, C, H, W]`."""
        x = self.Conv(x) + x
        hidden = self.bn1(self.conv1(self.spike1(x)))
        out: Tensor = x + self.bn2(self.conv2(self.spike2(hidden)))
        return out


class Attention(nn.Module):
    """Graded linear attention: (q kᵀ) v · 2/√d per head, MultiSpike on q, k, v and on the result; v is four times as wide."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5 * 2
        self.head_spike = MultiSpike()
        self.q_conv = _conv_bn(dim, dim)
        self.q_spike = MultiSpike()
        self.k_conv = _conv_bn(dim, dim)
        self.k_spike = MultiSpike()
        self.v_conv = _conv_bn(dim, dim * VALUE_EXPANSION)
        self.v_spike = MultiSpike()
        self.attn_spike = MultiSpike()
        self.proj_conv = _conv_bn(dim * VALUE_EXPANSION, dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: membranes `[B, C, H, W]`; keep: bool `[B, 1, H, W]` or None. Returns currents `[B, C, H, W]`."""
        levels = self.head_spike(x, keep)
        q = self._by_head(self.q_spike(self.q_conv(levels), keep))
        k = self._by_head(self.k_spike(self.k_conv(levels), keep))
        v = self._by_head(self.v_spike(self.v_conv(levels), keep))
        # Channels come before tokens here, so these are the transposed products of (q kᵀ) v. All are multiples of 1/64.
        mixed = (v @ (k.transpose(-1, -2) @ q)) * self.scale
        spikes = self.attn_spike(mixed.flatten(1, 2), _by_token(keep))
        return gated(self.proj_conv(spikes.view(x.shape[0], -1, *x.shape[2:])), keep)

    def _by_head(self, x: Tensor) -> Tensor:
        """`[B, C, H, W]` as `[B, heads, C / heads, N]`."""
        return x.reshape(x.shape[0], self.heads, -1, x.shape[2] * x.shape[3])


class MLP(nn.Module):
    """Two token-wise MultiSpike-conv-BN layers over `[B, C, N]`."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1_spike = MultiSpike()
        self.fc1_conv = nn.Conv1d(dim, hidden, 1)
        self.fc1_bn = nn.BatchNorm1d(hidden)
        self.fc2_spike = MultiSpike()
        self.fc2_conv = nn.Conv1d(hidden, dim, 1)
        self.fc2_bn = nn.BatchNorm1d(dim)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x: membranes `[B, C, H, W]`; keep: bool `[B, 1, H, W]` or None. Returns currents `[B, C, H, W]`."""
        hidden = self.fc1_bn(self.fc1_conv(self.fc1_spike(x.flatten(2), _by_token(keep))))
        out: Tensor = self.fc2_bn(self.fc2_conv(self.fc2_spike(hidden, _by_token(keep))))
        return gated(out.view(x.shape), keep)


class Block(nn.Module):
    """x + SepConv(x) between neighbours, then the token-wise half: x + Attention(x), x + MLP(x)."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.conv = SepConv(dim, kernel=3)
        self.attn = Attention(dim, heads)
        self.mlp = MLP(dim, dim * mlp_ratio)

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """x and result: membranes `[B, C, H, W]`; keep: bool `[B, 1, H, W]` or None, for the second half only."""
        return self.attend(self.mix(x), keep)

    def mix(self, x: Tensor) -> Tensor:
        """The half that needs all tokens at their places."""
        out: Tensor = x + self.conv(x)
        return out

    def attend(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """The half that treats tokens as a set, so that it may run on those gathered."""
        x = x + self.attn(x, keep)
        out: Tensor = x + self.mlp(x, keep)
        return out


def _by_token(keep: Tensor | None) -> Tensor | None:
    """keep `[B, 1, H, W]` as `[B, 1, N]`."""
    return None if keep is None else keep.flatten(2)


def _conv_bn(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, bias=False), nn.BatchNorm2d(outputs))
