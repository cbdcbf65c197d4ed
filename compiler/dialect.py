"""The Pumice dialect of NIR: how a standard `.nir` file carries what NIR 1.0 lacks.

An operation without a NIR primitive (BatchNorm, attention, token gate, …) is written as a nested `NIRGraph` whose body
is two disconnected `Delay(NaN)` self-loops: an unmodified `nir.read` loads it, and every consumer that does not know the
dialect fails at import instead of computing something else. What the operation is stands in the metadata:

    pumice      dialect version, a string
    op          the operation's name, one of OPS
    attributes  a JSON object with the operation's scalar attributes
    operands    a JSON list of source node names, for operations whose inputs are not interchangeable (NIR edges are
                not positional)
    <name>      one entry per array attribute

Standard nodes carry, in the same way, what NIR leaves open about them: a LIF's `dt`, `comparator` and `reset`. The root
graph's `input` node carries the model's own facts (timesteps, encoding, family, configuration).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.errors import UnsupportedNode

DIALECT_VERSION = "1"

OPS = (
    "BatchNorm",  # arrays gamma, beta, mean, var [C]; attribute eps
    "SpikeMaxPool",  # attributes kernel, stride, padding; body is its exact lowering in standard nodes
    "MaxPool",  # of currents; attributes kernel, stride, padding
    # nir 1.0.8 refuses a Conv2d with groups
    "GroupedConv",  # arrays weight [O, C / groups, kh, kw], bias; attributes stride, padding, groups
    "MultiSpike",  # attributes levels, norm: round half to even of the input, clamped to 0 … levels, over norm
    "SpikingSelfAttention",  # operands q, k, v; attributes heads, scale
    "Coincidences",  # operands k, v: their products summed over tokens, [C, N] -> [C, 1]
    "SpikeGate",  # operands gate, x: x where the gate of its channels (and token) spikes
    "Operand",  # passes x on to an operation whose operands differ in shape, under the shape of that operation's first operand:
    # NIR wants all inputs of a node to be of one type
    "Reshape",  # the same values, row by row, in the shape of attribute shape
    "TokenGate",  # drops the tokens that a block's routing mask does not keep; attributes: see float_nodes.TokenGate
    "TokenMean",  # mean over tokens, [C, N] -> [C]; attribute tokens: how many of them count, where masks drop the others
    "TimeMean",  # mean over the sample's timesteps, [K] -> [K]
)

Attributes = Mapping[str, Any]
Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Extension:
    """What a dialect entry says, read back: `op` is "" on a standard node that only carries attributes."""

    op: str
    attributes: dict[str, Any] = field(default_factory=dict)
    operands: tuple[str, ...] = ()
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def annotation(
    attributes: Attributes, op: str = "", operands: Sequence[str] = (), arrays: Arrays | None = None
) -> dict[str, Any]:
    """Metadata for a node. Everything scalar goes through JSON, because NIR's HDF5 loses None, lists and scalar types."""
    entry: dict[str, Any] = {
        "pumice": DIALECT_VERSION,
        "op": op,
        "attributes": json.dumps(dict(attributes), sort_keys=True),
    }
    if operands:
        entry["operands"] = json.dumps(list(operands))
    return entry | {name: np.asarray(array) for name, array in (arrays or {}).items()}


def extension(
    op: str,
    x_shape: Sequence[int],
    y_shape: Sequence[int],
    attributes: Attributes,
    operands: Sequence[str] = (),
    arrays: Arrays | None = None,
    body: nir.NIRGraph | None = None,
) -> nir.NIRGraph:
    """A node for an operation that NIR lacks.

    `x_shape`, `y_shape`: shapes without time and batch, e.g. `[C, N]`. `body` is the operation's exact lowering to
    standard nodes where one exists; without it the body is one that unaware consumers refuse.
    """
    if op not in OPS:
        raise UnsupportedNode(f"operation {op!r} is not in the Pumice dialect", f"known operations: {', '.join(OPS)}")
    metadata = annotation(attributes, op, operands, arrays)
    if body is not None:
        return nir.NIRGraph(body.nodes, body.edges, metadata=metadata)
    return nir.NIRGraph(
        {
            "i": nir.Input(np.array(x_shape)),
            "a": nir.Delay(np.full(tuple(x_shape), np.nan, np.float16)),
            "b": nir.Delay(np.full(tuple(y_shape), np.nan, np.float16)),
            "o": nir.Output(np.array(y_shape)),
        },
        [("i", "a"), ("a", "a"), ("b", "b"), ("b", "o")],
        metadata=metadata,
    )


def read_extension(node: nir.NIRNode, name: str) -> Extension | None:
    """The dialect entry of `node`, or None on a node without one. Raises UnsupportedNode on another version or op."""
    metadata = dict(getattr(node, "metadata", None) or {})
    if "pumice" not in metadata:
        return None
    version, op = _text(metadata.pop("pumice")), _text(metadata.pop("op", ""))
    if version != DIALECT_VERSION:
        raise UnsupportedNode(
            f"node {name!r} is in version {version!r} of the Pumice dialect; this Pumice reads {DIALECT_VERSION!r}",
            "export the model again with this version, or install the Pumice that wrote it",
        )
    if op and op not in OPS:
        raise UnsupportedNode(f"node {name!r} is the unknown operation {op!r}", f"known operations: {', '.join(OPS)}")
    try:
        attributes = json.loads(_text(metadata.pop("attributes", "{}")))
        operands = tuple(json.loads(_text(metadata.pop("operands", "[]"))))
    except json.JSONDecodeError as error:
        raise UnsupportedNode(
            f"node {name!r} has a damaged dialect entry: {error}", "export the model again"
        ) from error
    return Extension(op, attributes, operands, {key: np.asarray(value) for key, value in metadata.items()})


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
