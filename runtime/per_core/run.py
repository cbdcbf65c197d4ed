"""The `reference` backend core by core: all cores in turn, step after step, for a few samples side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.program import Program
from pumice.compiler.walk import batch_size
from pumice.progress import Progress, no_progress
from pumice.runtime.per_core.network import CoreNetwork, core_network
from pumice.runtime.recording import needed, result_of
from pumice.runtime.reference import input_frames, joined, mask_schedule
from pumice.runtime.result import RunResult

Ints = NDArray[np.int64]
BATCH = 8  # samples at once: each core holds the spikes that reach it


@dataclass(frozen=True)
class PerCore:
    """Each core computes its slices from what reaches it. Counts are the plain reference's task. progress: told samples done and
    in all."""

    progress: Progress = no_progress

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Raises UnsupportedNode for cycles that cannot go from core to core."""
        graph, frames = program.graph, input_frames(program.graph, inputs)
        schedule, parts = mask_schedule(graph, masks, frames.shape[1]), []
        length = min(BATCH, batch_size(graph))
        for start in range(0, frames.shape[1], length):
            batch = slice(start, start + length)
            given = None if schedule is None else schedule[:, batch]
            parts.append(_run(program, frames[:, batch], given, record))
            self.progress(min(batch.stop, frames.shape[1]), frames.shape[1])
        return joined(parts)


def _run(program: Program, frames: Ints, schedule: NDArray[np.bool_] | None, record: bool) -> RunResult:
    graph, network = program.graph, core_network(program.graph, program.mapping)
    sources = {node.name: played(node, frames, schedule) for node in network.sources}
    sent = all_sent(network, sources, frames.shape[1])
    values = {name: assembled(network, sent, graph.nodes[name], graph.timesteps) for name in needed(graph, record)}
    return result_of(graph, values, masks_of(graph, sources | values, frames.shape[1]), record)


def played(node: Node, frames: Ints, schedule: NDArray[np.bool_] | None) -> Ints:
    """The frames of a source, [T, B, …]."""
    if not isinstance(node, i.GivenMask):
        return frames
    assert schedule is not None
    return schedule[:, :, node.block, : node.out.shape[0]].astype(np.int64)


def all_sent(network: CoreNetwork, sources: dict[str, Ints], samples: int) -> dict[str, NDArray[np.int32]]:
    """What every unit sends in every step of a sample, [steps, B, size]."""
    sent = {unit.name: np.zeros((network.steps(1), samples, unit.size), np.int32) for unit in network.units}
    for name, frames in sources.items():
        sent[name] = np.zeros((network.steps(1), samples, int(np.prod(frames.shape[2:]))), np.int32)
        sent[name][: len(frames)] = frames.reshape(*frames.shape[:2], -1)
    for step in range(network.steps(1) - 1):
        for unit in network.units:
            received = [sent[link.source][step] for link in unit.links]
            sent[unit.name][step + 1] = unit.step(step, received, samples)
    return sent


def masks_of(graph: Graph, values: Mapping[str, NDArray[Any]], samples: int) -> dict[str, NDArray[np.bool_]]:
    """The masks [T, B, N] that were routed by. values: of those that are no constants."""
    found = {}
    for node in graph.nodes.values():
        if isinstance(node, i.StaticMask):
            shape = (graph.timesteps, samples, *node.out.shape)
            found[node.name] = np.array(np.broadcast_to(node.masks[:, None], shape))
        elif isinstance(node, i.MaskSource):
            found[node.name] = values[node.name].astype(np.bool_)
    return found


def assembled(
    network: CoreNetwork, sent: Mapping[str, NDArray[np.int32]], node: Node, frames: int
) -> NDArray[np.int32]:
    """A node's frames [frames, B, …] from the units that sent them, whose vectors are [steps, B, size]; neurons on no core are
    silent."""
    samples = next(iter(sent.values())).shape[1]
    out = np.zeros((frames, samples, int(np.prod(node.out.shape))), np.int32)
    for unit, segment in network.holders([node.name]):
        when = slice(segment.lag, segment.lag + frames)
        out[:, :, segment.neurons] = sent[unit.name][when, :, segment.start : segment.end]
    return out.reshape(frames, samples, *node.out.shape)
