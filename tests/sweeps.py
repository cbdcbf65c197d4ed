"""Small sweeps of the shipped Spikformer for the tests, and a Dask cluster of real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pumice import __version__
from pumice.progress import Progress, no_progress
from pumice.runtime.sweep.evaluate import checkpoint_path, model_hash
from pumice.runtime.sweep.grid import Grid, grid_of_words
from pumice.runtime.sweep.plan import Plan, make_plan, run_plan
from pumice.runtime.sweep.points import Outcome, Settings
from pumice.runtime.sweep.store import Store
from pumice.runtime.sweep.workers import Processes, Workers

MODEL = "spikformer-digits"
FEW = ("--samples", "4", "--calibration", "4", "--no-test", "--agreement", "0")
DIGITS = {"name": "digits", "size": 8}
COMMAND = (sys.executable, "-c", "from pumice.runtime.cli import entry; entry()")


def settings(**changes: Any) -> Settings:
    """Four images to choose by, four to calibrate with, nothing else measured."""
    shown: dict[str, Any] = {"data": DIGITS, "split": "validation", "samples": 4, "calibration": 4, "test": False}
    shown |= {"agreement": 0, "criterion": "irtop-paper", "backend": "reference", "version": __version__}
    return Settings(**{"model": MODEL, "model_hash": model_hash(checkpoint_path(MODEL)), **shown, **changes})


def plan(limit_s: float = 100, patience_s: float = 30, **words: str) -> Plan:
    """A sweep of these values, e.g. bits="8,4"."""
    return make_plan(grid(**words), settings(), limit_s, patience_s)


def grid(**words: str) -> Grid:
    """A grid of these values."""
    return grid_of_words({axis: [text] for axis, text in words.items()})


def swept(
    one: Plan, folder: Path, workers: Workers | None = None, progress: Progress = no_progress
) -> dict[int, Outcome]:
    """All outcomes of a sweep, with one process unless told otherwise."""
    store = Store(folder, one.header)
    run_plan(one, store, store.read(), lambda: workers or Processes(1), progress)
    return store.read()


def results(outcomes: Mapping[int, Outcome]) -> list[tuple[int, Mapping[str, Any], str | None]]:
    """What must not depend on where points run."""
    return [(index, outcomes[index].result, outcomes[index].error) for index in sorted(outcomes)]


@dataclass(frozen=True)
class Cluster:
    """A Dask scheduler and its workers, each a process."""

    address: str
    folder: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def add_worker(self, path: str = "") -> subprocess.Popen[bytes]:
        """One more, of one thread and without a nanny that would bring it back. path: where it imports from first."""
        words = ["distributed.cli.dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard"]
        found = _started([*words, "--local-directory", str(self.folder)], path)
        self.processes.append(found)
        return found


@contextmanager
def cluster(folder: Path, workers: int) -> Iterator[Cluster]:
    """A cluster on this machine. Its scheduler and whatever is left of its workers end with the test."""
    file = folder / "scheduler.json"
    words = ["distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    scheduler = _started([*words, "--scheduler-file", str(file)])
    made = None
    try:
        made = Cluster(_address(file), folder, [scheduler])
        for _ in range(workers):
            made.add_worker()
        yield made
    finally:
        for process in made.processes if made else [scheduler]:
            process.kill()
            process.wait()


def _started(words: Sequence[str], path: str = "") -> subprocess.Popen[bytes]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([path, *sys.path] if path else sys.path), "OMP_NUM_THREADS": "1"}
    quiet = subprocess.DEVNULL
    return subprocess.Popen([sys.executable, "-W", "ignore", "-m", *words], stdout=quiet, stderr=quiet, env=env)


def _address(file: Path) -> str:
    import json

    for _ in range(300):
        if file.is_file() and file.read_text().endswith("}"):
            return str(json.loads(file.read_text())["address"])
        time.sleep(0.1)
    raise TimeoutError("no Dask scheduler started")
