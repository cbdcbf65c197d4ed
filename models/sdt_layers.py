"""What the spike-driven transformers share: gates, routes, checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import Tensor

from pumice.errors import InputError
from pumice.models.pruning.token_pruning import TokenPruning


@dataclass
class Routes:
    """The tokens chosen so far in a forward pass, block after block: `Trace.masks` and `Trace.slots` in the making."""

    masks: list[Tensor] = field(default_factory=list)
    slots: list[Tensor] = field(default_factory=list)


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
