"""SparseSpikformer's token selector, in float64: which tokens it keeps of a block's input."""

from __future__ import annotations

from math import erf, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.float_nodes import Selector
from pumice.hwsim.scoring import keep_top

Floats = NDArray[np.float64]


def selector_scores(x: NDArray[Any], selector: Selector) -> Floats:
    """Log-probabilities of being kept. x: the block's input [T, B, C, N]; returns [B, N]."""
    mean = np.swapaxes(np.asarray(x, np.float64).mean(axis=0), 1, 2)
    hidden = gelu(mean @ selector.w1.T + selector.b1)
    keep, drop = np.moveaxis(hidden @ selector.w2.T + selector.b2, -1, 0)
    return np.asarray(-np.logaddexp(0.0, drop - keep))


def selected(scores: Floats, selector: Selector, among: NDArray[np.bool_] | None, steps: int) -> NDArray[np.bool_]:
    """The best tokens by scores [..., N] among those that are left, `among` [T, ..., N]; one mask for all steps, [T, ..., N]."""
    left = scores if among is None else np.where(among[0], scores, -np.inf)
    mask = keep_top(left, selector.kept)
    return np.broadcast_to(mask, (steps, *mask.shape))


def gelu(x: Floats) -> Floats:
    """x · Φ(x), exact (Hendrycks & Gimpel, 2016)."""
    phi = np.frompyfunc(lambda value: 0.5 * (1.0 + erf(value / sqrt(2.0))), 1, 1)
    return np.asarray(x * phi(x).astype(np.float64))
