"""How often neurons send, measured on calibration samples: the weights of everything that placement wants short."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import groups_of, origin
from pumice.compiler.ir import Graph, Node
from pumice.compiler.walk import Ints, batches, graded_frames, walk_through

Rates = Mapping[str, NDArray[np.float32]]  # per stream, messages of each neuron [C, P] per sample


def measure_rates(graph: Graph, samples: NDArray[Any]) -> Rates:
    """Messages a sample of a balanced graph: how many values that are not 0 each neuron sends, on average over samples [B, …].

    By the name of each node that owns neurons, and of each stream that a group of neurons reads; a stream that a gate has thinned
    out, or that is late, has its own. [C, P] are the neurons that send the stream (`groups.origin`), positions flattened; those
    of the network's input are its pixels. Where routing masks come with each sample, every token counts as routed.
    """
    totals = {name: np.zeros(_neurons(name, graph), np.float32) for name in carried(graph)}

    def see(node: Node, value: Ints) -> None:
        if node.name in totals:
            totals[node.name] += np.count_nonzero(value, axis=(0, 1)).reshape(totals[node.name].shape)

    for batch in batches(graph, len(samples)):
        frames = graded_frames(graph, samples[batch])
        walk_through(graph, frames, all_routed(graph, frames.shape[1]), see)
    return {name: total / len(samples) for name, total in totals.items()}


def carried(graph: Graph) -> Iterator[str]:
    """The names that `measure_rates` has: nodes with neurons, and what their groups read."""
    for group in groups_of(graph):
        yield group.name
        yield from group.streams
        for node in group.synapses:
            yield from node.inputs


def all_routed(graph: Graph, samples: int) -> NDArray[np.bool_] | None:
    """A schedule [T, B, blocks, N] for programs that take one, in which no token is dropped."""
    given = [node for node in graph.nodes.values() if isinstance(node, i.GivenMask)]
    if not given:
        return None
    blocks, tokens = max(node.block for node in given) + 1, max(node.out.shape[0] for node in given)
    return np.ones((graph.timesteps, samples, blocks, tokens), np.bool_)


def _neurons(name: str, graph: Graph) -> tuple[int, int]:
    shape = origin(name, graph).out.shape
    return shape[0], int(np.prod(shape[1:], dtype=np.int64))
