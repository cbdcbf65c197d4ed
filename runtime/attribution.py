"""Where the accuracy went: folding, weights, thresholds and masks, applied one after another."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.ir import Graph, Node
from pumice.compiler.pipeline import Quantized, finish
from pumice.compiler.program import Program
from pumice.compiler.streams import scale_of
from pumice.runtime.fast.rates import measure_rates
from pumice.runtime.reference import Reference
from pumice.runtime.validation import accuracy

BATCH = 48


@dataclass(frozen=True)
class Rung:
    """accuracy after this change and all before it; lost: to this change alone."""

    change: str
    accuracy: float
    lost: float


def attribute(
    network: Quantized,
    program: Program,
    float_logits: NDArray[np.float64],
    compiled_logits: NDArray[np.float64],
    inputs: NDArray[Any],
    labels: NDArray[Any],
) -> list[Rung]:
    """The ladder from the float model (float_logits, unpruned) to the program (compiled_logits)."""
    unmasked = finish(network, program.chip, replace(program.options, masks="off"), measure=measure_rates)
    logits = Reference(counts=False).run(unmasked, inputs).logits
    return ladder(network.folded, unmasked, float_logits, logits, compiled_logits, inputs, labels)


def ladder(
    folded: Graph,
    unmasked: Program,
    float_logits: NDArray[np.float64],
    unmasked_logits: NDArray[np.float64],
    compiled_logits: NDArray[np.float64],
    inputs: NDArray[Any],
    labels: NDArray[Any],
) -> list[Rung]:
    """The same, from parts already made: the folded graph, and the program without masks."""
    logits = {
        "float model": float_logits,
        "folding": float_graph_logits(folded, inputs),
        "weight quantization": float_graph_logits(with_quantized_weights(folded, unmasked.graph), inputs),
        "threshold, bias, membrane and input quantization": unmasked_logits,
        "token masks": compiled_logits,
    }
    scores = [accuracy(values, labels) for values in logits.values()]
    return [
        Rung(name, now, before - now) for name, now, before in zip(logits, scores, [scores[0], *scores], strict=False)
    ]


def float_graph_logits(graph: Graph, inputs: NDArray[Any]) -> NDArray[np.float64]:
    """Logits [B, K] of a float graph without token gates."""
    parts = [
        evaluate(graph, inputs[k : k + BATCH], gated=False).values[graph.output][-1]
        for k in range(0, len(inputs), BATCH)
    ]
    return np.concatenate(parts)


def with_quantized_weights(folded: Graph, quantized: Graph) -> Graph:
    """The float graph with the weights that the chip stores, in float units; neurons stay float."""
    nodes: dict[str, Node] = {}
    for node in folded.nodes.values():
        found = quantized.nodes.get(f"{node.name}.synapse", quantized.nodes.get(node.name))
        if isinstance(node, f.Conv | f.Linear) and isinstance(found, i.Synapse):
            weight = found.weight / (found.scale / scale_of(found.inputs[0], quantized.nodes))
            node = replace(node, weight=weight if isinstance(node, f.Conv) else weight[:, :, 0, 0])
        nodes[node.name] = node
    return replace(folded, nodes=nodes)
