"""What each node of the float IR does with tensors: over all timesteps [T, B, …], or one step [B, …] at a time."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.evaluate import apply
from pumice.compiler.ir import Node
from pumice.errors import RunError
from pumice.runtime.float_neurons import DelayLine, LifCell, NeuronCell, look_back


class Steps:
    """One node at work. A stateful node keeps its state from `step` to `step`; the others keep nothing."""

    def __init__(self, node: Node) -> None:
        if isinstance(node, g.Unknown):
            raise RunError(f"node {node.source!r}: {node.problem}", "mend the file")
        self.node = node
        self.cell = _cell(node)

    def step(self, inputs: list[Tensor]) -> Tensor:
        """The node's next timestep. inputs: [B, …]."""
        if self.cell is not None:
            return self.cell.step(inputs[0])
        if isinstance(self.node, f.TimeMean):
            raise RunError(f"node {self.node.source!r}: a mean over time on a cycle", "take it after the cycle")
        return self._stateless([x[None] for x in inputs])[0]

    def over_time(self, inputs: list[Tensor]) -> Tensor:
        """All timesteps. inputs: [T, B, …]."""
        if self.cell is None:
            return self._stateless(inputs)
        return torch.stack([self.cell.step(x) for x in inputs[0]])

    def past(self, values: Tensor, t: int) -> Tensor:
        """What a feedback gives at step t: `values` [T, B, …] of earlier steps."""
        if not isinstance(self.node, g.Feedback):
            raise TypeError(f"{type(self.node).__name__} reads no past")
        return look_back(values, t, self.node.steps)

    def _stateless(self, inputs: list[Tensor]) -> Tensor:
        lead = inputs[0].shape[:2]
        out = compute(self.node, [x.flatten(0, 1) for x in inputs])
        if out is not None:
            return out.reshape(*lead, *out.shape[1:])
        values = apply(
            self.node, [x.numpy() for x in inputs], {}
        )  # operations of the dialect: the compiler's own meaning
        return torch.from_numpy(np.ascontiguousarray(values))


def _cell(node: Node) -> LifCell | NeuronCell | DelayLine | None:
    match node:
        case f.Lif():
            return LifCell(node)
        case g.Neuron():
            return NeuronCell(node)
        case g.Delay():
            return DelayLine(node.steps)
        case _:
            return None


def compute(node: Node, inputs: list[Tensor]) -> Tensor | None:
    """A stateless node on samples [N, …], or None for an operation that torch has no word for."""
    x = inputs[0]
    match node:
        case f.Add():
            return torch.stack(inputs).sum(0)
        case f.Reshape():
            return x.reshape(-1, *node.out.shape)
        case f.Linear():
            return functional.linear(x, tensor(node.weight), tensor(node.bias))
        case f.Conv():
            return _conv(node, x)
        case g.GeneralConv():
            return _general_conv(node, x)
        case g.LinearMap():
            return torch.matmul(tensor(node.weight), x[..., None])[..., 0] + tensor(node.bias)
        case g.Scale():
            return x * tensor(node.scale)
        case g.Threshold():
            return beyond(x, tensor(node.threshold), node.comparator)
        case g.Pool():
            total = functional.avg_pool2d(x, node.kernel, node.stride, node.padding, divisor_override=1)
            return total / (node.kernel[0] * node.kernel[1]) if node.mean else total
        case _:
            return None


def tensor(array: NDArray[np.floating]) -> Tensor:  # type: ignore[type-arg]
    """A parameter, in float64."""
    return torch.tensor(np.ascontiguousarray(array, np.float64))  # torch takes no view that runs backwards


def beyond(v: Tensor, threshold: Tensor, comparator: str) -> Tensor:
    """1 where v is beyond the threshold, else 0."""
    return (v >= threshold if comparator == ">=" else v > threshold).double()


def _conv(node: f.Conv, x: Tensor) -> Tensor:
    tokens = x.ndim == 3
    x = x[..., None] if tokens else x
    out = functional.conv2d(x, tensor(node.weight), tensor(node.bias), node.stride, node.padding, groups=node.groups)
    return out[..., 0] if tokens else out


def _general_conv(node: g.GeneralConv, x: Tensor) -> Tensor:
    run = functional.conv1d if len(node.stride) == 1 else functional.conv2d
    pads = [n for pair in reversed(node.padding) for n in pair]  # torch pads the last axis first
    weight, bias = tensor(node.weight), tensor(node.bias)
    return run(functional.pad(x, pads), weight, bias, node.stride, 0, node.dilation, node.groups)
