"""Jobs in processes of their own: so many threads for every library, the same processors for all, and a time limit."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pumice.errors import RunError
from pumice.runtime.bench.jobs import Job
from pumice.runtime.lava_watchdog import end_group, module_path

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "NUMBA_NUM_THREADS")
LAST_LINES = 5


def in_child(job: Job, cpus: tuple[int, ...], limit_s: float) -> dict[str, Any]:
    """A job's numbers. Raises RunError where it fails, or takes longer than `limit_s` seconds."""
    with tempfile.TemporaryDirectory(prefix="pumice-bench-") as name:
        folder = Path(name)
        (folder / "job").write_bytes(pickle.dumps((job, cpus)))  # from this process to its own child
        words = [sys.executable, "-m", "pumice.runtime.bench.worker", str(folder)]
        status, said = run_child(words, job.threads, limit_s, f"benchmark, {job.kind} of {job.where}")
        if (folder / "result").exists():
            found: dict[str, Any] = json.loads((folder / "result").read_text())
            return found
        raise _failure(folder, job, status, said)


def run_child(words: list[str], threads: int, limit_s: float, what: str) -> tuple[int, str]:
    """A command's exit status and what it printed. Raises RunError, and ends it with all that it started, after `limit_s`
    seconds."""
    with tempfile.TemporaryFile() as log:
        child = subprocess.Popen(
            words,
            env=environment(threads),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = child.wait(limit_s)
        except subprocess.TimeoutExpired as error:
            raise RunError(f"{what}: not done after {limit_s:g} s", "a busy machine may need more time") from error
        finally:
            end_group(child)
        log.seek(0)
        return status, log.read().decode(errors="replace")


def environment(threads: int) -> dict[str, str]:
    """Thread pools of so many threads, and the modules of this process."""
    return {**os.environ, **dict.fromkeys(POOLS, str(threads)), "PYTHONPATH": module_path()}


def command_line_seconds(words: list[str], cpus: tuple[int, ...], threads: int, limit_s: float) -> float:
    """Seconds that `pumice WORDS` takes from the start of its process to its end. Raises RunError where it fails."""
    pin = f"import os; os.sched_setaffinity(0, {set(cpus)}); " if cpus and hasattr(os, "sched_setaffinity") else ""
    program = pin + "from pumice.runtime.cli import entry; entry()"
    began = time.perf_counter()
    status, said = run_child([sys.executable, "-c", program, *words], threads, limit_s, f"pumice {words[0]}")
    if status != 0:
        raise RunError(f"pumice {' '.join(words)}: exit status {status}: {_last(said)}")
    return time.perf_counter() - began


def _failure(folder: Path, job: Job, status: int, said: str) -> RunError:
    if (folder / "failure").exists():
        message, hint = json.loads((folder / "failure").read_text())
        return RunError(f"benchmark, {job.kind}: {message}", hint)
    return RunError(f"benchmark, {job.kind} of {job.where}: exit status {status}: {_last(said)}")


def _last(said: str) -> str:
    return " ".join(said.splitlines()[-LAST_LINES:])
