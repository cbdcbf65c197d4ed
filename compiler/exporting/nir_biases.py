"""Which synapses carry the biases of a program's neurons into a NIR file: NIR's neurons have none, its layers have."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.neurons import refusal
from pumice.compiler.exporting.nir_nodes import Floats
from pumice.compiler.ir import Graph, Node

HINT = "what NIR can say: a bias for each channel of a layer, the same for all that the layer feeds"


def synapse_biases(graph: Graph, wanted: Mapping[str, Floats]) -> dict[str, Floats]:
    """For each synapse that feeds neurons, its bias [C] in current units. wanted: for each layer of neurons, what reaches it in
    every step, in its NIR shape. Raises UnsupportedNode where no synapse of a layer's can carry it."""
    rows = {name: _rows(graph.nodes[name], bias) for name, bias in wanted.items()}
    fed = {part: _fed(part, graph, wanted) for name in wanted for part in _parts(graph.nodes[name], graph)}
    carried = {part: np.zeros_like(rows[found[0]]) for part, found in fed.items()}
    for name, bias in rows.items():
        if np.any(bias):
            carried[_carrier(graph.nodes[name], graph, fed, rows)] = bias
    for name, bias in rows.items():
        parts = _parts(graph.nodes[name], graph)
        if not np.array_equal(sum(carried[part] for part in parts), bias):
            raise refusal(graph.nodes[parts[0]], "feeds neurons of different biases", HINT)
    return carried


def _parts(node: Node, graph: Graph) -> tuple[str, ...]:
    """The synapses whose currents a layer of neurons adds up."""
    current = graph.nodes[node.inputs[0]]
    return current.inputs if isinstance(current, i.Currents) else (current.name,)


def _fed(part: str, graph: Graph, among: Collection[str]) -> list[str]:
    """The neurons that a synapse feeds."""
    return [name for name in among if part in _parts(graph.nodes[name], graph)]


def _carrier(node: Node, graph: Graph, fed: Mapping[str, list[str]], rows: Mapping[str, Floats]) -> str:
    """The first synapse of `node` all of whose neurons have its bias."""
    parts = _parts(node, graph)
    for part in parts:
        if all(np.array_equal(rows[other], rows[node.name]) for other in fed[part]):
            return part
    raise refusal(graph.nodes[parts[0]], "feeds neurons of different biases", HINT)


def _rows(node: Node, bias: Floats) -> Floats:
    """One bias a channel [C]."""
    rows = bias.reshape(bias.shape[0], -1)
    if np.any(rows != rows[:, :1]):
        raise refusal(node, "its bias differs between the neurons of a channel", HINT)
    return np.asarray(rows[:, 0])
