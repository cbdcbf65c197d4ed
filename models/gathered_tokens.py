"""Token pruning as TP-Spikformer's official code runs it: a block sees only the k*k best tokens, as a k*k image.

One set of tokens serves all timesteps, and they run in fresh neurons: slot i of a block holds its i-th best token. The
others pass the block unchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.hwsim.scoring import best_tokens, official_spatial, official_temporal

SPATIAL_WINDOW = 3


def best_by_space_and_time(x: Tensor, side: int, window: int = SPATIAL_WINDOW) -> Tensor:
    """Tokens kept by SDT-V1's rule, spatial plus temporal score; QKFormer's is the same with a larger `window`.

    x: `[T, B, C, H, W]`; returns int64 `[B, side * side]`.
    """
    values = x.detach().double().cpu().numpy()
    scores = official_temporal(values) + official_spatial(values.mean(axis=0), window)
    return torch.from_numpy(best_tokens(scores, side * side)).to(x.device)


def best_by_space(x: Tensor, side: int) -> Tensor:
    """Tokens kept by SDT-V3's rule, the spatial score alone. x: `[B, C, H, W]`; returns int64 `[B, side * side]`."""
    scores = official_spatial(x.detach().double().cpu().numpy(), SPATIAL_WINDOW)
    return torch.from_numpy(best_tokens(scores, side * side)).to(x.device)


def gather_tokens(x: Tensor, kept: Tensor) -> Tensor:
    """The kept tokens as a small image. x: `[..., B, C, H, W]`; kept: `[B, k*k]`; returns `[..., B, C, k, k]`."""
    side = round(kept.shape[1] ** 0.5)
    return x.flatten(-2).gather(-1, _per_channel(x, kept)).view(*x.shape[:-2], side, side)


def scatter_tokens(x: Tensor, kept: Tensor, small: Tensor) -> Tensor:
    """x with its kept tokens replaced by those of `small`; shapes as in `gather_tokens`."""
    return x.flatten(-2).scatter(-1, _per_channel(x, kept), small.flatten(-2)).view(x.shape)


def routing_mask(kept: Tensor, steps: int, tokens: int) -> Tensor:
    """The same choice as a routing mask: bool `[T, B, N]`, equal over `steps`; running it in place is equivalent."""
    mask = torch.zeros(kept.shape[0], tokens, dtype=torch.bool, device=kept.device).scatter(1, kept, True)
    return mask.expand(steps, *mask.shape)


def keep_map(mask: Tensor, grid: tuple[int, int]) -> Tensor:
    """A routing mask `[T, B, N]` as `[T, B, 1, H', W']`, which broadcasts over channels."""
    return mask.reshape(*mask.shape[:2], 1, *grid)


def check_sides(family: str, sides: tuple[int, ...], blocks: int, grid: tuple[int, int]) -> None:
    """Raises InputError unless `sides` gives every block a k >= 1 with k*k tokens to keep, never growing with depth."""
    if len(sides) != blocks:
        raise InputError(f"{family}: k_values has {len(sides)} entries for {blocks} blocks", "give one per block")
    for block, side in enumerate(sides):
        if side < 1:
            raise InputError(f"{family}, block {block}: k is {side}, which leaves no token", "keep at least one token")
        if side * side > grid[0] * grid[1]:
            raise InputError(
                f"{family}, block {block}: k is {side}, but {side * side} tokens exceed the {grid[0]} x {grid[1]} there are",
                "a smaller k",
            )
        if block and side > sides[block - 1]:
            raise InputError(
                f"{family}, block {block}: k is {side}, more than the {sides[block - 1]} of the block before it",
                "retention may only fall with depth",
            )


def _per_channel(x: Tensor, kept: Tensor) -> Tensor:
    """kept `[B, k*k]` repeated over the leading axes and channels of x: `[..., B, C, k*k]`."""
    return kept.unsqueeze(1).expand(*x.shape[:-2], kept.shape[1])
