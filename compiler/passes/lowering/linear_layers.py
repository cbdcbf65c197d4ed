"""Linear layers of NIR as convolutions of the chip's kind, exactly: dilated and padded kernels, matrices, factors."""

from __future__ import annotations

from math import prod

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Node, Shape, TensorType

Floats = g.Floats


def lower_general_conv(node: g.GeneralConv, shape: Shape) -> list[Node]:
    """A convolution over one or two axes. A dilated kernel is a larger one with absent synapses, and so is a kernel that is
    padded more on one side than on the other; over one axis it runs on maps [C, L, 1].
    shape: of the input."""
    weight = np.asarray(node.weight, np.float64)
    for axis, (gap, pads) in enumerate(zip(node.dilation, node.padding, strict=True), start=2):
        weight = evened(dilated(weight, axis, gap), axis, pads)
    padding = tuple(max(pads) for pads in node.padding)
    if len(node.stride) == 2:
        where = (node.stride[0], node.stride[1]), (padding[0], padding[1])
        return [f.Conv(node.name, node.inputs, node.out, node.source, weight, node.bias, *where, node.groups)]
    mapped, made = f"{node.name}.map", f"{node.name}.conv"
    out, kernel = TensorType((*node.out.shape, 1)), weight[..., None]
    where = (node.stride[0], 1), (padding[0], 0)
    return [
        f.Reshape(mapped, node.inputs, TensorType((*shape, 1)), node.source),
        f.Conv(made, (mapped,), out, node.source, kernel, node.bias, *where, node.groups),
        f.Reshape(node.name, (made,), node.out, node.source),
    ]


def dilated(weight: Floats, axis: int, gap: int) -> Floats:
    """A kernel with gap - 1 absent synapses between its own, along one axis."""
    if gap == 1:
        return weight
    shape = list(weight.shape)
    shape[axis] = (shape[axis] - 1) * gap + 1
    out = np.zeros(shape, weight.dtype)
    out[(slice(None),) * axis + (slice(None, None, gap),)] = weight
    return out


def evened(weight: Floats, axis: int, pads: tuple[int, int]) -> Floats:
    """A kernel with absent synapses on the side of less padding, so that both sides can be padded alike."""
    before, after = pads
    extra = [(0, 0)] * weight.ndim
    extra[axis] = (max(after - before, 0), max(before - after, 0))
    return np.pad(weight, extra)


def lower_linear_map(node: g.LinearMap, shape: Shape) -> list[Node]:
    """One matrix for each place along the last axis, as a grouped convolution of single values. shape: of the input."""
    places = prod(shape[:-1])
    weight = np.broadcast_to(node.weight, (*shape[:-1], *np.shape(node.weight)[-2:]))
    outputs, inputs = weight.shape[-2:]
    kernel = weight.reshape(places * outputs, inputs, 1, 1)
    bias = np.broadcast_to(node.bias, (*shape[:-1], outputs)).reshape(-1)
    return _flat(node, kernel, bias, places, places * inputs)


def lower_scale(node: g.Scale) -> list[Node]:
    """Factors: one a channel where all its positions have the same, else one a neuron."""
    scale, shape = np.broadcast_to(node.scale, node.out.shape), node.out.shape
    rows = scale.reshape(shape[0], -1)
    if len(shape) <= 3 and np.all(rows == rows[:, :1]):
        kernel, bias = rows[:, :1, None, None], np.zeros(shape[0])
        return [f.Conv(node.name, node.inputs, node.out, node.source, kernel, bias, groups=shape[0])]
    return _flat(node, scale.reshape(-1, 1, 1, 1), np.zeros(scale.size), scale.size, scale.size)


def _flat(node: Node, kernel: Floats, bias: Floats, groups: int, inputs: int) -> list[Node]:
    """A layer of single values [n, 1], between reshapes."""
    before, made = f"{node.name}.values", f"{node.name}.matrix"
    return [
        f.Reshape(before, node.inputs, TensorType((inputs, 1)), node.source),
        f.Conv(made, (before,), TensorType((len(bias), 1)), node.source, kernel, bias, groups=groups),
        f.Reshape(node.name, (made,), node.out, node.source),
    ]
