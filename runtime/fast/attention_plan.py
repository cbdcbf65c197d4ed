"""Which products of attention are computed in another order, or with the neurons that read them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, sole

BYTE = 127  # the most that a count may be to be a weight
CHUNK = 16  # lanes that neurons are computed by


@dataclass(frozen=True)
class Attention:
    """Both products of attention, which the neurons that read the last one may compute: by the names of what they read, and their
    own. shift: of the last one's sums."""

    query: str
    key: str
    value: str
    first: str
    last: str
    heads: int
    shift: int


def attention_of(neurons: Node, graph: Graph, readers: Mapping[str, list[Node]]) -> Attention | None:
    """What neurons may compute as q (kᵀ v); None where they read something else, or sums can saturate."""
    last = graph.nodes[neurons.inputs[0]]
    if not isinstance(last, i.SpikeMatmul) or sole(last.name, readers) is not neurons:
        return None
    if turnable(last, graph, readers):
        first, value = last.inputs
        query, key = graph.nodes[first].inputs
    elif last.pattern == "queries-context" and _exact(graph.nodes[last.inputs[1]], graph, readers):
        query, first = last.inputs
        key, value = graph.nodes[first].inputs
    else:
        return None
    tokens, bound = neurons.out.shape[1], i.largest_sum(last, *(graph.nodes[name].out for name in last.inputs))
    fits = tokens <= BYTE and tokens % CHUNK == 0 and bound << last.shift <= last.out.high
    names = (query, key, value, first, last.name)
    return Attention(*names, last.heads, last.shift) if fits and _spikes(graph.nodes[query]) else None


def turnable(node: Node, graph: Graph, readers: Mapping[str, list[Node]]) -> bool:
    """Whether a product of scores and values is the same integers, and fewer operations, as queries times context: the scores
    are of spikes, exact, and nobody else reads them."""
    if not isinstance(node, i.SpikeMatmul) or node.pattern != "scores-values":
        return False
    scores, values = (graph.nodes[name] for name in node.inputs)
    if not _exact(scores, graph, readers) or not _spikes(values):
        return False
    query = graph.nodes[scores.inputs[0]].out
    tokens, inner, width = query.shape[1], query.shape[0] // node.heads, values.out.shape[0] // node.heads
    return tokens <= BYTE and inner * width <= 2 * tokens * tokens


def _exact(product: Node, graph: Graph, readers: Mapping[str, list[Node]]) -> bool:
    """Whether a node is a product of spikes, not shifted, that cannot saturate and has one reader."""
    if not isinstance(product, i.SpikeMatmul) or product.shift or sole(product.name, readers) is None:
        return False
    operands = [graph.nodes[name] for name in product.inputs]
    bound = i.largest_sum(product, *(node.out for node in operands))
    return all(map(_spikes, operands)) and bound <= product.out.high


def _spikes(node: Node) -> bool:
    return (node.out.low, node.out.high) == (0, 1)
