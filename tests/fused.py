"""A layer of synapses and the LIF neurons that it feeds, maybe gated: what `fast` computes as one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from one_node import Ran, batch_of, by_walk, drawn, of, run_nodes

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, TensorType
from pumice.runtime.fast.batch import Batch

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Layer:
    """Sources, a synapse and its neurons, with inputs [T, B, …] by source."""

    graph: Graph
    inputs: dict[str, Ints]

    def by_walk(self) -> Ran:
        synapse, lif = self.graph.nodes["s"], self.graph.nodes["n"]
        current, _ = by_walk(self.graph, synapse, [self.inputs["x"]])
        return by_walk(self.graph, lif, [current, *(self.inputs[name] for name in lif.inputs[1:])])

    def by_fast(self, batch: Batch | None = None) -> Ran:
        batch = batch or self.batch()
        run_nodes(batch, "s", "n")
        return batch.dense("n"), batch.active.get("n")

    def batch(self) -> Batch:
        return batch_of(self.graph, self.inputs)


def layer(
    rng: np.random.Generator,
    source: TensorType,
    weight: Ints,
    samples: int,
    steps: int,
    gate: Any = "",
    share: float = 0.5,
    changes: int = 1,
) -> Layer:
    """share: of tokens that are routed, as many of each sample at each step or any. changes: 0 for a mask and an input that stay
    the same all the time."""
    x = drawn(source, rng, steps if changes else 1, samples)
    inputs = {"x": x if changes else np.broadcast_to(x, (steps, *x.shape[1:]))}
    worst = int(np.abs(weight).reshape(len(weight), -1).sum(axis=1).max()) * max(-source.low, source.high, 1)
    padding = ((weight.shape[2] - 1) // 2, (weight.shape[3] - 1) // 2)
    extent = source.shape[1:]
    if len(extent) == 2:
        extent = tuple(n + 2 * p - k + 1 for n, p, k in zip(extent, padding, weight.shape[2:], strict=True))
    out = of((len(weight), *extent), -worst, worst, "current")
    bias = rng.choice([0, 0, 1, -4000], len(weight))
    synapse = i.Synapse("s", ("x",), out, "s", weight, (1, 1), padding, 1.0)
    vth, dv = int(rng.choice([0, 1, max(1, min(worst // 4, 1 << 16))])), int(rng.choice([2048, 1365, 0]))
    spikes = replace(out, dtype="spike", low=0, high=1)
    lif = i.IntLif("n", ("s",), spikes, "n", vth, dv, bias, 3, 1.0)
    sources = [i.GradedInput("x", (), source, "x", 1.0)]
    if gate:
        drawn_by = rng.random((steps if changes else 1, samples, source.shape[1]))
        alike = drawn_by.argsort(axis=-1).argsort(axis=-1) < share * source.shape[1]
        masks = (alike if rng.random() < 0.5 else drawn_by < share).astype(np.int64)
        inputs["m"] = np.broadcast_to(masks, (steps, *masks.shape[1:]))
        sources.append(i.GradedInput("m", (), of(source.shape[1:], 0, 1, "mask"), "m", 1.0))
        lif = replace(lif, inputs=("s", "m"), gate_state=gate)
    graph = Graph({node.name: node for node in (*sources, synapse, lif)}, "n", "balanced", steps, "frames")
    return Layer(graph, inputs)
