"""How integers are held on the device: streams in the narrowest integer type, currents in a float type that is exact for them.

Values are [T, B, C, …] for whoever reads them, and lie in memory with the channels last: a synapse's inputs are then the rows of
a matrix, and whatever works element by element keeps that order.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.hwsim.arith import exact_dtype

NARROW = (torch.uint8, torch.int8, torch.int16, torch.int32)


def exact_float(bound: int) -> torch.dtype:
    """As `arith.exact_dtype`: the fastest float type that is exact for sums below `bound`."""
    return torch.float32 if exact_dtype(bound) is np.float32 else torch.float64


def held(node: Node, graph: Graph) -> torch.dtype:
    """The type that a node's values are held in."""
    low, high = span(node.name, graph)
    if node.out.dtype == "current" or isinstance(node, i.Readout):
        return exact_float(max(-low, high) + 1)
    fitting = [kind for kind in NARROW if torch.iinfo(kind).min <= low and high <= torch.iinfo(kind).max]
    return fitting[0] if fitting else torch.int64


def span(name: str, graph: Graph) -> tuple[int, int]:
    """The range of a node's values, 0 included: what the weights or the addends can make of the inputs' ranges, and else what is
    declared."""
    node = graph.nodes[name]
    match node:
        case i.Synapse():
            worst = worst_sum(node, graph)
            return -worst, worst
        case i.Sum() | i.Currents():
            lows, highs = zip(*(span(part, graph) for part in node.inputs), strict=True)
            return sum(lows), sum(highs)
        case i.Delay() | i.Reshape() | i.OneToOne() | i.TokenGate() | i.MaxPool():
            return span(node.inputs[0], graph)
        case _:
            return min(node.out.low, 0), max(node.out.high, 0)


def magnitude(name: str, graph: Graph) -> int:
    """The largest absolute value that a node can have."""
    low, high = span(name, graph)
    return max(-low, high)


def worst_sum(node: i.Synapse, graph: Graph) -> int:
    """The largest sum of |weight| |input| over any part of a neuron's synapses."""
    rows = np.abs(node.weight).reshape(len(node.weight), -1).sum(axis=1)
    return max(int(rows.max(initial=0)), 1) * max(magnitude(node.inputs[0], graph), 1)


def new_values(lead: Sequence[int], shape: Sequence[int], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Room for values [*lead, C, …] with the channels last in memory."""
    return torch.empty((*lead, *shape[1:], shape[0]), dtype=dtype, device=device).movedim(-1, len(lead))


def to_device(array: NDArray[Any], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Integers of numpy on the device. An axis that repeats one value, as time does for a static sample, is sent once."""
    once = array[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in array.strides)]
    narrow = torch.tensor([], dtype=dtype).numpy().dtype
    return torch.from_numpy(np.ascontiguousarray(once, narrow)).to(device).expand(array.shape)


def over_samples(x: Tensor, axis: int, most: int = 1) -> Tensor:
    """The sum of x along its axis of samples, in int32 where |x| <= most allows: that is three times as fast on a CPU."""
    return x.sum(axis, dtype=torch.int32 if most * x.shape[axis] < 1 << 31 else torch.int64)


def repeats(x: Tensor) -> bool:
    """Whether all timesteps of x [T, …] are one and the same in memory."""
    return x.shape[0] > 1 and x.stride(0) == 0
