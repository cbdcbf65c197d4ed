"""How much a program has to do for an image: firing rates, synaptic operations, and bytes that have to move."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.program import Program
from pumice.compiler.streams import holds_reals
from pumice.compiler.walk import graded_frames, walk_through
from pumice.runtime.bench.executors import in_blocks
from pumice.runtime.fast.backend import Fast


@dataclass(frozen=True, eq=False)
class Rates:
    """Share of values that are not 0, by layer of neurons, and by layer of synapses of what it receives, where these are spikes
    and no real numbers. weights: values of a sample, by the same names."""

    neurons: dict[str, float] = field(default_factory=dict)
    synapses: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


def activity(program: Program, images: NDArray[Any], threads: int) -> dict[str, Any]:
    """Rates of some images, and what `fast` counts for them, per image."""
    counts = Fast(threads=threads).run(program, images).counts
    assert counts is not None
    rows = [row for row in counts.rows if in_blocks(row.layer)]
    per = {name: counts.per_sample(name) for name in ("synops", "macs", "dense", "spikes")}
    return {
        "images": len(images),
        "per_image": per
        | {"synops_in_blocks": float(sum(row.synops.sum() for row in rows)) / counts.samples}
        | {"least_bytes": float(least_bytes(program))},
        "firing": firing(program, images),
        "density": density(program),
        "tokens_kept": tokens_kept(program, images),
    }


def firing(program: Program, images: NDArray[Any]) -> dict[str, Any]:
    """Means over all neurons, and over all that synapses receive; the least and the most of a layer."""
    rates = measured_rates(program, images)
    return {
        "neurons": _summary(rates.neurons, rates.weights),
        "synapses_receive": _summary(rates.synapses, rates.weights),
    }


def measured_rates(program: Program, images: NDArray[Any]) -> Rates:
    """Of a walk over the reference's values."""
    graph, rates, shares = program.graph, Rates(), dict[str, float]()

    def see(node: Node, value: NDArray[Any]) -> None:
        shares[node.name] = float(np.count_nonzero(value)) / max(value.size, 1)
        size = float(np.prod(node.out.shape))
        if isinstance(node, i.IntLif | i.Programmable | i.Levels):
            rates.neurons[node.name], rates.weights[node.name] = shares[node.name], size
        if isinstance(node, i.Synapse) and not holds_reals(node.inputs[0], graph.nodes):
            rates.synapses[node.name] = shares[node.inputs[0]]
            rates.weights[node.name] = float(np.prod(graph.nodes[node.inputs[0]].out.shape))

    walk_through(graph, graded_frames(graph, images), None, see)
    return rates


def _summary(rates: Mapping[str, float], weights: Mapping[str, float]) -> dict[str, float]:
    if not rates:
        return {}
    whole = sum(weights[name] for name in rates)
    mean = sum(rate * weights[name] for name, rate in rates.items()) / whole
    return {"mean": mean, "least_layer": min(rates.values()), "most_layer": max(rates.values())}


def density(program: Program) -> dict[str, float]:
    """Share of synapses that there are, of the layers in the blocks and of all."""
    found = {}
    layers = [node for node in program.graph.nodes.values() if isinstance(node, i.Synapse)]
    for name, chosen in (("blocks", [n for n in layers if in_blocks(n.name)]), ("all", layers)):
        size = sum(node.weight.size for node in chosen)
        found[name] = sum(int(np.count_nonzero(node.weight)) for node in chosen) / max(size, 1)
    return found


def tokens_kept(program: Program, images: NDArray[Any]) -> float:
    """Mean share of tokens that a block routes; 1 without masks."""
    masks = Fast(counts=False).run(program, images).masks
    return float(np.mean([mask.mean() for mask in masks.values()])) if masks else 1.0


def least_bytes(program: Program) -> int:
    """Bytes of an image that move at least if nothing stays in a cache between layers: what each layer of neurons sends,
    written once and read once by each layer of synapses; a byte for each value."""
    graph, readers = program.graph, program.graph.consumers()
    neurons = [n for n in graph.nodes.values() if isinstance(n, i.IntLif | i.Programmable | i.Levels)]
    moved = sum(int(np.prod(node.out.shape)) * (1 + len(readers[node.name])) for node in neurons)
    return moved * graph.timesteps
