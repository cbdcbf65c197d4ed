"""The `lava` backend: a program as Lava Processes on the real Lava runtime, in fixed point.

Samples stream through one runtime back to back, one every T steps; each layer forgets a sample when the first frame of the
next one reaches it. Spikes, masks and read-out equal the reference backend's bit for bit; counts are the reference's task.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable, InputError
from pumice.progress import Progress, no_progress
from pumice.runtime.lava_core_job import CoreJob, allocate_vectors, check_ports, collect_vectors, core_files
from pumice.runtime.lava_job import Job, SynapseProcess, allocate, check_widths, collect, files
from pumice.runtime.lava_watchdog import run_worker
from pumice.runtime.per_core.network import core_network
from pumice.runtime.per_core.run import played
from pumice.runtime.reference import input_frames, mask_schedule
from pumice.runtime.result import RunResult


@dataclass(frozen=True)
class LavaBackend:
    """timeout_s: a network that makes no progress for so many seconds is ended with a RunError. synapse: which stock
    Process computes synaptic currents, "sparse" or the much slower "conv". progress: told steps done and in all. per_core: one
    Process for each core of the program, which computes its slices from the spikes that reach it; not the stock ones."""

    timeout_s: float = 60.0
    synapse: SynapseProcess = "sparse"
    progress: Progress = no_progress
    per_core: bool = False

    def __post_init__(self) -> None:
        if not self.timeout_s > 0:
            raise InputError(f"timeout_s = {self.timeout_s}", "give seconds, more than 0")
        if self.synapse not in ("sparse", "conv"):
            raise InputError(f"unknown synapse {self.synapse!r}", "known: sparse, conv")

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Raises BackendUnavailable without Lava, RunError where the network fails."""
        check_lava()
        if self.per_core:
            return self.stream_cores(program, inputs, masks, record)
        return self.stream(program, inputs, masks, record, hardware=False)

    def stream(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None, record: bool, hardware: bool
    ) -> RunResult:
        """Run samples through the Lava network of a program, in a worker process."""
        graph, frames = program.graph, input_frames(program.graph, inputs)
        check_widths(graph)
        schedule = mask_schedule(graph, masks, frames.shape[1])
        with tempfile.TemporaryDirectory(prefix="pumice-lava-") as folder:
            records = files(graph, record, Path(folder))
            job = Job(graph, frames, schedule, records, self.synapse, hardware)
            allocate(job)
            run_worker(job, Path(folder), self.timeout_s, self.progress)
            return collect(job)

    def stream_cores(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None, record: bool
    ) -> RunResult:
        """Run samples through the cores of a program, in a worker process."""
        graph, frames = program.graph, input_frames(program.graph, inputs)
        check_widths(graph)
        schedule, network = mask_schedule(graph, masks, frames.shape[1]), core_network(graph, program.mapping)
        check_ports(network)
        sources = {node.name: played(node, frames, schedule) for node in network.sources}
        with tempfile.TemporaryDirectory(prefix="pumice-lava-") as folder:
            job = CoreJob(network, sources, core_files(network, record, Path(folder)))
            allocate_vectors(job)
            run_worker(job, Path(folder), self.timeout_s, self.progress)
            return collect_vectors(job, record)


def check_lava() -> None:
    """Raises BackendUnavailable where Lava is not installed. Looks without importing: Lava changes how Python forks."""
    if not installed("lava.magma"):
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BackendUnavailable(
            f"the lava backend needs lava-nc, which is not installed here (Python {version})",
            "pip install 'pumice[lava]' on Python 3.10",
        )


def installed(module: str) -> bool:
    """Whether a module could be imported."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # a package above it is missing
        return False
