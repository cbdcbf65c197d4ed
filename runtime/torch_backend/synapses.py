"""Synaptic currents as products of matrices, exact: `arith.conv` on torch.

A convolution is the product of its windows with its weights, written out so: a library's convolution may choose an algorithm
(Winograd, FFT) that is exact for reals and rounds. A matrix product only adds products up, and every partial sum is exact in a
float type that holds `worst_sum`, in any order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.runtime.torch_backend.values import exact_float, repeats, worst_sum

PATCH_BYTES = {
    "cpu": 1 << 25,
    "cuda": 1 << 29,
}  # windows of a convolution written out at once: changes nothing but memory


@dataclass(frozen=True, eq=False)
class Currents:
    """A `Synapse` on a device. weight [groups, kh * kw * C / groups, O / groups], in an exact type."""

    weight: Tensor
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]

    def __call__(self, x: Tensor) -> Tensor:
        """x [T, B, C, H, W] or tokens [T, B, C, N]; returns currents [T, B, O, …]."""
        if repeats(x):
            return self(x[:1]).expand(x.shape[0], *[-1] * (x.ndim - 1))
        rows = x.flatten(0, 1).movedim(1, -1)  # [M, H, W, C]
        out = self._of_images(rows if x.ndim == 5 else rows[:, :, None])
        out = out if x.ndim == 5 else out.flatten(1, 2)
        return out.reshape(*x.shape[:2], *out.shape[1:]).movedim(-1, 2)

    def _of_images(self, x: Tensor) -> Tensor:
        """x [M, H, W, C]; returns [M, H', W', O]."""
        x = self._padded(x)
        if self.weight.shape[1:] == (self.kernel[0] * self.kernel[1], 1):
            return self._channel_by_channel(x)
        windows = self._windows(x)
        out = self.weight.new_empty((*windows.shape[:3], self.weight.shape[0] * self.weight.shape[2]))
        of_one = windows[0].numel() * self.weight.element_size()
        few = max(1, PATCH_BYTES[x.device.type] // max(1, of_one))
        for start in range(0, len(x), few):
            self._product(windows[start : start + few], out[start : start + few])
        return out

    def _padded(self, x: Tensor) -> Tensor:
        down, across = self.padding
        return torch.nn.functional.pad(x, (0, 0, across, across, down, down)) if down or across else x

    def _windows(self, x: Tensor) -> Tensor:
        """A view [M, H', W', kh, kw, C] of x [M, H, W, C]."""
        view = x.unfold(1, self.kernel[0], self.stride[0]).unfold(2, self.kernel[1], self.stride[1])
        return view.movedim(3, -1)

    def _product(self, windows: Tensor, out: Tensor) -> None:
        """Fills out [M, H', W', O]."""
        groups, inputs, outputs = self.weight.shape
        if groups == 1:
            columns = windows.to(self.weight.dtype).reshape(-1, inputs)
            torch.mm(columns, self.weight[0], out=out.view(-1, outputs))
            return
        split = windows.to(self.weight.dtype).reshape(
            *windows.shape[:-1], groups, -1
        )  # [M, H', W', kh, kw, groups, C / groups]
        columns = split.movedim(-2, 0).reshape(groups, -1, inputs)
        out.copy_(torch.bmm(columns, self.weight).movedim(0, 1).reshape(out.shape))

    def _channel_by_channel(self, x: Tensor) -> Tensor:
        """A depthwise convolution: each weight times its view of the input, added up."""
        windows, weight = self._windows(x), self.weight[:, :, 0]  # [C, kh * kw]
        out = weight.new_zeros((*windows.shape[:3], len(weight)))
        for tap in range(weight.shape[1]):
            out.addcmul_(windows[:, :, :, tap // self.kernel[1], tap % self.kernel[1]].to(weight.dtype), weight[:, tap])
        return out


def currents(node: i.Synapse, graph: Graph, device: torch.device) -> Currents:
    """A synapse's weights on the device."""
    outputs, inputs, *kernel = node.weight.shape
    weight = torch.from_numpy(node.weight).to(device).to(exact_float(worst_sum(node, graph)))
    weight = weight.reshape(node.groups, outputs // node.groups, inputs, *kernel)
    weight = weight.permute(0, 3, 4, 2, 1).reshape(node.groups, -1, outputs // node.groups).contiguous()
    return Currents(weight, (kernel[0], kernel[1]), node.stride, node.padding)
