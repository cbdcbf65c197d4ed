"""How a convolution's inputs vary together in the membranes that it feeds: what errors of its weights will cost."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.float_nodes import Conv
from pumice.hwsim.arith import patches

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]
ROWS = 4096  # windows of a timestep, at most
VALUES = 1 << 22  # inputs in them, at most
SPARE = 4  # times as many windows are made as are taken, so that those taken come from many samples
BLOCK = 1152  # inputs whose covariances are kept; those between blocks of them count as 0


def membrane_moments(x: NDArray[Any], conv: Conv, keep: float, current_keep: float = 0.0) -> Floats:
    """Covariances of what each input of a convolution has left in a membrane that keeps `keep` of itself a step, resets ignored,
    and whose current keeps `current_keep`.

    x: inputs [T, B, C, …]. Returns [blocks, K, K]: the inputs of a window, group after group, in blocks of K at most BLOCK.
    Errors e of an output's weights, once the bias is corrected for their mean, leave it an error of variance Σ eᵀ M e.
    """
    windows = _windows(x, conv)
    windows = windows - windows.mean(axis=(0, 1))
    rows, size = windows.shape[1], block_size(conv)
    total = np.zeros((windows.shape[2] // size, size, size))
    current = state = np.zeros(windows.shape[1:], np.float32)
    for window in windows:
        current = current * np.float32(current_keep) + window
        state = state * np.float32(keep) + current
        blocks = np.ascontiguousarray(state.reshape(rows, -1, size).transpose(1, 0, 2))
        total += blocks.transpose(0, 2, 1) @ blocks
    return np.asarray(total / max(len(windows) * rows, 1))


def block_size(conv: Conv) -> int:
    """Inputs of a block: those of a group, or of the largest even part of its channels that BLOCK holds."""
    channels, taps = conv.weight.shape[1], int(np.prod(conv.weight.shape[2:]))
    return max((n for n in range(1, channels + 1) if channels % n == 0 and n * taps <= BLOCK), default=1) * taps


def _windows(x: NDArray[Any], conv: Conv) -> Singles:
    """Windows [T, rows, C * kh * kw], evenly chosen."""
    images = x if x.ndim == 5 else x[..., None]
    few = images[:, : _samples_needed(images.shape[3:], conv)]
    found = [_chosen(frame, conv) for frame in few]
    return np.stack(found)


def _samples_needed(grid: tuple[int, ...], conv: Conv) -> int:
    kernel = conv.weight.shape[2:]
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(grid, conv.padding, kernel, conv.stride, strict=True)]
    return -(-SPARE * _rows(conv) // int(np.prod(out)))


def _rows(conv: Conv) -> int:
    return max(1, min(ROWS, VALUES // int(conv.weight[0].size * conv.groups)))


def _chosen(frame: NDArray[Any], conv: Conv) -> Singles:
    kernel = (int(conv.weight.shape[2]), int(conv.weight.shape[3]))
    rows = patches(frame.astype(np.float32), kernel, conv.stride, conv.padding)
    rows = rows.reshape(-1, rows.shape[-1])
    return np.asarray(rows[np.linspace(0, len(rows) - 1, min(len(rows), _rows(conv))).astype(np.int64)])
