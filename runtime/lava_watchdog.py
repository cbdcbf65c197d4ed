"""Starts a Lava worker, watches it, and leaves neither process nor shared memory behind, whatever happens."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from pumice.errors import RunError

GRACE_S = 3.0
POLL_S = 0.05
SINGLE_THREADED = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
TAIL = 2000


def run_worker(folder: Path, timeout_s: float) -> None:
    """Run the job in `folder` to its end. Raises RunError when the worker fails, or shows no sign of life for `timeout_s`."""
    with (folder / "log").open("wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "pumice.runtime.lava_worker", str(folder), str(os.getpid())],
            cwd=folder,
            env={**os.environ, **SINGLE_THREADED, "PYTHONPATH": module_path()},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        watch(worker, folder, timeout_s)
    finally:
        end_group(worker)


def module_path() -> str:
    """The places this process imports from, so that the worker finds the same modules."""
    return os.pathsep.join(os.path.abspath(place) for place in sys.path)


def watch(worker: subprocess.Popen[bytes], folder: Path, timeout_s: float) -> None:
    """Wait for the worker. Raises RunError with what went wrong."""
    seen, since = "", time.monotonic()
    while worker.poll() is None:
        word = read(folder / "progress")
        if word != seen:
            seen, since = word, time.monotonic()
        if time.monotonic() - since > timeout_s:
            raise RunError(
                f"Lava made no progress for {timeout_s:g} s (last: {seen or 'starting'})",
                "a larger network or a busy machine may need LavaBackend(timeout_s=…)",
            )
        time.sleep(POLL_S)
    if worker.returncode != 0:
        cause = read(folder / "failure") or read(folder / "log") or f"exit status {worker.returncode}"
        raise RunError(f"the Lava network failed: {cause[-TAIL:].strip()}", f"last sign of life: {seen or 'starting'}")


def read(path: Path) -> str:
    """A file's text, or nothing where there is none yet."""
    return path.read_text(errors="replace") if path.exists() else ""


def end_group(worker: subprocess.Popen[bytes]) -> None:
    """End every process that the worker started.

    SIGTERM first: Python's resource tracker ignores it, outlives the others and removes their shared memory.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not signal_group(worker.pid, number):
            break
        deadline = time.monotonic() + GRACE_S
        while time.monotonic() < deadline and group_alive(worker):
            time.sleep(POLL_S / 5)
    worker.wait()


def group_alive(worker: subprocess.Popen[bytes]) -> bool:
    """Whether any process of the worker's group is left; reaps the worker itself."""
    worker.poll()
    return signal_group(worker.pid, 0)


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; False where there is none left."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
