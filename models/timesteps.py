"""Layers that know no time, run over all timesteps at once."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor


def per_step(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`layer` applied to every step of x `[T, B, ...]`."""
    out = layer(x.flatten(0, 1))
    return out.view(*x.shape[:2], *out.shape[1:])
