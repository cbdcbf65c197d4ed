"""Sum pools: which graded neurons are one, and how the layer after it takes them into its own weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node, Shape


@dataclass(frozen=True)
class SumPool:
    """Sums over windows of each channel of maps `into` [C, H, W]."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    into: Shape


def sum_pool(node: Node, graph: Graph) -> SumPool | None:
    """The pool that a Membrane and its synapse are: weights of 2, a shift by one bit; nothing is rounded or clipped."""
    if not isinstance(node, i.Membrane) or node.gated or node.streams or node.shift != -1 or np.any(node.bias_values):
        return None
    synapse = graph.nodes[node.inputs[0]]
    if not isinstance(synapse, i.Synapse) or synapse.weight.shape[:2] != (synapse.groups, 1):
        return None
    before = graph.nodes[synapse.inputs[0]].out
    kernel = (int(synapse.weight.shape[2]), int(synapse.weight.shape[3]))
    area = kernel[0] * kernel[1]
    whole = node.out.low <= before.low * area and before.high * area <= node.out.high
    if len(before.shape) != 3 or before.shape[0] != synapse.groups or not whole or np.any(synapse.weight != 2):
        return None
    return SumPool(kernel, synapse.stride, synapse.padding, before.shape)


def fold_problem(pool: SumPool, padding: tuple[int, int]) -> str:
    """Why a pool and the layer after it are not one layer, "" where they are: windows that tile the map, none of them over a
    border that the layer pads."""
    if pool.stride != pool.kernel:
        return f"windows of {pool.kernel} every {pool.stride}: only windows that do not overlap go into the next layer"
    if any(pool.padding):
        return f"a padding of {pool.padding}"
    if any(p and n % k for p, n, k in zip(padding, pool.into[1:], pool.kernel, strict=True)):
        return f"windows of {pool.kernel} leave a rest of the {pool.into[1:]} map, and the next layer pads it"
    return ""


def folded_kernel(weight: Ints, pool: SumPool) -> Ints:
    """A kernel over pooled maps as one over the maps before: each weight for all of its window. weight [O, C, kh, kw]."""
    return np.kron(weight, np.ones((1, 1, *pool.kernel), np.int64))


def folded_dense(weight: Ints, pool: SumPool, pooled: Shape) -> Ints:
    """A matrix over flattened pooled maps [O, C·H'·W'] as one over the flattened maps before, [O, C·H·W]; what no window reaches
    has weight 0."""
    spread = folded_kernel(weight.reshape(-1, *pooled), pool)
    rest = [(0, n - m) for n, m in zip(pool.into[1:], spread.shape[2:], strict=True)]
    return np.pad(spread, [(0, 0), (0, 0), *rest]).reshape(weight.shape[0], -1)
