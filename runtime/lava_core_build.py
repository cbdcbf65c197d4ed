"""A mapped program as a network of Lava Processes, one for each core; the host's frames and scorers are Processes beside them."""

from __future__ import annotations

from typing import Any

import numpy as np

from pumice.hwsim.lava.cores import Core
from pumice.hwsim.lava.wiring import FrameSource, Recorder
from pumice.runtime.lava_core_job import CoreJob
from pumice.runtime.lava_network import batches
from pumice.runtime.per_core.units import Unit


def build_cores(job: CoreJob) -> Any:
    """The Processes of a job, connected; returns one that sends the read-out, by which Lava runs them all."""
    sizes = {unit.name: unit.size for unit in job.network.units}
    sizes |= {name: int(np.prod(frames.shape[2:])) for name, frames in job.sources.items()}
    cores = {unit.name: _core(unit, sizes) for unit in job.network.units}
    ports = {name: FrameSource(frames=frames, name=name).out for name, frames in job.sources.items()}
    ports |= {name: core.out for name, core in cores.items()}
    for unit in job.network.units:
        for index, link in enumerate(unit.links):
            if link.source != unit.name:
                ports[link.source].connect(getattr(cores[unit.name], f"x{index}"))
    _add_recorders(job, ports, sizes)
    (holder, _), *_ = job.network.holders([job.network.graph.output])
    return cores[holder.name]


def _core(unit: Unit, sizes: dict[str, int]) -> Core:
    inputs = [None if link.source == unit.name else sizes[link.source] for link in unit.links]
    return Core(work=unit, inputs=inputs, size=unit.size, name=unit.name)


def _add_recorders(job: CoreJob, ports: dict[str, Any], sizes: dict[str, int]) -> None:
    """Recorders for the vectors that are stored, eight a Process."""
    for index, names in enumerate(batches(list(job.records), Recorder.PORTS)):
        paths = [job.records[name] for name in names]
        recorder = Recorder(
            paths=paths, sizes=[sizes[name] for name in names], lags=[0] * len(names), name=f"recorder{index}"
        )
        for port, name in enumerate(names):
            ports[name].connect(getattr(recorder, f"x{port}"))
