"""Which tokens each block routes: TP-Spikformer's information-retention architecture, training-free (Eq. 16-20)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import get_args

import numpy as np
import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion, sample_masks
from pumice.models.neuron import GateState


@dataclass(frozen=True)
class TokenPruning:
    """Retention, scoring rule and membrane rule of a pruned model.

    retention: one ratio in (0, 1] per block, never growing with depth (appendix A.1). criterion: how tokens are scored.
    state: what a gated token's membranes do, "hold" (keep their value) or "decay" (leak without firing).
    """

    retention: tuple[float, ...]
    criterion: Criterion = field(default_factory=Criterion)
    state: GateState = "hold"

    def __post_init__(self) -> None:
        _check_ratios(self.retention)
        _check_order(self.retention)
        if self.state not in get_args(GateState):
            raise InputError(f"token pruning: unknown membrane rule {self.state!r}", "use 'hold' or 'decay'")

    def check_depth(self, blocks: int) -> None:
        """Raises InputError unless the schedule names every one of the model's `blocks`."""
        if len(self.retention) == blocks:
            return
        raise InputError(
            f"token pruning: the schedule has {len(self.retention)} ratios, the model {blocks} blocks",
            "give one ratio per block, first block first",
        )

    def block_mask(self, x: Tensor, block: int, height: int, width: int) -> Tensor:
        """Routing mask of one block from its input. x: spike counts `[T, B, N, C]`; returns bool `[T, B, N]`."""
        steps, batch, _, channels = x.shape
        counts = x.detach().transpose(2, 3).reshape(steps, batch, channels, height, width)
        try:
            mask = sample_masks(counts.cpu().numpy(), self.criterion, self.retention[block], block)
        except ValueError as error:
            raise InputError(f"token pruning, block {block}: {error}", "choose another criterion") from error
        return torch.from_numpy(np.ascontiguousarray(mask)).to(x.device)


def check_masks(masks: tuple[Tensor, ...], blocks: int, shape: tuple[int, int, int]) -> None:
    """Raises InputError unless `masks` holds one bool tensor of `shape` = `[T, B, N]` per block."""
    if len(masks) != blocks:
        raise InputError(f"given {len(masks)} routing masks for {blocks} blocks", "give one mask [T, B, N] per block")
    for block, mask in enumerate(masks):
        check_mask(mask, block, shape)


def check_mask(mask: Tensor, block: int, shape: tuple[int, int, int]) -> None:
    """Raises InputError unless one block's `mask` is a bool tensor of `shape` = `[T, B, N]`."""
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise InputError(
            f"routing mask of block {block} is {mask.dtype} {tuple(mask.shape)}, not torch.bool {shape}",
            "axes are [T, B, N]",
        )


def _check_ratios(retention: tuple[float, ...]) -> None:
    for block, ratio in enumerate(retention):
        if not 0.0 < ratio <= 1.0:
            raise InputError(f"token pruning, block {block}: retention {ratio} is not in (0, 1]", "1 keeps every token")


def _check_order(retention: tuple[float, ...]) -> None:
    for block in range(1, len(retention)):
        if retention[block] > retention[block - 1]:
            raise InputError(
                f"token pruning, block {block}: retention {retention[block]} exceeds {retention[block - 1]} before it",
                "retention may only fall with depth",
            )
