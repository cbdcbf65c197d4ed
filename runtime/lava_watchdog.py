"""Starts a Lava worker, watches it, and leaves neither process nor shared memory behind, whatever happens."""

from __future__ import annotations

import os
import pickle
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

from pumice.errors import RunError
from pumice.progress import Progress, no_progress
from pumice.runtime.child_process import SINGLE_THREADED
from pumice.runtime.lava_core_job import CoreJob
from pumice.runtime.lava_job import Job

GRACE_S = 3.0
POLL_S = 0.02


class WorkerTraceback(Exception):
    """The cause of a RunError: what the worker said, word for word."""

    def __str__(self) -> str:
        return f"\n{self.args[0]}"


def run_worker(job: Job | CoreJob, folder: Path, timeout_s: float, progress: Progress = no_progress) -> None:
    """Run a job to its end, with `folder` for the files in between.

    Raises RunError when the worker fails, or shows no sign of life for `timeout_s` seconds.
    """
    (folder / "job").write_bytes(pickle.dumps(job))  # from this process to its own child; artifacts are never pickled
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pumice.runtime.lava_worker", str(folder), str(os.getpid())],
            cwd=folder,
            # 70 processes share the machine's cores, and a thread pool does not survive a fork
            env={**os.environ, **SINGLE_THREADED, "PYTHONPATH": module_path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # a process group of its own, which Ctrl-C does not reach
        )
    try:
        watch(worker, folder, timeout_s, progress)
    finally:
        end_group(worker)


def module_path() -> str:
    """The places this process imports from, so that the worker finds the same modules."""
    return os.pathsep.join(os.path.abspath(place) for place in sys.path)


def watch(worker: subprocess.Popen[bytes], folder: Path, timeout_s: float, progress: Progress) -> None:
    """Wait for the worker. Raises RunError with what went wrong."""
    seen, since = "starting", time.monotonic()
    while worker.poll() is None:
        word = read(folder / "progress") or "starting"
        if word != seen:
            seen, since = word, time.monotonic()
            tell(word, progress)
        if time.monotonic() - since > timeout_s:
            raise RunError(
                f"Lava made no progress for {timeout_s:g} s ({seen})",
                "a larger network or a busy machine may need LavaBackend(timeout_s=…)",
            )
        time.sleep(POLL_S)
    if worker.returncode != 0:
        raise failure(folder, worker.returncode, seen)


def tell(word: str, progress: Progress) -> None:
    """Pass on the worker's word where it is of the form "step 12 of 89"."""
    if found := re.fullmatch(r"step (\d+) of (\d+)", word.strip()):
        progress(int(found[1]), int(found[2]))


def failure(folder: Path, status: int, seen: str) -> RunError:
    """What a failed worker left behind, as one line; the rest is the error's cause."""
    said = read(folder / "failure").strip() or f"its supervisor ended with exit status {status}"
    lines = said.splitlines()
    where, what = lines[0], lines[-1]
    # A write that shared memory has no room for ends in SIGBUS; a container has 64 MB unless told otherwise.
    hint = "/dev/shm is too small: docker run --shm-size=1g" if what.endswith(f"status {-signal.SIGBUS}") else ""
    error = RunError(f"Lava ({seen}): {where}" if where == what else f"Lava ({seen}): {where}: {what}", hint)
    error.__cause__ = WorkerTraceback("\n".join([said, *read(folder / "log").splitlines()[-20:]]))
    return error


def read(path: Path) -> str:
    """A file's text, or nothing where there is none yet."""
    return path.read_text(errors="replace") if path.exists() else ""


def end_group(worker: subprocess.Popen[bytes]) -> None:
    """End every process that the worker started.

    SIGTERM and the death of the worker end all of them but Python's resource tracker, which then removes their shared
    memory and ends itself; SIGKILL would leave that memory behind.
    """
    signal_group(worker.pid, signal.SIGTERM)
    worker.kill()
    worker.wait()
    deadline = time.monotonic() + GRACE_S
    while group_alive(worker.pid):
        if time.monotonic() > deadline:
            signal_group(worker.pid, signal.SIGKILL)
            break
        time.sleep(POLL_S)


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False where there is none."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def group_alive(group: int) -> bool:
    """Whether a process of the group still runs. Zombies do not count: in a container nobody may collect them."""
    if not sys.platform.startswith("linux"):
        return signal_group(group, 0)
    return any(state not in "ZX" for state in group_states(group))


def group_states(group: int) -> list[str]:
    """The state letter of each process of a group, from /proc."""
    states = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            # pid (command) state parent group …; the command may hold anything, also brackets
            state, _, its_group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue  # it ended while we looked
        if int(its_group) == group:
            states.append(state)
    return states
