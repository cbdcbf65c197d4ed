"""Layers of synapses and neurons as `hwsim.kernels.bit_synapses` takes them, and when that is quicker than products of bytes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.hwsim import arith
from pumice.runtime.fast.bit_lists import ONES, ZEROS, BitLists, bit_lists

if TYPE_CHECKING:
    from pumice.hwsim.kernels.bit_synapses import BitWeights

ROW, LANES, STEPS = 128, 256, 4  # bytes, lanes and timesteps of a row of bits (`hwsim.kernels.bit_rows`)
PLANES = 4  # bits of an input at most
BITS = (16, 20, 24)  # of a membrane (`hwsim.kernels.bit_lif`)
HALF = arith.DECAY_UNITY // 2
# ns of a core with AVX-512 per 1024 lanes: of a bit that is added, of a place of a sum, of a neuron, of a bit of an input; of a
# synapse of a list, of one of a dense layer, and of a neuron in 32 bits
BIT, PLACE, NEURON, INPUT = 1.3, 3.2, 80.0, 11.0
LISTED, DENSE, WORDS = 13.5, 3.2, 260.0
LONG = 1.25  # how much longer bits take whose lists leave the second cache, as those of many synapses do
Ints = NDArray[np.int64]
Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class BitPlan:
    """A layer as the kernel takes it; see `hwsim.kernels.bit_synapses.BitWeights`. lists: with offsets in bytes; made: by
    the distance of the input's rows."""

    taps: Ints
    planes: int
    lists: BitLists
    places: Array
    limit: Array
    made: dict[int, tuple[BitWeights, Array]] = field(default_factory=dict)

    @property
    def arena(self) -> int:
        """Bytes of the rows of four timesteps."""
        return self.lists.rows * ROW

    def weights(self, row: int) -> BitWeights:
        """For inputs whose rows are `row` bytes apart."""
        if row not in self.made:
            rows = self.taps[:, 0] * row + self.taps[:, 1]
            made = (self._weights(rows), rows)
            self.made.setdefault(row, made)  # never replaced: another thread may be at work with the addresses
        return self.made[row][0]

    def _weights(self, rows: Ints) -> BitWeights:
        from pumice.hwsim.kernels.bit_synapses import BitWeights  # needs numba, a plan does not

        held, counts = self.lists, self.lists.counts
        arrays = (x.ctypes.data for x in (rows, held.bits, counts, self.places, self.limit))
        first, bits, groups, places, limit = arrays
        where = (held.carries * ROW, held.region * ROW, held.sums * ROW)
        sizes = (len(rows), len(counts), self.planes, counts.shape[1], self.places.shape[1])
        return BitWeights(*sizes, first, bits, groups, *where, places, limit, self.arena)


@dataclass(frozen=True, eq=False)
class BitLayer:
    """A layer that may be computed bit by bit. matrix: [M, K]; low, high: the range of its sums and what of the bias is added to
    them; bits: of its membranes; taps, dense: see `SynapsePlan`."""

    node: i.IntLif
    matrix: Ints
    taps: Ints
    planes: int
    low: int
    high: int
    bits: int
    dense: bool

    @property
    def width(self) -> int:
        """Bits of a sum."""
        return max(-self.low - 1, self.high, 0).bit_length() + 1

    @cached_property
    def costs(self) -> tuple[float, float]:
        """What 256 lanes at four timesteps take, in ns: of bits, of products."""
        outputs, inputs = self.matrix.shape
        bits = BIT * self.planes * digits(self.matrix) + (PLACE * self.width + NEURON) * outputs
        bits += INPUT * inputs * (1 + self.planes)
        if self.dense:
            return LONG * bits, DENSE * self.matrix.size + WORDS * outputs
        return bits, LISTED * int(np.count_nonzero(self.matrix)) + WORDS * outputs

    def quicker(self, lanes: int, steps: int) -> bool:
        """Whether the bits of so many lanes are computed sooner than products of bytes."""
        filled = lanes * steps / (-(-lanes // LANES) * LANES * -(-steps // STEPS) * STEPS)
        bits, products = self.costs
        return bits < filled * products

    @cached_property
    def plan(self) -> BitPlan:
        """Its plan."""
        bias = _bias(self.node)
        lists = bit_lists(self.matrix, self.planes, bias >> arith.MEMBRANE_SHIFT, self.width)
        lists = replace(lists, bits=(lists.bits * ROW).astype(np.uint32))
        limit = _limit(self.node.vth << arith.MEMBRANE_SHIFT, self.bits)
        return BitPlan(self.taps, self.planes, lists, _places(lists, bias, self.bits), limit)


def bit_layer(node: i.IntLif, synapse: i.Synapse, source: TensorType, taps: Ints, dense: bool) -> BitLayer | None:
    """Neurons and the synapses that feed them; None for neurons that keep more or less than half of their membrane, for large
    inputs, and where a membrane might saturate. The neurons reset at once to 0 (`plan.biases`)."""
    planes = int(source.high).bit_length()
    if source.low < 0 or not 0 < planes <= PLANES or node.dv != HALF:
        return None
    matrix = synapse.weight.reshape(len(synapse.weight), -1).astype(np.int64, copy=False)
    above = _bias(node) >> arith.MEMBRANE_SHIFT
    low = int((np.minimum(matrix, 0).sum(axis=1) * source.high + above).min(initial=0))
    high = int((np.maximum(matrix, 0).sum(axis=1) * source.high + above).max(initial=0))
    most = max(-low, high + 1) << (arith.MEMBRANE_SHIFT + 1)  # a membrane is at most twice what it receives a timestep
    bits = next((bits for bits in BITS if most < 1 << (bits - 1)), None)
    return BitLayer(node, matrix, taps[: matrix.shape[1]], planes, low, high, bits, dense) if bits else None


def digits(matrix: Ints) -> int:
    """Signed powers of two, no two of them neighbours, that numbers are sums of."""
    size = np.abs(matrix[matrix != 0])
    apart, count = (3 * size) ^ size, 0
    for place in range(int(apart.max(initial=0)).bit_length()):
        count += int(((apart >> place) & 1).sum())
    return count


def _bias(node: i.IntLif) -> Ints:
    """[C]"""
    return np.broadcast_to(node.bias.reshape(-1), node.out.shape[:1]).astype(np.int64)


def _limit(threshold: int, bits: int) -> Ints:
    """See `hwsim.kernels.bit_lif`; of a threshold that no membrane reaches the nearest that fits."""
    held = min(max(threshold, -1 << (bits - 1)), (1 << (bits - 1)) - 1)
    words = -((held >> np.arange(bits)) & 1)
    words[:-1] = ~words[:-1]
    return words


def _places(lists: BitLists, bias: Ints, bits: int) -> Array:
    """Where each bit of a channel's current is, [M rounded to pairs, bits] (uint32): the bias's own low bits, the sum's, and its
    sign as often as is left."""
    width, by = lists.counts.shape[1], arith.MEMBRANE_SHIFT
    low = np.where((bias[:, None] >> np.arange(by)) & 1, ONES, ZEROS)
    own = lists.sums + width * (np.arange(len(bias)) % 2)[:, None]
    rows = np.concatenate([low, own + np.minimum(np.arange(bits - by), width - 1)], axis=1)
    return np.pad(rows * ROW, ((0, len(rows) % 2), (0, 0))).astype(np.uint32)
