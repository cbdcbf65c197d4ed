"""What a Lava worker is asked to compute core by core, and where it leaves the answer. Nothing here needs Lava."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.errors import UnsupportedNode
from pumice.hwsim.lava import CORE_PORTS
from pumice.runtime.per_core.network import CoreNetwork
from pumice.runtime.per_core.run import assembled, masks_of
from pumice.runtime.recording import needed, result_of
from pumice.runtime.result import RunResult

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class CoreJob:
    """One run. sources: what the host plays, [T, B, …]; records: the units whose vectors are stored, each with its .npy file
    [steps, size]."""

    network: CoreNetwork
    sources: Mapping[str, Ints]
    records: Mapping[str, Path]
    hardware: bool = False

    @property
    def samples(self) -> int:
        """How many samples stream through."""
        return next(iter(self.sources.values())).shape[1]

    @property
    def steps(self) -> int:
        """Time steps until the last frame of the last sample has left every unit."""
        return self.network.steps(self.samples)


def check_ports(network: CoreNetwork) -> None:
    """Raises UnsupportedNode for a core to which more others send than a Process has ports."""
    for unit in network.units:
        if len(unit.links) > CORE_PORTS:
            raise UnsupportedNode(
                f"{unit.name}: {len(unit.links)} cores and sources send to it, a Lava Process of a core has {CORE_PORTS} ports",
                "map to larger cores, or use --backend reference --per-core",
            )


def core_files(network: CoreNetwork, record: bool, folder: Path) -> dict[str, Path]:
    """A file for each unit that sends what makes up the result."""
    names = dict.fromkeys(unit.name for unit, _ in network.holders(needed(network.graph, record)))
    return {name: folder / f"{index}.npy" for index, name in enumerate(names)}


def allocate_vectors(job: CoreJob) -> None:
    """Create the job's files; the recorders write into them."""
    for unit in job.network.units:
        if unit.name in job.records:
            np.save(job.records[unit.name], np.zeros((job.steps, unit.size), np.int32))


def collect_vectors(job: CoreJob, record: bool) -> RunResult:
    """The result of a finished job."""
    graph, frames = job.network.graph, job.network.graph.timesteps * job.samples
    sent = {name: np.load(path, mmap_mode="r")[:, None] for name, path in job.records.items()}
    values = {
        name: by_sample(assembled(job.network, sent, graph.nodes[name], frames)[:, 0], job.samples)
        for name in needed(graph, record)
    }
    given = {n.name: job.sources[n.name] for n in graph.nodes.values() if isinstance(n, i.GivenMask)}
    return result_of(graph, values, masks_of(graph, values | given, job.samples), record)


def by_sample(rows: NDArray[np.int32], samples: int) -> NDArray[np.int32]:
    """Frames of samples that followed one another, [B * T, …], as [T, B, …]."""
    return np.ascontiguousarray(np.moveaxis(rows.reshape(samples, -1, *rows.shape[1:]), 1, 0))
