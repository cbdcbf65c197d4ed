"""What each tap of a fan brings to each position of a slice: gathered from the fan's own sources, nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.fans import Fan

Ints = NDArray[np.int64]


def tapped(x: Ints, fan: Fan, places: int, outside: int) -> Ints:
    """The source of each tap and position, [B, C, K, P], `outside` where a tap has none. x: of the fan's sources, [B, C, P']."""
    joined = joined_sources(fan, places)
    padded = np.concatenate([x, np.full((*x.shape[:2], 1), outside, x.dtype)], axis=2)
    return np.asarray(padded[:, :, joined])


def summed_taps(x: Ints, fan: Fan, places: int) -> Ints:
    """The same where a position may have several sources at a tap, which add up: one neuron may take a whole map."""
    assert fan.targets is not None
    if places > 1:
        return tapped(x, fan, places, 0)
    return np.asarray(np.einsum("bcp,kp->bck", x, (fan.targets == 0).astype(np.int64))[..., None])


def joined_sources(fan: Fan, places: int) -> Ints:
    """The rank among the fan's sources that each tap joins to each position, -1 for none, [K, P]."""
    assert fan.targets is not None
    joined = np.full((len(fan.targets), places), -1, np.int64)
    tap, source = np.nonzero(fan.targets >= 0)
    joined[tap, fan.targets[tap, source]] = source
    return joined
