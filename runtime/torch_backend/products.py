"""Products of spikes and counts on torch, the halves of attention, exact: `arith.spike_matmul`."""

from __future__ import annotations

import torch
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.runtime.torch_backend.values import exact_float, magnitude


def head_operands(node: i.SpikeMatmul, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """`arith.head_operands`: views [T, B, h, M, K] and [T, B, h, K, N]."""
    a, b = (x.reshape(*x.shape[:-2], node.heads, -1, x.shape[-1]) for x in (a, b))
    match node.pattern:
        case "scores":
            return a.mT, b
        case "scores-values":
            return b, a.mT
        case "keys-values":
            return a, b.mT
        case "queries-context":
            return b.mT, a


def spike_matmul(node: i.SpikeMatmul, graph: Graph, inputs: list[Tensor]) -> Tensor:
    """Sums of products, shifted left, saturating at what the node's type holds."""
    worst = largest_sum(node, graph)
    most = node.out.high
    saturates = most < worst << node.shift
    left, right = head_operands(node, *inputs)
    out = product(left, right, exact_float(max(worst, most + 1 if saturates else 0))) * (1 << node.shift)
    out = out.clamp_(max=most) if saturates else out
    return out.flatten(-3, -2)


def largest_sum(node: i.SpikeMatmul, graph: Graph) -> int:
    """The largest sum, not shifted, that the operands' ranges allow."""
    return max(i.largest_sum(node, *(graph.nodes[name].out for name in node.inputs)), 1)


def product(left: Tensor, right: Tensor, dtype: torch.dtype) -> Tensor:
    """left [..., M, K] times right [..., K, N] in a float type that is exact for every partial sum."""
    left, right = left.to(dtype), right.to(dtype)
    if left.shape[-2] == 1 and right.shape[-1] == 1:  # a dot product for each channel: too small for matrices
        return (left * right.mT).sum(-1, keepdim=True)
    return torch.matmul(left, right)


def summed_product(left: Tensor, right: Tensor, worst: int) -> Tensor:
    """The products of left [T, B, h, M, K] and right [T, B, h, K, N], added up over samples: [T, h * M, N], whole numbers.
    worst: the largest of any sample's sums."""
    dtype = exact_float(worst * left.shape[1])
    if left.shape[-2] == 1 and right.shape[-1] == 1:
        return product(left, right, dtype).sum(1).flatten(1, 2)
    rows = left.to(dtype).permute(0, 2, 3, 1, 4).flatten(-2)  # [T, h, M, B * K]
    columns = right.to(dtype).permute(0, 2, 1, 3, 4).flatten(2, 3)
    return torch.matmul(rows, columns).flatten(1, 2)


def of_spikes(node: i.SpikeMatmul, graph: Graph) -> bool:
    """Whether both operands are spikes, so that a product is a coincidence."""
    return all(magnitude(name, graph) <= 1 for name in node.inputs)
