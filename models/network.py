"""What the spiking transformers share: a run opened layer by layer, token pruning, checks of inputs and sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.pruning.token_pruning import TokenPruning, check_mask
from pumice.models.tracing import recorded_spikes

Masks = tuple[Tensor, ...]


@dataclass(frozen=True)
class Trace:
    """A forward pass, opened.

    logits `[B, K]`; spikes by official LIF name, in the official output's shape; masks: per block a bool routing mask
    `[T, B, N]`, no entry at all without pruning; slots: where the pruned tokens are gathered, as the official code does,
    per block the token that each slot holds, `[B, kept]`.
    """

    logits: Tensor
    spikes: dict[str, Tensor]
    masks: Masks
    slots: tuple[Tensor, ...] = ()


class SpikingNetwork(nn.Module):
    """A stack of `depth` blocks. `pruning` may be set and cleared at any time; it needs no training."""

    def __init__(self, depth: int, pruning: TokenPruning | None = None) -> None:
        super().__init__()
        self.depth = depth
        self.pruning = pruning

    @property
    def pruning(self) -> TokenPruning | None:
        """The token pruning in force, or None. Setting a schedule of the wrong length raises InputError."""
        return self._pruning

    @pruning.setter
    def pruning(self, pruning: TokenPruning | None) -> None:
        if pruning is not None:
            self._check_pruning(pruning)
        self._pruning = pruning

    def _check_pruning(self, pruning: TokenPruning) -> None:
        pruning.check_depth(self.depth)

    def forward(self, x: Tensor, masks: Masks | None = None) -> Tensor:
        """Class logits `[B, K]` of a batch. `masks`: as in `trace`."""
        return self._run(x, masks).logits

    def trace(self, x: Tensor, masks: Masks | None = None) -> Trace:
        """`forward`, with every LIF's spikes and the routing masks. `masks` (one bool `[T, B, N]` per block) replaces
        scoring by a given schedule; InputError if they do not fit."""
        with recorded_spikes(self) as spikes:
            run = self._run(x, masks)
        return replace(run, spikes=spikes)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        """The forward pass; its `spikes` stay empty."""
        raise NotImplementedError

    def _mask(self, tokens: Tensor, block: int, grid: tuple[int, int], given: Masks | None) -> Tensor | None:
        """Routing mask bool `[T, B, N]` of one block, or None. tokens: the block's input `[T, B, N, C]`, N = H' * W'."""
        if given is not None:
            check_mask(given[block], block, (tokens.shape[0], tokens.shape[1], tokens.shape[2]))
            return given[block]
        if self.pruning is None:
            return None
        return self.pruning.block_mask(tokens, block, *grid)


def check_images(who: str, x: Tensor, *shapes: tuple[int, ...]) -> None:
    """Raises InputError unless x is a batch of floats whose shape, without the batch axis, is one of `shapes`."""
    if x.ndim > 1 and tuple(x.shape[1:]) in shapes and torch.is_floating_point(x):
        return
    known = " or ".join(f"[B, {', '.join(map(str, shape))}]" for shape in shapes)
    raise InputError(
        f"{who} input is {x.dtype} {tuple(x.shape)}, not float {known}",
        "give images of the size the model was built for",
    )


def check_positive(who: str, sizes: Mapping[str, int]) -> None:
    """Raises InputError for the first size that is below 1."""
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"{who}: {name} is {value}, but must be at least 1", "give a positive size")


def check_width(who: str, embed_dims: int, num_heads: int) -> None:
    """Raises InputError unless embed_dims splits into the embedding's eighths and into heads."""
    if embed_dims < 8 or embed_dims % 8:
        raise InputError(f"{who}: embed_dims {embed_dims} is no multiple of 8", "e.g. 48, 64, 384")
    if num_heads < 1 or embed_dims % num_heads:
        raise InputError(
            f"{who}: embed_dims {embed_dims} does not divide into {num_heads} heads",
            "choose a number of heads that divides embed_dims",
        )
