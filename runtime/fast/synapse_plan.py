"""How a layer of synapses is computed: as dense int8 dot products, as a list of those there are, or on float BLAS."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.runtime.fast.memory import Memory

if TYPE_CHECKING:
    from pumice.hwsim.kernels.synapses import Weights

GROUP = 6  # outputs of a tile (`hwsim.kernels.synapses`)
TILE = 64
SPARSE = 0.25  # share of synapses there are below which lists are quicker than dot products
LARGEST = 128  # input of a list: two products of it stay within 16 bits
SUM_LIMIT = (1 << 15) - 1
Ints = NDArray[np.int64]
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class SynapsePlan:
    """Weights as the kernels take them. shift: doublings that they lack. taps: each input row's channel and offset in lanes,
    [K, 2]. values, offsets, lists, first: see `hwsim.kernels.synapses.Weights`, which has dense and flip too. made: those of
    inputs that it has met."""

    dense: bool
    shift: int
    taps: Ints
    values: Array
    offsets: Array
    lists: Array
    first: Array
    flip: int
    outputs: int
    made: dict[tuple[int, int, int], tuple[Weights, Array, Array]] = field(default_factory=dict)

    def weights(self, channels: int, row: int, together: int) -> Weights:
        """For inputs [T, channels, lanes] whose rows are `row` bytes apart, and so many tiles together."""
        key = (channels, row, together)
        if key not in self.made:
            rows = self.taps[:, 0] * row + self.taps[:, 1]
            tight = self.taps[:, 0] * (together * TILE)
            made = (self._weights(channels, rows, tight), rows, tight)  # the arrays, whose addresses are in the first
            self.made.setdefault(key, made)  # never replaced: another thread may be at work with the addresses
        return self.made[key][0]

    def _weights(self, channels: int, rows: Ints, tight: Ints) -> Weights:
        from pumice.hwsim.kernels.synapses import Weights  # needs numba, a plan does not

        places = (x.ctypes.data for x in (self.values, self.offsets, self.lists))
        values, offsets, lists = places
        after = (rows.ctypes.data, tight.ctypes.data, self.first.ctypes.data, self.flip)
        sizes = (len(self.taps), channels, self.outputs)
        return Weights(self.dense, *sizes, values, offsets, lists, len(self.lists), *after)


def plan_synapse(node: i.Synapse, source: TensorType, border: int, sparse: float = SPARSE) -> SynapsePlan | None:
    """The plan of a synapse whose maps have `border` columns between them; None for what the kernels have not: strides, groups,
    kernels that change the size of a map, wide payloads and wide weights."""
    weight, shift = _bytes(node.weight)
    if weight is None or not _fits(node, source, border):
        return None
    matrix = _padded(weight.reshape(len(weight), -1))
    taps = _taps(node, source, border, matrix.shape[1])
    flip = 128 if source.low < 0 else 0
    share = np.count_nonzero(matrix) / max(node.weight.size, 1)
    if flip or source.high > LARGEST or share >= sparse:
        first = (-flip * matrix.sum(axis=1)).astype(np.int32)
        nothing = np.zeros((1, 2), np.uint32), np.zeros((1, 1), np.int64)
        return SynapsePlan(True, shift, taps, _quads(matrix), *nothing, first, flip, len(weight))
    first = np.zeros(len(matrix), np.int32)
    return SynapsePlan(False, shift, taps, *_lists(matrix, source.high), first, 0, len(weight))


def _fits(node: i.Synapse, source: TensorType, border: int) -> bool:
    """Whether a synapse reads bytes and keeps the size of its maps."""
    kernel = node.weight.shape[2:]
    same = all(2 * pad == size - 1 for pad, size in zip(node.padding, kernel, strict=True))
    unsigned = source.low >= 0 and source.high <= 255
    signed = source.low >= -128 and source.high <= 127
    tokens = len(node.out.shape) < 3
    inside = kernel == (1, 1) if tokens else max(node.padding) <= border
    return node.stride == (1, 1) and node.groups == 1 and same and inside and (unsigned or signed)


def _bytes(weight: Ints) -> tuple[NDArray[np.int8] | None, int]:
    """Weights as int8 and how often they were halved for it, where that is exact."""
    halved = weight
    for shift in (0, 1):
        if halved.min(initial=0) >= -128 and halved.max(initial=0) <= 127:
            return halved.astype(np.int8), shift
        if (halved & 1).any():
            return None, 0
        halved = halved >> 1
    return None, 0


def _padded(matrix: NDArray[np.int8]) -> NDArray[np.int8]:
    """Whole groups of outputs and whole quads of inputs."""
    rows, columns = matrix.shape
    return np.pad(matrix, ((0, -rows % GROUP), (0, -columns % 4)))


def _taps(node: i.Synapse, source: TensorType, border: int, rows: int) -> Ints:
    """Where each column of the weight matrix reads: channel, and lanes from the output's."""
    channels, (high, wide) = node.weight.shape[1], node.weight.shape[2:]
    width = source.shape[2] + border if len(source.shape) == 3 else 1
    c, y, x = np.meshgrid(np.arange(channels), np.arange(high), np.arange(wide), indexing="ij")
    lanes = (y - node.padding[0]) * width + x - node.padding[1]
    taps = np.stack([c, lanes], axis=-1).reshape(-1, 2)
    return np.pad(taps, ((0, rows - len(taps)), (0, 0))).astype(np.int64)


def _quads(matrix: NDArray[np.int8]) -> Array:
    """[groups, quads, 6, 4]."""
    groups, quads = len(matrix) // GROUP, matrix.shape[1] // 4
    values = Memory().array((groups, quads, GROUP, 4), np.int8)
    values[...] = matrix.reshape(groups, GROUP, quads, 4).transpose(0, 2, 1, 3)
    return values


def _lists(matrix: NDArray[np.int8], largest: int) -> tuple[Array, Array, Array]:
    """Pairs of synapses in lists, each list's sums within 16 bits: values [pairs, 2], offsets [pairs, 2], starts of each
    output's pairs in each list, [lists, outputs + 1]."""
    output, column = np.nonzero(matrix)
    values = matrix[output, column]
    part = _list_of(output, values, largest, len(matrix))
    lists = int(part.max(initial=0)) + 1
    key = part * len(matrix) + output  # list after list, output after output
    order = np.argsort(key, kind="stable")
    counts = np.bincount(key, minlength=lists * len(matrix))
    starts = np.concatenate([[0], np.cumsum((counts + 1) // 2)])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    slots = 2 * starts[key[order]] + rank
    paired, rows = np.zeros(2 * max(int(starts[-1]), 1), np.int8), np.zeros(2 * max(int(starts[-1]), 1), np.uint32)
    paired[slots], rows[slots] = values[order], column[order] * TILE
    edges = np.arange(lists)[:, None] * len(matrix) + np.arange(len(matrix) + 1)
    return paired.reshape(-1, 2), rows.reshape(-1, 2), starts[edges]


def _list_of(output: Ints, values: NDArray[np.int8], largest: int, outputs: int) -> Ints:
    """Which list each synapse is in: a new one wherever an output's sums, in the worst case, could leave 16 bits."""
    cost = np.abs(values.astype(np.int64)) * max(largest, 1)
    if not len(cost) or np.bincount(output, cost, outputs).max() <= SUM_LIMIT:
        return np.zeros(len(cost), np.int64)
    before = np.cumsum(cost) - cost
    first = np.full(outputs, np.iinfo(np.int64).max)
    np.minimum.at(first, output, before)
    return np.asarray((before - first[output]) // (SUM_LIMIT - 128 * max(largest, 1)))
