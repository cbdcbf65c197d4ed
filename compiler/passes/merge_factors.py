"""merge-factors: a low-rank factor pair (two linear layers with no neuron between) becomes one layer where that is cheaper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler.evaluate import evaluate
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.compiler.options import FactorMode
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True, eq=False)
class MergeFactors:
    """calibration: samples [B, …], for the rate of the inputs. mode: "auto" takes the form with fewer synaptic operations,
    "keep" leaves pairs as they are, "merge" multiplies all of them.

    Spikes are sparse and the value between two factors is not: of rank r, a pair costs rate · nnz(A) + nnz(B) operations a
    token, the product rate · nnz(BA), so that a pair which saves memory may still cost operations.
    """

    name: ClassVar[str] = "merge-factors"
    calibration: NDArray[Any]
    mode: FactorMode = "auto"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        pairs = factor_pairs(graph)
        if not pairs:
            return graph
        values = evaluate(graph, self.calibration, gated=False).values
        changes: list[Change] = []
        nodes: dict[str, Node] = dict(graph.nodes)
        for first, second in pairs:
            merged = product(first, second)
            rate = float((values[first.inputs[0]] != 0).mean())
            costs = pair_costs(first, second, merged, rate)
            merge = self.mode == "merge" or (self.mode == "auto" and costs["merged"] <= costs["pair"])
            changes.append(_change(self.name, first, second, merged, costs, merge))
            if merge:
                del nodes[first.name]
                nodes[second.name] = merged
        return rebuilt(graph, nodes.values(), graph.stage, changes)


def factor_pairs(graph: Graph) -> list[tuple[f.Conv, f.Conv]]:
    """Pairs of token-wise convolutions of which the first is read by the second alone; of a longer chain the first two, the next
    two, and so on, so that no convolution is in two pairs."""
    readers = graph.consumers()
    pairs: list[tuple[f.Conv, f.Conv]] = []
    taken: set[str] = set()
    for node in graph.nodes.values():
        after = readers[node.name]
        if len(after) == 1 and node.name not in taken and _token_wise(node) and _token_wise(after[0]):
            first, second = node, after[0]
            assert isinstance(first, f.Conv)
            assert isinstance(second, f.Conv)
            pairs.append((first, second))
            taken.add(second.name)
    return pairs


def _token_wise(node: Node) -> bool:
    if not isinstance(node, f.Conv) or node.groups != 1:
        return False
    return node.weight.shape[2:] == (1, 1) and node.stride == (1, 1) and node.padding == (0, 0)


def product(first: f.Conv, second: f.Conv) -> f.Conv:
    """The one convolution that computes both."""
    a, b = (np.asarray(conv.weight, np.float64)[:, :, 0, 0] for conv in (first, second))
    bias = b @ np.asarray(first.bias, np.float64) + second.bias
    return replace(second, inputs=first.inputs, weight=(b @ a)[:, :, None, None], bias=bias)


def pair_costs(first: f.Conv, second: f.Conv, merged: f.Conv, rate: float) -> dict[str, float]:
    """Expected synaptic operations a token and step of either form. rate: share of inputs that are not 0."""
    a, b, ba = (int(np.count_nonzero(conv.weight)) for conv in (first, second, merged))
    return {"pair": rate * a + b, "merged": rate * ba}


def _change(by: str, first: f.Conv, second: f.Conv, merged: f.Conv, costs: Mapping[str, float], merge: bool) -> Change:
    sizes = [int(np.count_nonzero(conv.weight)) for conv in (first, second, merged)]
    verb = "multiplied into one layer" if merge else "kept as two layers"
    text = (
        f"{second.name}: low-rank pair of rank {first.weight.shape[0]} {verb}: "
        f"{costs['pair']:,.0f} operations a token as a pair, {costs['merged']:,.0f} as one; "
        f"{sizes[0] + sizes[1]:,} weights as a pair, {sizes[2]:,} as one"
    )
    data = {"merged": merge, "first": first.source, "weights_pair": sizes[0] + sizes[1], "weights_merged": sizes[2]}
    return Change(by, second.name, text, data | {f"operations_{key}": value for key, value in costs.items()})
