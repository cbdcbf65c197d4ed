"""What the spike-driven transformers share: time, gates, routes, checks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.models.token_pruning import TokenPruning


@dataclass
class Routes:
    """The tokens chosen so far in a forward pass, block after block: `Trace.masks` and `Trace.slots` in the making."""

    masks: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)


def per_step(layer: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """`layer`, which knows no time, applied to every step of x `[T, B, ...]`."""
    out = layer(x.flatten(0, 1))
    return out.view(*x.shape[:2], *out.shape[1:])


def gated(current: Tensor, keep: Tensor | None) -> Tensor:
    """What a block adds to the residual path: nothing for a token that is not routed, not even the BatchNorm's bias."""
    return current if keep is None else current * keep


def check_heads(family: str, name: str, channels: int, heads: int) -> None:
    """Raises InputError unless `channels` (an argument `name`) divides into `heads`."""
    if channels % heads:
        raise InputError(f"{family}: {name} {channels} does not divide into {heads} heads", "choose another num_heads")


def check_one_pruning(family: str, k_values: Sequence[float] | None, pruning: TokenPruning | None) -> None:
    """Raises InputError if tokens were to be both gathered and gated."""
    if k_values is not None and pruning is not None:
        raise InputError(f"{family}: the config has k_values and the network a pruning", "use one of the two")


def check_image(family: str, x: Tensor, shapes: tuple[tuple[int, ...], ...]) -> None:
    """Raises InputError unless x is a batch of floats whose shape, without the batch axis, is one of `shapes`."""
    if torch.is_floating_point(x) and x.ndim > 1 and tuple(x.shape[1:]) in shapes:
        return
    known = " or ".join(f"[B, {', '.join(map(str, shape))}]" for shape in shapes)
    raise InputError(
        f"{family} input is {x.dtype} {tuple(x.shape)}, not float {known}",
        "give images of the size the model was built for",
    )
