"""Neurons in the shape in which their currents come: a reshape between the two moves behind the neurons, where it is free."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Graph, Node, Shape, TensorType, sole
from pumice.compiler.passes.lowering.rewriting import Nodes, redirected

Readers = Mapping[str, list[Node]]


def sink_below_neurons(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """Neurons that read a reshaped current."""
    if not isinstance(node, f.Lif | g.Neuron):
        return None
    shape = _reshaped_current(node.inputs[0], graph, readers)
    if shape is None:
        return None
    before = graph.nodes[node.inputs[0]].inputs
    inner = replace(in_shape(node, shape), inputs=before)
    return _with_reshape(node, inner, readers)


def sink_below_sums(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """Sums of reshaped currents of one shape; what else they add is reshaped to it."""
    if not isinstance(node, f.Add):
        return None
    shapes = {name: _reshaped_current(name, graph, readers) for name in node.inputs}
    found = {shape for shape in shapes.values() if shape is not None}
    direct = [name for name in node.inputs if isinstance(graph.nodes[name], f.Conv)]
    if len(found) != 1 or direct:
        return None
    (shape,) = found
    made: Nodes = {}
    inputs: list[str] = []
    for name in node.inputs:
        if shapes[name] is not None:
            inputs += graph.nodes[name].inputs
            continue
        moved = f.Reshape(f"{node.name}.of.{name}", (name,), TensorType(shape), node.source)
        made[moved.name] = moved
        inputs.append(moved.name)
    inner = replace(node, inputs=tuple(inputs), out=TensorType(shape))
    return made | _with_reshape(node, inner, readers)


def in_shape(node: f.Lif | g.Neuron, shape: Shape) -> f.Lif | g.Neuron:
    """The same neurons, in the same order, as a layer of another shape."""
    out = TensorType(shape)
    if isinstance(node, f.Lif):
        return replace(node, out=out)
    parts = {name: getattr(node, name) for name in ("membrane", "current", "firing")}
    moved: dict[str, Any] = {name: _reshaped(part, shape) for name, part in parts.items()}
    return replace(node, out=out, **moved)


def _reshaped(part: Any, shape: Shape) -> Any:
    if part is None:
        return None
    arrays = {x.name: getattr(part, x.name) for x in fields(part)}
    return replace(part, **{k: np.reshape(v, shape) for k, v in arrays.items() if isinstance(v, np.ndarray)})


def _reshaped_current(name: str, graph: Graph, readers: Readers) -> Shape | None:
    """The shape of the current behind a reshape that nothing else reads; None where there is none."""
    node = graph.nodes[name]
    if not isinstance(node, f.Reshape) or sole(name, readers) is None:
        return None
    before = graph.nodes[node.inputs[0]]
    return before.out.shape if isinstance(before, f.Conv | f.Add) and sole(before.name, readers) else None


def _with_reshape(node: Node, inner: Node, readers: Readers) -> Nodes:
    """`inner` under the name of `node`, and for all who read that, its values in the shape that they know."""
    shaped = f.Reshape(f"{node.name}.shaped", (node.name,), node.out, node.source)
    moved = {reader.name: redirected(reader, node.name, shaped.name) for reader in readers[node.name]}
    return {inner.name: inner, shaped.name: shaped, **moved}
