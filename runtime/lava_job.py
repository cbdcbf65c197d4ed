"""What a Lava worker is asked to compute, and where it leaves the answer. Nothing here needs Lava."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.passes.balance_delays import depths
from pumice.errors import RunError
from pumice.runtime.recording import needed, record_dtype, recorded, result_of
from pumice.runtime.result import RunResult

SynapseProcess = Literal["sparse", "conv"]


@dataclass(frozen=True, eq=False)
class Job:
    """One run. frames: [T, B, …]; schedule: given masks [T, B, blocks, N], if any; records: the nodes whose frames are
    stored, each with its .npy file [B * T, size]; synapse: see `lava_synapse`; hardware: on a Loihi 2 chip."""

    graph: Graph
    frames: NDArray[np.int64]
    schedule: NDArray[np.bool_] | None
    records: Mapping[str, Path]
    synapse: SynapseProcess = "sparse"
    hardware: bool = False

    @property
    def samples(self) -> int:
        """How many samples stream through."""
        return self.frames.shape[1]

    @property
    def steps(self) -> int:
        """Time steps until the last frame of the last sample has left every node; a delay that hides steps of its path can make
        the read-out come before that."""
        return self.graph.timesteps * self.samples + max(depths(self.graph).values())


def check_widths(graph: Graph) -> None:
    """Raises RunError where a node's values do not fit the int32 of Lava's ports."""
    for node in graph.nodes.values():
        if max(node.out.high, -node.out.low) >= 1 << 31:
            raise RunError(f"{node.name}: values of {node.out.bits} bits", "a Lava port carries 32")


def files(graph: Graph, record: bool, folder: Path) -> dict[str, Path]:
    """A file for each node whose frames make up the result: the read-out, live masks and, if asked for, layers that spike."""
    return {name: folder / f"{index}.npy" for index, name in enumerate(needed(graph, record))}


def allocate(job: Job) -> None:
    """Create the job's files; the recorders write into them."""
    for name, path in job.records.items():
        node = job.graph.nodes[name]
        shape = (job.samples * job.graph.timesteps, int(np.prod(node.out.shape)))
        np.save(path, np.zeros(shape, np.int64 if isinstance(node, i.Readout) else record_dtype(node)))


def collect(job: Job) -> RunResult:
    """The result of a finished job."""
    graph = job.graph
    values = {name: frames_of(job, graph.nodes[name], path) for name, path in job.records.items()}
    masks = {node.name: mask_of(job, node, values) for node in graph.nodes.values() if isinstance(node, i.MaskSource)}
    record = all(node.name in values for node in recorded(graph))
    return result_of(graph, values, masks, record)


def mask_of(job: Job, node: Node, values: Mapping[str, NDArray[Any]]) -> NDArray[np.bool_]:
    """The masks [T, B, N] that a node routed by."""
    if isinstance(node, i.LiveMask):
        return values[node.name].astype(np.bool_)
    return np.array(source_frames(job, node), np.bool_)


def source_frames(job: Job, node: Node) -> NDArray[Any]:
    """What a source plays, [T, B, …], as a view."""
    if isinstance(node, i.StaticMask):
        return np.broadcast_to(node.masks[:, None], (job.graph.timesteps, job.samples, *node.out.shape))
    if isinstance(node, i.GivenMask):
        assert job.schedule is not None
        return job.schedule[:, :, node.block, : node.out.shape[0]]
    return job.frames


def frames_of(job: Job, node: Node, path: Path) -> NDArray[Any]:
    """The recorded frames of a node, [T, B, …]."""
    rows = np.load(path).reshape(job.samples, job.graph.timesteps, *node.out.shape)
    return np.ascontiguousarray(np.moveaxis(rows, 1, 0))
