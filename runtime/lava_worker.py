"""The process that owns a Lava runtime: `python -m pumice.runtime.lava_worker FOLDER PARENT_PID`.

Lava forks one process per node, waits forever when one of them dies, and leaves processes and shared memory behind when it
is killed itself. Here all of that lives in a process group of its own: every member dies with its parent, the death of
any ends the run with its traceback, and the caller ends whatever is left.
"""

from __future__ import annotations

import multiprocessing.process
import os
import pickle
import signal
import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from pumice.files import write_atomically
from pumice.runtime.child_process import die_with_parent

CHUNK = 4  # time steps between two signs of life
SLOTS = 4  # frames a channel holds; one is ever on its way. Lava's 64 overflow a container's 64 MB of shared memory


class ChildDied(Exception):
    """A process of the network ended while the network ran. The message is its traceback, or how it ended."""


def main() -> None:
    """Run the job in a folder; a failure is written there, and everything ends."""
    folder = Path(sys.argv[1])
    die_with_parent(int(sys.argv[2]))
    os.register_at_fork(after_in_child=child_setup(os.getpid()))
    # Sockets go into this folder, the working directory, which the caller removes; a relative path is never too long.
    multiprocessing.process.current_process()._config["tempdir"] = "."  # type: ignore[attr-defined]
    try:
        run(pickle.loads((folder / "job").read_bytes()), folder / "progress")
    except BaseException as error:  # also KeyboardInterrupt: whatever it was, the caller must learn of it
        text = str(error) if isinstance(error, ChildDied) else f"the Lava runtime\n{traceback.format_exc()}"
        write_atomically(folder / "failure", text.encode())
        end_all()


def end_all() -> None:
    """End every process of this group, without the waiting of an orderly exit."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.killpg(os.getpid(), signal.SIGTERM)  # the group it leads, never the one it was started from
    os._exit(1)


def run(job: Any, progress: Path) -> None:
    """Build the network, run it to its last step, and write down every sign of life."""
    from lava.magma.core.run_conditions import RunSteps

    from pumice.runtime.lava_build import build
    from pumice.runtime.lava_core_build import build_cores
    from pumice.runtime.lava_core_job import CoreJob
    from pumice.runtime.lava_discovery import searched_once

    readout = build_cores(job) if isinstance(job, CoreJob) else build(job)
    write_atomically(progress, b"compiling")
    signal.signal(signal.SIGCHLD, lambda number, frame: check_children(readout, number, frame))
    with searched_once():
        readout.create_runtime(run_cfg=run_config(job.hardware), compile_config={"pypy_channel_size": SLOTS})
    for start in range(0, job.steps, CHUNK):
        write_atomically(progress, f"step {start} of {job.steps}".encode())
        readout.run(RunSteps(num_steps=min(CHUNK, job.steps - start)))
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    readout.stop()


def run_config(hardware: bool) -> Any:
    """Lava's fixed-point models on this machine, or the chip's own where there is one."""
    from lava.magma.core.run_configs import Loihi2HwCfg, Loihi2SimCfg

    return Loihi2HwCfg() if hardware else Loihi2SimCfg(select_tag="fixed_pt")


def check_children(readout: Any, number: int, frame: FrameType | None) -> None:
    """On SIGCHLD: raises ChildDied where a process of the network ended before the network did."""
    runtime = readout.runtime
    if runtime is None or runtime._messaging_infrastructure is None:
        return  # not started yet
    names = [process.name for process in runtime._executable.proc_builders]
    for index, actor in enumerate(runtime._messaging_infrastructure.actors):
        name = names[index] if index < len(names) else "Lava's runtime service"
        failure = actor.exception
        if failure is not None:
            raise ChildDied(f"process {name!r}\n{failure[1]}")
        if actor.exitcode is not None:
            raise ChildDied(f"process {name!r}\nended with exit status {actor.exitcode}")


def child_setup(parent: int) -> Any:
    """What each forked process does first."""

    def setup() -> None:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        die_with_parent(parent)

    return setup


if __name__ == "__main__":
    main()
