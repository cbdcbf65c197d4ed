"""Reads a NIR file that NIR's own type check refuses.

`nir.read` checks nested graphs even with `type_check=False`, wants all parameters of a neuron in one shape, and gets the shapes
of grouped and of oblong convolutions wrong. Here the nodes are put together without any of that; the importer checks them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nir
import numpy as np

from pumice.compiler.ir import Change
from pumice.errors import InputError

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")


def build_graph(data: Mapping[str, Any], path: Path) -> tuple[nir.NIRGraph, tuple[Change, ...]]:
    """The graph from a file's contents as nested dictionaries, and what was mended. Raises InputError naming the node that
    lacks something."""
    changes: list[Change] = []
    graph = _build(data, "", path, changes)
    return graph, tuple(changes)


def _build(data: Mapping[str, Any], name: str, path: Path, changes: list[Change]) -> Any:
    try:
        if data["type"] == "NIRGraph":
            nodes = {
                key: _build(value, f"{name}.{key}" if name else key, path, changes)
                for key, value in data["nodes"].items()
            }
            edges = [(_text(a), _text(b)) for a, b in data["edges"]]
            return nir.NIRGraph(nodes, edges, metadata=dict(data.get("metadata", {})), type_check=False)
        fields = dict(data)
        if data["type"] in NEURONS:
            fields = _one_shape(fields, name, changes)
        return nir.dict2NIRNode(fields)
    except InputError:
        raise
    except Exception as error:  # whatever NIR's classes make of missing, extra or misshapen fields
        text = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: node {name!r}: {text}", "export it again") from error


def _one_shape(fields: dict[str, Any], name: str, changes: list[Change]) -> dict[str, Any]:
    """A neuron's parameters, broadcast to the largest of them."""
    arrays = {k: np.asarray(v) for k, v in fields.items() if k not in ("type", "metadata")}
    if len({a.shape for a in arrays.values()}) > 1:
        shape = np.broadcast_shapes(*(a.shape for a in arrays.values()))
        mended = [k for k, a in arrays.items() if a.shape != shape]
        text = f"{name}: repaired: {', '.join(mended)} taken for all of {shape}"
        changes.append(Change("import-nir", name, text, {"repaired": True}))
        arrays = {k: np.broadcast_to(a, shape) for k, a in arrays.items()}
    return fields | arrays


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
