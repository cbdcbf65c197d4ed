"""Taps: which source positions a window joins to which targets, and how many synapses a channel has at each of its taps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.hwsim import arith

Ints = NDArray[np.int64]


def indicator(held: Ints, size: int) -> Ints:
    """1 at the indices `held`, 0 elsewhere, [size]."""
    found = np.zeros(size, np.int64)
    found[held] = 1
    return found


def summed_synapses(node: i.Synapse, channels: Ints) -> Ints:
    """Synapses of each source channel and tap into `channels`, [C, K]; a grouped convolution's channels see their group only."""
    inputs, of = node.weight.shape[1], node.weight.shape[0] // node.groups
    total = np.zeros((inputs * node.groups, int(np.prod(node.weight.shape[2:]))), np.int64)
    for g in np.unique(channels // of):
        weights = node.weight[channels[channels // of == g]]
        counts = arith.synapse_counts(weights, node.signs).sum(axis=0, dtype=np.int64)
        total[g * inputs : (g + 1) * inputs] = counts.reshape(inputs, -1)
    return total


def window_of(node: i.Synapse | i.OrPool | i.MaxPool) -> tuple[tuple[int, int], tuple[int, int], tuple[int, int]]:
    """(kernel, stride, padding), each by rows and columns."""
    if isinstance(node, i.Synapse):
        return (node.weight.shape[2], node.weight.shape[3]), node.stride, node.padding
    return (node.kernel,) * 2, (node.stride,) * 2, (node.padding,) * 2


def taps_of(node: i.Synapse | i.OrPool | i.MaxPool, shape: tuple[int, ...], positions: Ints) -> Ints:
    """The flattened source position that each tap joins to each of the target positions, -1 outside of the map, [K, n].
    shape: of the source, [C, H, W] or [C, N]."""
    kernel, stride, padding = window_of(node)
    height, width = (shape[1], shape[2]) if len(shape) == 3 else (shape[1], 1)
    across = (width + 2 * padding[1] - kernel[1]) // stride[1] + 1
    rows, columns = np.divmod(positions, across)
    y = rows * stride[0] - padding[0] + np.repeat(np.arange(kernel[0]), kernel[1])[:, None]
    x = columns * stride[1] - padding[1] + np.tile(np.arange(kernel[1]), kernel[0])[:, None]
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    return np.where(inside, y * width + x, -1)


def seen_from_sources(joined: Ints) -> tuple[Ints, Ints, Ints]:
    """(sources [P'], taps [K, P'], targets [K, P']) from the source that each tap joins to each target, [K, n]. A tap joins a
    source to one target at most."""
    sources = np.unique(joined[joined >= 0])
    targets = np.full((len(joined), len(sources)), -1, np.int64)
    tap, target = np.nonzero(joined >= 0)
    targets[tap, np.searchsorted(sources, joined[tap, target])] = target
    return sources, (targets >= 0).astype(np.int64), targets
