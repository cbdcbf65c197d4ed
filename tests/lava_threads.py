"""Lava's compiled models of a program in one process, a thread each: the runtime's own start-up takes a second a network.

Lava itself makes the Processes, chooses their models and connects their ports; only its operating-system processes, channels and
clock are replaced. `test_lava_backend.py` runs the real runtime.
"""

from __future__ import annotations

import queue
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.runtime.lava_job import Job, allocate, collect, files
from pumice.runtime.reference import input_frames
from pumice.runtime.result import RunResult

PATIENCE_S = 20.0


class Channel:
    """One end of a channel; what is sent waits until it is received."""

    def __init__(self, name: str, waiting: queue.SimpleQueue[NDArray[Any]]) -> None:
        self.name, self.waiting = name, waiting

    def send(self, data: NDArray[Any]) -> None:
        self.waiting.put(np.array(data))

    def recv(self) -> NDArray[Any]:
        return self.waiting.get(timeout=PATIENCE_S)

    def probe(self) -> bool:
        return not self.waiting.empty()

    def start(self) -> None:
        """Nothing to start."""

    def join(self) -> None:
        """Nothing to end."""


def run_threaded(program: Program, inputs: NDArray[Any]) -> RunResult:
    """As `LavaBackend().run(program, inputs, record=True)`. Many runs are quicker inside one `searched_once`."""
    from pumice.runtime.lava_build import build

    frames = input_frames(program.graph, inputs)
    with tempfile.TemporaryDirectory() as folder:
        job = Job(program.graph, frames, None, files(program.graph, True, Path(folder)))
        allocate(job)
        models = compiled_models(build(job))
        step_all(models, job.steps)
        return collect(job)


def compiled_models(process: Any) -> list[Any]:
    """The ProcessModels of the network that a Process belongs to, their ports connected."""
    from lava.magma.compiler.compiler import Compiler
    from lava.magma.core.process.ports.ports import create_port_id

    from pumice.runtime.lava_worker import run_config

    executable = Compiler().compile(process, run_config(False))
    builders = executable.proc_builders
    for channel in executable.channel_builders or []:
        waiting: queue.SimpleQueue[NDArray[Any]] = queue.SimpleQueue()
        source, target = channel.src_port_initializer.name, channel.dst_port_initializer.name
        if channel.src_process not in builders or channel.dst_process not in builders:
            continue
        sender, receiver = Channel(source, waiting), Channel(target, waiting)
        builders[channel.src_process].set_csp_ports([sender])
        builders[channel.dst_process].set_csp_ports([receiver])
        port = create_port_id(channel.src_process.id, source)
        builders[channel.dst_process].add_csp_port_mapping(port, receiver)
    return [builder.build() for builder in builders.values()]


def step_all(models: list[Any], steps: int) -> None:
    """Every model in a thread of its own, for so many timesteps. Raises what the first of them raised."""
    failures: list[BaseException] = []

    def run(model: Any) -> None:
        try:
            for _ in range(steps):
                model.time_step += 1
                model.run_spk()
                if model.post_guard():
                    model.run_post_mgmt()
        except BaseException as error:  # whatever it is, the test must see it
            failures.append(error)

    threads = [threading.Thread(target=run, args=(model,), daemon=True) for model in models]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S + 1)
    if failures:
        raise failures[0]
