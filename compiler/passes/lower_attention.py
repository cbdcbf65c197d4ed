"""lower-attention: (q kᵀ) v or q (kᵀ v), whichever costs less for the tokens really kept, as two matrix products of counts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Graph, Node, TensorType, rebuilt
from pumice.compiler.options import AttentionOrder
from pumice.compiler.passes.materialize_token_masks import kept_tokens
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class LowerAttention:
    """order: "scores", "context", or "auto" for the order with fewer dense operations. Both give the same integers."""

    name: ClassVar[str] = "lower-attention"
    order: AttentionOrder = "auto"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        nodes: list[Node] = []
        changes: list[Change] = []
        for node in graph.nodes.values():
            if not isinstance(node, i.IntAttention):
                nodes.append(node)
                continue
            costs = attention_costs(node, graph.nodes[node.inputs[0]].out.shape[0], routed_tokens(node, graph))
            order = min(costs, key=lambda key: costs[key]) if self.order == "auto" else self.order
            nodes += _scores_first(node, graph) if order == "scores" else _context_first(node, graph)
            other = sum(costs.values()) - costs[order]
            text = (
                f"{node.name}: {_FORMULA[order]}, {costs[order]:,} dense operations a step (the other order {other:,})"
            )
            changes.append(
                Change(self.name, node.name, text, {"order": order} | {f"cost_{k}": v for k, v in costs.items()})
            )
        return rebuilt(graph, nodes, "lowered", changes)


_FORMULA = {"scores": "(q kᵀ) v", "context": "q (kᵀ v)"}


def attention_costs(node: i.IntAttention, channels: int, tokens: int) -> dict[str, int]:
    """Dense multiply-accumulates of both orders per timestep, with C channels of q and k and E of v: n² (C + E) and
    2 n C E / heads."""
    wide = node.out.shape[0]
    return {"scores": tokens * tokens * (channels + wide), "context": 2 * tokens * channels * wide // node.heads}


def routed_tokens(node: i.IntAttention, graph: Graph) -> int:
    """Tokens that reach an attention per step: what the mask of its queries keeps, or all of them."""
    queries = graph.nodes[node.inputs[0]]
    mask = graph.nodes[queries.inputs[1]] if len(queries.inputs) > 1 else None
    if isinstance(mask, i.StaticMask):
        return int(mask.masks.sum(axis=1).max())
    if isinstance(mask, i.LiveMask):
        return kept_tokens(mask)
    return node.out.shape[1]


def _scores_first(node: i.IntAttention, graph: Graph) -> list[Node]:
    q, k, v = node.inputs
    channels, tokens = graph.nodes[q].out.shape
    largest = channels // node.heads * graph.nodes[q].out.high * graph.nodes[k].out.high
    scores = TensorType((node.heads * tokens, tokens), "graded", 0, largest)
    first = i.SpikeMatmul(f"{node.name}.scores", (q, k), scores, node.source, "scores", node.heads, 0)
    second = i.SpikeMatmul(node.name, (first.name, v), node.out, node.source, "scores-values", node.heads, node.shift)
    return [first, second]


def _context_first(node: i.IntAttention, graph: Graph) -> list[Node]:
    q, k, v = node.inputs
    channels, tokens = graph.nodes[k].out.shape
    largest = tokens * graph.nodes[k].out.high * graph.nodes[v].out.high
    context = TensorType((channels, node.out.shape[0] // node.heads), "graded", 0, largest)
    first = i.SpikeMatmul(f"{node.name}.context", (k, v), context, node.source, "keys-values", node.heads, 0)
    second = i.SpikeMatmul(node.name, (q, first.name), node.out, node.source, "queries-context", node.heads, node.shift)
    return [first, second]
