"""Operations without a state on torch, each equal to its namesake in `hwsim.arith`. Values are [T, B, C, …]."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.compiler.walk import live_mask as score
from pumice.hwsim.arith import MEMBRANE_SHIFT
from pumice.runtime.torch_backend.neurons import saturate, shifted
from pumice.runtime.torch_backend.values import exact_float, magnitude, over_samples

Operation = Callable[[list[Tensor]], Tensor]


def pool(x: Tensor, kernel: int, stride: int, padding: int) -> Tensor:
    """The largest of each window of x [..., C, H, W], of binary spikes their OR; positions outside never win."""
    rows = _largest(x.movedim(-3, -1), -3, kernel, stride, padding)
    return _largest(rows, -2, kernel, stride, padding).movedim(-1, -3)


def _largest(x: Tensor, axis: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Along one axis, the largest of each window; a window is cut off at the borders."""
    size, shape = x.shape[axis], list(x.shape)
    starts = range(-padding, size + padding - kernel + 1, stride)
    shape[axis] = len(starts)
    out = x.new_full(shape, -np.inf if x.is_floating_point() else torch.iinfo(x.dtype).min)
    for tap in range(kernel):
        inside = [k for k, start in enumerate(starts) if 0 <= start + tap < size]
        if inside:
            first = starts[inside[0]] + tap
            taken = x.narrow(axis, first, size - first).movedim(axis, 0)[::stride].movedim(0, axis)
            part = out.narrow(axis, inside[0], len(inside))
            part.copy_(torch.maximum(part, taken.narrow(axis, 0, len(inside))))
    return out


def token_sum(node: i.TokenSum, graph: Graph) -> Operation:
    """Sums over the last axis, which stays with length 1."""
    tokens = graph.nodes[node.inputs[0]].out.shape[-1]
    dtype = exact_float(magnitude(node.inputs[0], graph) * tokens + (1 << node.shift))
    return lambda inputs: shifted(inputs[0].to(dtype).sum(-1, keepdim=True), -node.shift)


def spike_and(inputs: list[Tensor]) -> Tensor:
    """x where its gate spikes. inputs: gate [..., G, 1 or N], x [..., C, N]."""
    gate, x = inputs
    groups = x.reshape(*x.shape[:-2], gate.shape[-2], -1, x.shape[-1])
    return torch.bitwise_and(groups, gate[..., None, :]).flatten(-3, -2)


def token_gate(inputs: list[Tensor]) -> Tensor:
    """x [T, B, C, N] where its mask [T, B, N] routes a token."""
    return inputs[0] * inputs[1][:, :, None, :]


def added(node: i.Sum | i.Currents, graph: Graph, dtype: torch.dtype) -> Operation:
    """The sum of all inputs, in a type that holds every partial sum."""
    if not dtype.is_floating_point:
        dtype = torch.int32 if sum(magnitude(name, graph) for name in node.inputs) < 1 << 31 else torch.int64
    return lambda inputs: reduce(torch.add, [x.to(dtype) for x in inputs])


def levels(node: i.Levels, graph: Graph, device: torch.device) -> Operation:
    """How many thresholds the current and bias exceed; 0 of a token that is not routed."""
    worst = (magnitude(node.inputs[0], graph) << MEMBRANE_SHIFT) + int(np.abs(node.bias).max(initial=0))
    worst = max(worst, int(np.abs(node.thresholds).max(initial=0)))
    dtype = exact_float(worst)
    bias, thresholds = (
        torch.from_numpy(np.ascontiguousarray(a)).to(device, dtype) for a in (node.bias, node.thresholds)
    )

    def run(inputs: list[Tensor]) -> Tensor:
        u = torch.add(bias, inputs[0].to(dtype), alpha=1 << MEMBRANE_SHIFT)
        rows = u.movedim(2, -1).contiguous()  # as they lie in memory
        sent = torch.searchsorted(thresholds, rows, out_int32=True).movedim(-1, 2)
        return sent * inputs[1][:, :, None, :] if node.gated else sent

    return run


def membrane(node: i.Membrane, graph: Graph, device: torch.device) -> Operation:
    """What a stream of real values becomes; where a token is not routed, only what passes."""
    streams = sum(magnitude(name, graph) for name in node.streams)
    current = magnitude(node.inputs[0], graph) << max(node.shift, 0)
    half = 1 << max(-node.shift, 0)
    bias_most = int(np.abs(node.bias_values).max(initial=0))
    dtype = exact_float(current + half + bias_most + streams)
    bias = torch.from_numpy(np.ascontiguousarray(node.bias)).to(device, dtype)

    def run(inputs: list[Tensor]) -> Tensor:
        out = shifted(inputs[0].to(dtype), node.shift) + bias
        out = out * inputs[-1][:, :, None, :] if node.gated else out
        for stream in inputs[1 : 1 + len(node.streams)]:
            out = out.add_(stream)
        return out.clamp_(node.out.low, node.out.high)

    return run


def readout(node: i.Readout, device: torch.device) -> Operation:
    """Running totals [T, B, K] from currents [T, B, K, N]."""
    offset = torch.from_numpy(np.ascontiguousarray(node.offset)).to(device, torch.float64)

    def run(inputs: list[Tensor]) -> Tensor:
        current, totals = inputs[0].to(torch.float64).sum(-1), []
        total = offset.expand(current.shape[1:])
        for step in current:
            total = saturate(total + step)
            totals.append(total)
        return torch.stack(totals)

    return run


def static_mask(node: i.StaticMask, samples: int, device: torch.device) -> Tensor:
    """The mask [T, B, N] of every sample."""
    mask = torch.from_numpy(np.ascontiguousarray(node.masks, np.uint8)).to(device)
    return mask[:, None].expand(-1, samples, -1)


def live_mask(node: i.LiveMask, x: Tensor) -> Tensor:
    """The mask [T, B, N] scored from x [T, B, C, N], on the CPU: norms, cosines and their order in the one function that every
    executor shares. A GPU adds reals up in another order, and one bit more or less can route another token."""
    counts = x.movedim(2, 1).contiguous().cpu().numpy()  # as they are scored, for a GPU is quicker at it
    return torch.from_numpy(score(node, np.moveaxis(counts, 1, 2)).astype(np.uint8)).to(x.device)


def busy(node: i.Levels | i.Membrane, device: torch.device) -> Callable[[list[Tensor], Tensor], Tensor]:
    """As `walk_neurons.active_neurons`: how many samples found each neuron active, [T, C, …], from inputs and values."""
    biased = torch.from_numpy(np.ascontiguousarray(node.bias != 0)).to(device)
    streams = len(node.streams) if isinstance(node, i.Membrane) else 0

    def run(inputs: list[Tensor], value: Tensor) -> Tensor:
        working = (inputs[0] != 0) | biased
        for stream in inputs[1 : 1 + streams]:
            working |= stream != 0
        if node.gated:
            working &= inputs[-1][:, :, None, :] > 0
        return over_samples((value != 0) | working, 1)

    return run
