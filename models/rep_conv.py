"""RepConv of the spike-driven transformers, and its re-parameterisation into one convolution.

Official code: `RepConv` and `BNAndPadLayer` (BICLab), in front of q, k, v and the projection. The class of SDT-V3's published
checkpoints, `Spiking_vit_MetaFormer_Spike_SepConv`, has plain 1×1 convolutions there, so `sdt_v3` does not need this.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class BNAndPad(nn.Module):
    """BatchNorm, then a border of the value that BatchNorm makes of 0: as if zeros had been padded before it."""

    def __init__(self, pad_pixels: int, num_features: int) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(num_features)
        self.pad_pixels = pad_pixels

    def forward(self, x: Tensor) -> Tensor:
        """x: `[B, C, H, W]`; returns `[B, C, H + 2p, W + 2p]`."""
        normed: Tensor = self.bn(x)
        # From the running statistics in training too, and without a gradient: as officially.
        border = _line(self.bn)[1].detach().to(normed).view(1, -1, 1, 1)
        inside = nn.functional.pad(torch.ones_like(normed, dtype=torch.bool), [self.pad_pixels] * 4)
        return torch.where(inside, nn.functional.pad(normed, [self.pad_pixels] * 4), border)


class RepConv(nn.Module):
    """1×1 convolution, BatchNorm with padding, depth-wise 3×3, 1×1, BatchNorm: linear, so one 3×3 convolution in the end."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        mixed = nn.Sequential(
            nn.Conv2d(inputs, inputs, 3, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        self.body = nn.Sequential(nn.Conv2d(inputs, inputs, 1, bias=False), BNAndPad(1, inputs), mixed)

    def forward(self, x: Tensor) -> Tensor:
        """x: `[B, C, H, W]`; returns `[B, D, H, W]`."""
        out: Tensor = self.body(x)
        return out


@torch.no_grad()
def merge_rep_conv(rep: RepConv, norm: nn.BatchNorm2d | None = None) -> nn.Conv2d:
    """One zero-padded 3×3 convolution equal to `rep` in eval mode, and to `norm` after it if given.

    Computed in float64, returned in the dtype of `rep`. The zero padding is exact because of `BNAndPad`.
    """
    first, padded, (depthwise, last, closing) = rep.body[0], rep.body[1], rep.body[2]
    scale1, shift1 = _line(padded.bn)
    scale2, shift2 = _line(closing)
    before = scale1[:, None] * first.weight.double().flatten(1)  # [M, C]
    taps = depthwise.weight.double()[:, 0]  # [M, 3, 3]
    after = scale2[:, None] * last.weight.double().flatten(1)  # [D, M]
    kernel = torch.einsum("om,mhw,mi->oihw", after, taps, before)
    bias = after @ (taps.sum((1, 2)) * shift1) + shift2
    if norm is not None:
        scale3, shift3 = _line(norm)
        kernel, bias = kernel * scale3[:, None, None, None], bias * scale3 + shift3
    merged = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1).to(first.weight)
    merged.weight.copy_(kernel)
    assert merged.bias is not None
    merged.bias.copy_(bias)
    return merged


def _line(norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """A BatchNorm in eval mode as scale · x + shift, each `[C]`, float64."""
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    return scale, norm.bias.double() - norm.running_mean.double() * scale
