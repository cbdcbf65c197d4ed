"""MultiSpike, the integer neuron of SDT-V3, and its exact expansion into binary spikes."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from pumice.errors import InputError

LEVELS = 4  # D, the largest level: a neuron fires 0 to 4 spikes' worth at once


class _Round(torch.autograd.Function):
    """round(clamp(x, 0, top)), half to even; the gradient passes unchanged where x lies in [0, top], and is 0 outside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, top: int) -> Tensor:
        ctx.save_for_backward((x >= 0) & (x <= top))
        return x.clamp(0, top).round()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, None]:
        (inside,) = ctx.saved_tensors
        return grad_outputs[0] * inside, None


class MultiSpike(nn.Module):
    """A stateless neuron with levels 0 to D: `round(clamp(x, 0, D)) / norm`, half to even.

    norm: what a level is divided by; D (the default) gives values 0, 1/D, …, 1, and 1 the levels themselves, as the
    official head uses. Source: SDT-V3 (integer training, spike-driven inference), and its official code.
    """

    def __init__(self, levels: int = LEVELS, norm: int | None = None) -> None:
        super().__init__()
        if levels < 1:
            raise InputError(f"MultiSpike: the largest level must be at least 1, not {levels}", "SDT-V3 uses 4")
        self.levels = levels
        self.norm = levels if norm is None else norm

    def extra_repr(self) -> str:
        return f"levels={self.levels}, norm={self.norm}"

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Values level / norm of the input currents, elementwise; 0 where keep (bool, broadcastable to x) is False."""
        values = cast(Tensor, _Round.apply(x, self.levels)) / self.norm  # type: ignore[no-untyped-call]
        return values if keep is None else values * keep


def binary_expansion(levels: Tensor, count: int = LEVELS) -> Tensor:
    """The `count` binary spikes that stand for each level: spike d (from 0) is 1 where the level exceeds d.

    levels: whole numbers 0 to `count`, any shape `[...]`; returns 0/1, `[count, ...]`, in the same dtype. Their sum is the
    level again, so a linear layer gives the same sum of integers from them as from the level. Raises InputError for a
    number that is no level.
    """
    if bool(((levels < 0) | (levels > count) | (levels != levels.round())).any()):
        raise InputError(
            f"binary expansion: a value is not one of the levels 0 to {count}", "multiply values by `norm`"
        )
    steps = torch.arange(count, device=levels.device).view(-1, *[1] * levels.ndim)
    return (levels > steps).to(levels.dtype)
