"""Convolutions and pools of NIR: groups, dilation, windows that are not square, padding by name."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler import general_nodes as g
from pumice.compiler.importing.neurons import Read
from pumice.compiler.importing.nodes import Site, convolution
from pumice.compiler.importing.repairs import note
from pumice.compiler.ir import Change, Shape
from pumice.errors import InputError

Pads = tuple[tuple[int, int], ...]


def read_conv(node: Any, site: Site) -> Read:
    """A Conv1d or Conv2d: the plain `Conv` where that can say it, else a `GeneralConv`."""
    weight, axes = np.asarray(node.weight), 1 if isinstance(node, nir.Conv1d) else 2
    shape, groups = site.shapes[0], int(node.groups)
    bias = _bias(node, weight, site)
    if weight.ndim != axes + 2 or len(shape) != axes + 1:
        raise InputError(f"node {site.name!r}: weight {weight.shape} over {shape}", f"{axes} axes beside the channels")
    if groups < 1 or weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        raise InputError(
            f"node {site.name!r}: weight {weight.shape} in {groups} groups, its input has {shape[0]} channels",
            "export it again",
        )
    stride, dilation = (_numbers(getattr(node, field), axes, field, site) for field in ("stride", "dilation"))
    padding = _padding(node.padding, weight.shape[2:], dilation, stride, site)
    out = _out_shape(site, weight.shape[2:], stride, padding, dilation)
    changes = _declared(node, shape, groups, site)
    if _is_plain(stride, padding, dilation, axes, weight):
        full = weight.reshape(*weight.shape, *(1,) * (2 - axes))
        whole = (stride[0], stride[-1]), (padding[0][0], padding[-1][0])
        return convolution(site, full, bias, *whole, groups), changes
    where = (stride, padding, dilation, groups)
    made = g.GeneralConv(site.name, site.inputs, site.out((weight.shape[0], *out)), site.name, weight, bias, *where)
    return made, changes


def read_pool(node: Any, site: Site) -> g.Pool:
    """A SumPool2d or AvgPool2d."""
    if len(site.shapes[0]) != 3:
        raise InputError(f"node {site.name!r}: pools {site.shapes[0]}", "a pool takes maps [C, H, W]")
    kernel, stride = (_numbers(getattr(node, field), 2, field, site) for field in ("kernel_size", "stride"))
    padding = _numbers(node.padding, 2, "padding", site, least=0)
    if any(2 * p > k for p, k in zip(padding, kernel, strict=True)):
        raise InputError(f"node {site.name!r}: padding {padding} of a window {kernel}", "at most half the window")
    out = _out_shape(site, kernel, stride, tuple((p, p) for p in padding), (1, 1))
    kind = isinstance(node, nir.AvgPool2d)
    sizes = ((kernel[0], kernel[1]), (stride[0], stride[1]), (padding[0], padding[1]))
    return g.Pool(site.name, site.inputs, site.out((site.shapes[0][0], *out)), site.name, *sizes, kind)


def _bias(node: Any, weight: NDArray[Any], site: Site) -> NDArray[Any]:
    bias = np.zeros(weight.shape[:1]) if node.bias is None else np.asarray(node.bias)
    if bias.shape not in ((), (weight.shape[0],)):
        raise InputError(f"node {site.name!r}: bias {bias.shape} for {weight.shape[0]} channels", "one a channel")
    return np.broadcast_to(bias, (weight.shape[0],))


def _numbers(value: Any, axes: int, field: str, site: Site, least: int = 1) -> tuple[int, ...]:
    """A stride, dilation or kernel: one number for all axes, or one for each."""
    flat = np.ravel(value)
    if flat.size not in (1, axes) or np.any(flat != np.rint(flat)) or np.any(flat < least):
        raise InputError(f"node {site.name!r}: {field} {flat.tolist()}", f"{axes} whole numbers from {least}")
    whole = tuple(int(n) for n in flat)
    return whole if len(whole) == axes else whole * axes


def _padding(value: Any, kernel: Shape, dilation: Shape, stride: Shape, site: Site) -> Pads:
    """Zeros before and after each axis. "same" puts the odd one after, as torch does."""
    if not isinstance(value, str | bytes):
        return tuple((n, n) for n in _numbers(value, len(kernel), "padding", site, least=0))
    word = value.decode() if isinstance(value, bytes) else value
    if word == "valid":
        return ((0, 0),) * len(kernel)
    if word == "same":
        if set(stride) != {1}:
            raise InputError(f"node {site.name!r}: padding 'same' with stride {stride}", "'same' needs stride 1")
        total = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
        return tuple((n // 2, n - n // 2) for n in total)
    raise InputError(f"node {site.name!r}: padding {word!r}", "'same', 'valid' or numbers")


def _is_plain(stride: Shape, padding: Pads, dilation: Shape, axes: int, weight: NDArray[Any]) -> bool:
    """Whether `float_nodes.Conv` can say it; over tokens that is a kernel of 1."""
    if set(dilation) != {1} or any(a != b for a, b in padding):
        return False
    return axes == 2 or (weight.shape[2] == 1 and stride == (1,) and padding == ((0, 0),))


def _out_shape(site: Site, kernel: Shape, stride: Shape, padding: Pads, dilation: Shape) -> Shape:
    sizes = zip(site.shapes[0][1:], kernel, stride, padding, dilation, strict=True)
    out = tuple((n + a + b - d * (k - 1) - 1) // s + 1 for n, k, s, (a, b), d in sizes)
    if min(out) < 1:
        raise InputError(
            f"node {site.name!r}: a window {kernel} on {site.shapes[0]}", "the window is larger than the map"
        )
    return out


def _declared(node: Any, shape: Shape, groups: int, site: Site) -> list[Change]:
    """What NIR's own inference of this node's shapes gets wrong: groups, and windows that are not square."""
    changes = []
    if groups > 1:
        changes.append(note(site, f"repaired: {groups} groups, {shape[0]} input channels", repaired=True))
    kernel = np.asarray(node.weight).shape[2:]
    if len(set(kernel)) > 1:
        changes.append(note(site, f"repaired: output shape of a window {kernel}", repaired=True))
    if node.input_shape is not None and tuple(int(n) for n in np.ravel(node.input_shape)) != shape[1:]:
        declared = np.ravel(node.input_shape).tolist()
        changes.append(note(site, f"repaired: input_shape {declared}, its input is {shape}", repaired=True))
    return changes
