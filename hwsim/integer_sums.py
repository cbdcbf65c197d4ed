"""Sums over windows and channels of spike counts, in integers that just hold them: exact, so their order is free.

Maps lie channels first, [C, B, H, W], so that every loop is a long one. What is not whole numbers stays in float64, and is summed
in one order whatever the batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Floats = NDArray[np.float64]


def channels_first(x: Array) -> Array:
    """Maps [B, C, H, W] as [C, B, H, W], whole numbers in the narrowest integers; no copy where they lie so already."""
    x = np.moveaxis(np.asarray(x), 1, 0)
    if x.dtype.kind == "f":
        with np.errstate(invalid="ignore"):
            whole = x.astype(np.int64)
        if not np.array_equal(whole, x):
            return np.ascontiguousarray(x, np.float64)
        x = whole
    return np.ascontiguousarray(x, _holding(*_range(x)))


def window_sum(x: Array, window: int) -> Array:
    """Sum over the window around each position of maps [..., H, W], positions outside the map left out."""
    if x.dtype.kind == "f":
        return _window_of_reals(x, window)
    low, high = _range(x)
    x = x.astype(_holding(low * window**2, high * window**2))
    return _sum_along(_sum_along(x, window // 2, -1), window // 2, -2)


def difference(x: Array, y: Array) -> Array:
    """x - y, in a type that holds it."""
    (low, high), (least, most) = _range(x), _range(y)
    kind = np.dtype(np.float64) if "f" in x.dtype.kind + y.dtype.kind else _holding(low - most, high - least)
    return np.subtract(x, y, dtype=kind, casting="unsafe")  # modulo its range, within which the difference is


def channel_dot(x: Array, y: Array) -> Floats:
    """Sum over channels of x * y, each [C, B, H, W]; returns [B, H, W]."""
    if "f" in x.dtype.kind + y.dtype.kind:
        return np.asarray((x.astype(np.float64) * y).sum(axis=0))
    (low, high), (least, most) = _range(x), _range(y)
    largest = len(x) * max(-low, high) * max(-least, most)
    kind = _holding(-largest if min(low, least) < 0 else 0, largest)
    if kind.kind == "f":
        return np.asarray((x.astype(kind) * y).sum(axis=0))
    dot = np.einsum("cl,cl->l", *(a.reshape(len(a), -1).astype(kind, copy=False) for a in (x, y)))
    return np.asarray(dot.reshape(x.shape[1:]), np.float64)


def _sum_along(x: Array, reach: int, axis: int) -> Array:
    """Sum of the values up to `reach` away along the last axis, or the one before it, of maps that lie one after the other. A
    shift is one of all memory: what it would carry over from the next row or map is first set to 0."""
    total, step = x.copy(), 1 if axis == -1 else x.shape[-1]
    flat = total.reshape(-1)
    for away in range(1, min(reach, x.shape[axis] - 1) + 1):
        for_left, for_right = x.copy(), x.copy()
        np.moveaxis(for_left, axis, 0)[:away] = 0
        np.moveaxis(for_right, axis, 0)[-away:] = 0
        flat[: -away * step] += for_left.reshape(-1)[away * step :]
        flat[away * step :] += for_right.reshape(-1)[: -away * step]
    return total


def _window_of_reals(x: Floats, window: int) -> Floats:
    """As `window_sum`, from the first position of each window to its last."""
    pad = window // 2
    padded = np.pad(x, [(0, 0)] * (x.ndim - 2) + [(pad, pad), (pad, pad)])
    height, width = x.shape[-2:]
    shifts = [(i, j) for i in range(window) for j in range(window)]
    total = np.sum([padded[..., i : i + height, j : j + width] for i, j in shifts], axis=0, dtype=np.float64)
    return np.asarray(total)


def _range(x: Array) -> tuple[int, int]:
    """The least value, or 0, and the largest."""
    low = 0 if x.dtype.kind in "bu" else int(x.min(initial=0))
    return low, int(x.max(initial=0))


def _holding(low: int, high: int) -> np.dtype[Any]:
    """The narrowest integers from low to high; where those are wide, float64, which is as exact and multiplies faster."""
    if max(-low, high) >> 31:
        return np.dtype(np.float64)
    return np.promote_types(np.min_scalar_type(low), np.min_scalar_type(high))
