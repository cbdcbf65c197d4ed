"""The `lava` backend: a program as Lava Processes on the real Lava runtime, in fixed point.

Samples stream through one runtime back to back, one every T steps; each layer forgets the last sample when the first frame
of the next one reaches it. Spikes and read-out equal the reference backend's bit for bit.
"""

from __future__ import annotations

import pickle
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable
from pumice.runtime.lava_watchdog import run_worker
from pumice.runtime.reference import input_frames, mask_schedule
from pumice.runtime.result import RunResult

if TYPE_CHECKING:
    from pumice.runtime.lava_build import Job


@dataclass(frozen=True)
class LavaBackend:
    """timeout_s: a network that makes no progress for so long is ended with a RunError. synapse: which stock Process
    computes synaptic currents; "conv" is much slower."""

    timeout_s: float = 60.0
    synapse: Literal["sparse", "conv"] = "sparse"

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Raises BackendUnavailable without Lava, RunError where the network fails."""
        check_lava()
        return run_network(program.graph, inputs, masks, record, self.synapse, self.timeout_s)


def check_lava() -> None:
    """Raises BackendUnavailable where Lava is not installed. Looks without importing: Lava changes how Python forks."""
    if find_spec("lava") is None or find_spec("lava.magma") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise BackendUnavailable(
            f"the lava backend needs lava-nc, which is not installed here (Python {version})",
            "pip install 'pumice[lava]' on Python 3.10",
        )


def run_network(
    graph: Graph,
    inputs: NDArray[Any],
    masks: NDArray[np.bool_] | None,
    record: bool,
    synapse: Literal["sparse", "conv"],
    timeout_s: float,
    hardware: bool = False,
) -> RunResult:
    """Run samples through the Lava network of a graph, in a worker process."""
    frames = input_frames(graph, inputs)
    schedule = mask_schedule(graph, masks, frames.shape[1])
    with tempfile.TemporaryDirectory(prefix="pumice-lava-") as name:
        folder = Path(name)
        records = {node.name: folder / f"{index}.npy" for index, node in enumerate(recorded(graph, record))}
        for node_name, path in records.items():
            allocate(path, graph.nodes[node_name], frames.shape[0] * frames.shape[1])
        write_job(folder, graph, frames, schedule, records, synapse, hardware)
        run_worker(folder, timeout_s)
        return collect(graph, records, frames.shape[1])
