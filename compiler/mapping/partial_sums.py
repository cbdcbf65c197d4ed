"""Where a neuron has more inputs than a core has axons for: its sum in parts, each by neurons of its own."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.bounds import input_bounds
from pumice.compiler.groups import Group
from pumice.compiler.ir import Graph, bits_of
from pumice.compiler.mapping.usage import Range
from pumice.hwsim.spec import ChipSpec

Ints = NDArray[np.int64]


def why_whole(group: Group, graph: Graph, chip: ChipSpec) -> str:
    """Why the sum of a group's neurons cannot be taken in parts on a chip; "" where it can."""
    weighted = [node for node in group.synapses if isinstance(node, i.Synapse)]
    if not weighted:
        return "only the inputs of weights can be summed in parts"
    if chip.graded_bits == 0:
        return f"parts of it cannot be summed apart, for {chip.name} has no graded spikes to send the sums"
    wide = [bits for node in weighted if (bits := _widest_input(node, graph)) > chip.graded_bits]
    return f"the sum of one input alone has {max(wide)}/{chip.graded_bits} bits of a graded spike" if wide else ""


def _widest_input(node: i.Synapse, graph: Graph) -> int:
    """Bits of what a single input can add to a neuron."""
    low, high = input_bounds(node, graph.nodes[node.inputs[0]].out)
    return bits_of(int(low.min(initial=0)), int(high.max(initial=0)))


def cut_inputs(node: i.Synapse, graph: Graph, most: int, bits: int) -> list[Range]:
    """The inputs of a neuron, flattened [C / groups * kh * kw], as contiguous parts in which no channel has more than `most`
    weights, and no sum more than `bits` bits. Whole source channels where they are small enough: a spike then goes to one
    part."""
    low, high = input_bounds(node, graph.nodes[node.inputs[0]].out)
    used = (node.weight.reshape(len(node.weight), -1) != 0).astype(np.int64)
    taps = int(np.prod(node.weight.shape[2:]))
    each = taps if _fits(used, low, high, taps, most, bits) else 1
    counts, low, high = (_by(each, of) for of in (used, low, high))
    totals = [np.cumsum(np.pad(of, ((0, 0), (1, 0))), axis=1) for of in (counts, low, high)]
    edges = [0]
    while edges[-1] < counts.shape[1]:
        edges.append(_end(edges[-1], totals, most, bits))
    return [(a * each, b * each) for a, b in pairwise(edges)]


def _fits(used: Ints, low: Ints, high: Ints, each: int, most: int, bits: int) -> bool:
    """Whether each `each` inputs together are no more than a part may be."""
    counts, lows, highs = (_by(each, of) for of in (used, low, high))
    return int(counts.max(initial=0)) <= most and bits_of(int(lows.min(initial=0)), int(highs.max(initial=0))) <= bits


def _by(each: int, values: Ints) -> Ints:
    """Sums over each `each` inputs, [O, inputs / each]."""
    return np.asarray(values.reshape(len(values), -1, each).sum(axis=2))


def _end(start: int, totals: list[Ints], most: int, bits: int) -> int:
    """Where a part that begins at `start` ends: as late as it may, one input later at least. All that is summed only grows."""
    counts, low, high = (total[:, start + 1 :] - total[:, start : start + 1] for total in totals)
    signed = int(low.min(initial=0)) < 0
    room = 1 << (bits - signed)
    legal = (counts.max(axis=0) <= most) & (high.max(axis=0) < room) & (-low.min(axis=0) <= room)
    return start + max(1, int(np.argmin(legal)) if not legal.all() else len(legal))
