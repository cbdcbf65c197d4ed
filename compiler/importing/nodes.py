"""Standard NIR nodes as nodes of the float IR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler.dialect import Extension
from pumice.compiler.ir import Node, Shape, TensorType
from pumice.errors import InputError, UnsupportedNode


@dataclass(frozen=True)
class Site:
    """A NIR node in its place: name, inputs by name, and the shapes they carry."""

    name: str
    inputs: tuple[str, ...]
    shapes: tuple[Shape, ...]

    def out(self, shape: Shape | None = None) -> TensorType:
        return TensorType(self.shapes[0] if shape is None else shape)


def is_identity(node: nir.NIRNode) -> bool:
    """Whether a node only adds up what reaches it."""
    return isinstance(node, nir.Scale) and bool(np.all(node.scale == 1))


def import_standard(node: nir.NIRNode, entry: Extension | None, site: Site) -> Node:
    """The float node of a standard NIR node."""
    check_numbers(vars(node), site)
    match node:
        case nir.Input():
            shape = tuple(int(n) for n in next(iter(node.input_type.values())))
            return f.Input(site.name, (), TensorType(shape), site.name)
        case nir.Conv2d() | nir.Conv1d():
            return _import_conv(node, site)
        case nir.Affine() | nir.Linear():
            return _import_linear(node, site)
        case nir.LIF():
            return _import_lif(node, entry, site)
        case nir.Flatten():
            return f.Reshape(site.name, site.inputs, site.out(_flattened(node, site)), site.name)
        case nir.Scale() if is_identity(node):
            return f.Add(site.name, site.inputs, site.out(), site.name)
        case _:
            raise UnsupportedNode(
                f"node {site.name!r}: {type(node).__name__} is not supported",
                "supported: Input, Output, Conv1d (kernel 1), Conv2d, Affine, Linear, LIF, Flatten, Scale(1), dialect operations",
            )


def check_numbers(arrays: Mapping[str, Any], site: Site) -> None:
    """Raises InputError where an array holds NaN, infinity or no numbers."""
    for field, value in arrays.items():
        if not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind not in "fiub" or (value.dtype.kind == "f" and not np.isfinite(value).all()):
            raise InputError(
                f"node {site.name!r}: {field} holds NaN, infinity or no numbers", "train or export the model again"
            )


def _import_conv(node: Any, site: Site) -> Node:
    weight = np.asarray(node.weight)
    one_d = isinstance(node, nir.Conv1d)
    stride, padding, dilation = (pair(v, one_d) for v in (node.stride, node.padding, node.dilation))
    if dilation != (1, 1):
        raise UnsupportedNode(f"node {site.name!r}: dilation {dilation}", "dilation must be 1")
    if one_d and (weight.shape[2] != 1 or stride != (1, 1) or padding != (0, 0)):
        raise UnsupportedNode(
            f"node {site.name!r}: Conv1d with kernel {weight.shape[2]}", "only token-wise Conv1d (kernel 1)"
        )
    weight = weight[..., None] if one_d else weight
    return convolution(site, weight, np.asarray(node.bias), stride, padding, int(node.groups))


def convolution(
    site: Site, weight: Any, bias: Any, stride: tuple[int, int], padding: tuple[int, int], groups: int
) -> f.Conv:
    """A convolution over feature maps or, with kernel 1, tokens. weight [O, C / groups, kh, kw]."""
    shape = site.shapes[0]
    if weight.shape[1] * groups != shape[0] or weight.shape[0] % groups:
        raise InputError(
            f"node {site.name!r}: weight {weight.shape} in {groups} groups, its input has {shape[0]} channels",
            "export it again",
        )
    sizes = zip((*shape[1:], 1), padding, weight.shape[2:], stride, strict=False)
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in sizes][: len(shape) - 1]
    where = (stride, padding, groups)
    return f.Conv(site.name, site.inputs, site.out((weight.shape[0], *out)), site.name, weight, bias, *where)


def pair(value: Any, one_d: bool = False) -> tuple[int, int]:
    """A stride, padding or dilation as two numbers; of a Conv1d the second is that of an axis of length 1."""
    if isinstance(value, str):
        raise UnsupportedNode(f"padding {value!r}", "give the padding as numbers")
    flat = [int(v) for v in np.ravel(value)]
    if one_d:
        return (flat[0], 1 if flat[0] == 1 else 0)
    return (flat[0], flat[-1])


def _import_linear(node: Any, site: Site) -> Node:
    weight = np.asarray(node.weight)
    if site.shapes[0] != (weight.shape[1],):
        raise InputError(
            f"node {site.name!r}: weight takes {weight.shape[1]} values, its input is {site.shapes[0]}", ""
        )
    bias = np.asarray(node.bias) if isinstance(node, nir.Affine) else np.zeros(weight.shape[0], weight.dtype)
    return f.Linear(site.name, site.inputs, site.out((weight.shape[0],)), site.name, weight, bias)


def _import_lif(node: Any, entry: Extension | None, site: Site) -> Node:
    said = entry.attributes if entry else {}
    missing = [key for key in ("dt", "comparator", "reset") if key not in said]
    if missing:
        raise UnsupportedNode(
            f"node {site.name!r}: the file does not say its {', '.join(missing)}",
            "NIR carries no timestep, comparator or reset; export with `pumice export`, which writes them",
        )
    tau, threshold = _uniform(node.tau, "tau", site), _uniform(node.v_threshold, "v_threshold", site)
    for field, wanted in (("r", 1.0), ("v_leak", 0.0), ("v_reset", 0.0)):
        if _uniform(getattr(node, field), field, site) != wanted:
            raise UnsupportedNode(
                f"node {site.name!r}: {field} is not {wanted}", f"Pumice reads LIF with {field} = {wanted}"
            )
    if said["reset"] != "hard" or said["comparator"] not in (">", ">="):
        raise UnsupportedNode(f"node {site.name!r}: reset {said['reset']!r}, comparator {said['comparator']!r}", "")
    return f.Lif(site.name, site.inputs, site.out(), site.name, tau / float(said["dt"]), threshold, said["comparator"])


def _uniform(value: Any, field: str, site: Site) -> float:
    flat = np.unique(np.asarray(value, np.float64))
    if flat.size != 1:
        raise UnsupportedNode(
            f"node {site.name!r}: {field} differs between neurons", "one value per layer is supported"
        )
    return float(flat[0])


def _flattened(node: Any, site: Site) -> Shape:
    shape = site.shapes[0]
    start, end = int(node.start_dim), int(node.end_dim) % len(shape)
    return (*shape[:start], int(np.prod(shape[start : end + 1])), *shape[end + 1 :])
