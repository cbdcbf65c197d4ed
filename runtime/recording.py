"""What a run stores of each layer when asked to record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import origin
from pumice.compiler.ir import Graph, Node
from pumice.runtime.result import RunResult


def ends_of(graph: Graph, result: RunResult) -> dict[str, NDArray[Any]]:
    """What a run's file holds of the network's outputs, [B, K] each: totals and logits, of several outputs each by its name."""
    ends: dict[str, NDArray[Any]] = {"output": result.outputs, "logits": result.logits}
    for name, node in readouts(graph) if result.named else ():
        ends |= {name: result.named[name], f"{name}.logits": result.named[name] * node.scale}
    return ends


def recorded(graph: Graph) -> list[Node]:
    """Layers that spike, or send levels or their membranes; and the streams that are the network's outputs."""
    kinds = (i.IntLif, i.Programmable, i.Levels)
    streams = [output_stream(name, graph) for name in graph.ends]
    last = {node.name for node in streams if isinstance(node, i.Membrane | i.Sum)}
    return [n for n in graph.nodes.values() if isinstance(n, kinds) or n.name in last]


def output_stream(name: str, graph: Graph) -> Node | None:
    """What a read-out of a general network adds up over time, value by value; None where it reads a layer's synapses."""
    node = graph.nodes[name]
    while node.inputs and isinstance(node, i.Readout | i.Delay):
        node = graph.nodes[node.inputs[0]]
    return origin(node.inputs[0], graph) if isinstance(node, i.OneToOne) else None


def record_dtype(node: Node) -> type[np.signedinteger[Any]] | type[np.unsignedinteger[Any]]:
    """A byte for spikes and levels; more for membranes and streams."""
    return np.uint8 if node.out.low >= 0 and node.out.high <= 255 else np.int32


def readouts(graph: Graph) -> list[tuple[str, i.Readout]]:
    """The read-outs of a network's outputs, with the names of the outputs where there are several; the first one first."""
    names = [name for name, _ in graph.outputs] if len(graph.outputs) > 1 else ["output"]
    found = [graph.nodes[name] for name in graph.ends]
    return [(name, node) for name, node in zip(names, found, strict=True) if isinstance(node, i.Readout)]


def further(graph: Graph, totals: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[np.int64]]:
    """Of a network of several outputs the totals [B, K] of each, by its name. totals: running ones [T, B, K] by read-out."""
    if len(graph.ends) == 1:
        return {}
    return {name: totals[node.name][-1].astype(np.int64) for name, node in readouts(graph)}


def result_of(
    graph: Graph,
    values: Mapping[str, NDArray[Any]],
    masks: Mapping[str, NDArray[np.bool_]],
    record: bool,
) -> RunResult:
    """What a run gives. values: frames [T, B, …] of the read-outs, and where recorded of the layers."""
    readout = graph.nodes[graph.output]
    assert isinstance(readout, i.Readout)
    total = values[readout.name][-1].astype(np.int64)
    kept = recorded(graph) if record else []
    return RunResult(
        outputs=total,
        logits=total * readout.scale,
        spikes={node.name: values[node.name].astype(record_dtype(node), copy=False) for node in kept},
        masks=masks,
        named=further(graph, values),
    )


def needed(graph: Graph, record: bool) -> list[str]:
    """The nodes whose frames make up a result: read-outs, live masks and, if asked for, layers that spike."""
    kept = {node.name for node in recorded(graph)} if record else set()
    return [n.name for n in graph.nodes.values() if isinstance(n, i.Readout | i.LiveMask) or n.name in kept]
