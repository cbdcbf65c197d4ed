"""fold-batchnorm: every BatchNorm disappears into the convolution before it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler.ir import Change, Graph, Node, rebuilt
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class FoldBatchNorm:
    """w' = w * g, b' = (b - mean) * g + beta, with g = gamma / sqrt(var + eps), in float64."""

    name: ClassVar[str] = "fold-batchnorm"

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        readers = graph.consumers()
        renamed: dict[str, str] = {}
        nodes: dict[str, Node] = {}
        changes: list[Change] = []
        for node in graph.nodes.values():
            node = replace(node, inputs=tuple(renamed.get(i, i) for i in node.inputs))
            if not isinstance(node, f.BatchNorm):
                nodes[node.name] = node
                continue
            conv = _conv_before(node, nodes, len(readers[graph.nodes[node.name].inputs[0]]))
            nodes[conv.name] = _folded(conv, node)
            renamed[node.name] = conv.name
            changes.append(
                Change(self.name, conv.name, f"folded {node.name} into {conv.name}", {"batchnorm": node.name})
            )
        return rebuilt(graph, nodes.values(), "folded", changes, renamed.get(graph.output, graph.output))


def _conv_before(norm: f.BatchNorm, nodes: dict[str, Node], readers: int) -> f.Conv:
    conv = nodes[norm.inputs[0]]
    if not isinstance(conv, f.Conv) or readers != 1:
        raise UnsupportedNode(
            f"node {norm.source!r}: BatchNorm after {type(conv).__name__} {conv.name!r}",
            "BatchNorm folds only into a convolution or linear layer that nothing else reads",
        )
    return conv


def _folded(conv: f.Conv, norm: f.BatchNorm) -> f.Conv:
    gain = np.asarray(norm.gamma, np.float64) / np.sqrt(np.asarray(norm.var, np.float64) + norm.eps)
    weight = np.asarray(conv.weight, np.float64) * gain[:, None, None, None]
    bias = (np.asarray(conv.bias, np.float64) - norm.mean) * gain + norm.beta
    return replace(conv, weight=weight, bias=bias)
