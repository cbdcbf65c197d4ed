"""Operations of the Pumice dialect as nodes of the float IR."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler.dialect import Extension
from pumice.compiler.importing.nodes import Site, check_numbers, convolution, pair
from pumice.compiler.ir import Node, Shape
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.scoring import Criterion


def import_extension(entry: Extension, site: Site) -> Node:
    """The float node of a dialect operation. Raises InputError for an entry that lacks something."""
    check_numbers(entry.arrays, site)
    try:
        return _node(entry, site)
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise InputError(f"node {site.name!r}: {entry.op} entry is incomplete ({error})", "export it again") from error


def _node(entry: Extension, site: Site) -> Node:
    a, shape = entry.attributes, site.shapes[0]
    common = (site.name, site.inputs)
    match entry.op:
        case "BatchNorm":
            gamma, beta, mean, var = (np.asarray(entry.arrays[key]) for key in ("gamma", "beta", "mean", "var"))
            return f.BatchNorm(*common, site.out(), site.name, gamma, beta, mean, var, float(a["eps"]))
        case "SpikeMaxPool" | "MaxPool":
            window = (int(a["kernel"]), int(a["stride"]), int(a["padding"]))
            return f.MaxPool(*common, site.out(_pooled(shape, *window)), site.name, *window)
        case "GroupedConv":
            weight, bias = (np.asarray(entry.arrays[key]) for key in ("weight", "bias"))
            return convolution(site, weight, bias, pair(a["stride"]), pair(a["padding"]), int(a["groups"]))
        case "MultiSpike":
            return f.MultiSpike(*common, site.out(), site.name, int(a["levels"]), int(a["norm"]))
        case "SpikingSelfAttention":
            return f.Attention(*common, site.out(site.shapes[2]), site.name, int(a["heads"]), float(a["scale"]))
        case "Coincidences":
            return f.Coincidences(*common, site.out((shape[0], 1)), site.name)
        case "SpikeGate":
            return f.SpikeGate(*common, site.out(site.shapes[1]), site.name)
        case "Reshape":
            return f.Reshape(*common, site.out(_reshaped(shape, a["shape"])), site.name)
        case "TokenGate":
            return _gate(entry, site)
        case "TokenMean":
            tokens = int(a.get("tokens", shape[1]))
            return f.TokenMean(*common, site.out((shape[0],)), site.name, tokens)
        case "TimeMean":
            return f.TimeMean(*common, site.out(), site.name)
        case _:
            raise UnsupportedNode(f"node {site.name!r}: operation {entry.op!r}", "")


def _pooled(shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    return (shape[0], *((n + 2 * padding - kernel) // stride + 1 for n in shape[1:]))


def _reshaped(shape: Shape, wanted: Any) -> Shape:
    new = tuple(int(n) for n in wanted)
    if np.prod(new) != np.prod(shape):
        raise ValueError(f"{shape} cannot become {new}")
    return new


def _gate(entry: Extension, site: Site) -> f.TokenGate:
    a = entry.attributes
    common = (site.name, site.inputs, site.out(), site.name)
    if "mask_of" in a:
        return f.TokenGate(*common, str(a["mask_of"]))
    selector = _selector(entry) if a["criterion"]["rule"] == "selector" else None
    return f.TokenGate(
        *common,
        mask_of="",
        block=int(a["block"]),
        grid=(int(a["height"]), int(a["width"])),
        retention=float(a["retention"]),
        criterion=None if selector else Criterion(**a["criterion"]),
        state=a["state"],
        neurons=tuple(a["neurons"]),
        selector=selector,
    )


def _selector(entry: Extension) -> f.Selector:
    w1, b1, w2, b2 = (np.asarray(entry.arrays[key], np.float64) for key in ("w1", "b1", "w2", "b2"))
    return f.Selector(w1, b1, w2, b2, int(entry.attributes["kept"]), str(entry.attributes["within"]))
