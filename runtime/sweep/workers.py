"""Where the tasks of a sweep run: an executor of `concurrent.futures` and what it cannot say itself. Here: processes."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Protocol, TypeVar

from pumice.errors import InputError
from pumice.runtime.child_process import SINGLE_THREADED, die_with_parent
from pumice.runtime.sweep.evaluate import run_task
from pumice.runtime.sweep.points import Outcome, Task

A = TypeVar("A")
DEATHS = 3  # of its workers, before a task is given up


class Workers(Protocol):
    """Runs tasks on some number of workers, which may come and go."""

    @property
    def place(self) -> str:
        """Where they are, for people."""
        ...

    def slots(self) -> int:
        """How many tasks run at once now; 0 where no worker answers."""
        ...

    def submit(self, task: Task) -> Future[list[Outcome]]:
        """Starts a task."""
        ...

    def deaths(self, error: BaseException) -> int:
        """How many workers ended with a task that failed with `error`; 0: it failed for another reason."""
        ...

    def renew(self) -> None:
        """Gets working again after a worker ended, or hangs."""
        ...

    def close(self) -> None:
        """Ends what still runs."""
        ...


class Processes:
    """Processes of this machine, started afresh: neither threads nor state of the caller are in them."""

    def __init__(self, count: int) -> None:
        if count < 1:
            raise InputError(f"--workers {count}", "take at least 1")
        self._count = count
        self._pool = self._started()

    @property
    def place(self) -> str:
        """Where they are, for people."""
        return f"{self._count} processes"

    def slots(self) -> int:
        """As many as there are processes."""
        return self._count

    def submit(self, task: Task) -> Future[list[Outcome]]:
        """Starts a task."""
        return self.launch(run_task, task)

    def launch(self, work: Callable[[A], list[Outcome]], argument: A) -> Future[list[Outcome]]:
        """Starts any work, on new processes where some of the old ones ended."""
        try:
            return self._pool.submit(work, argument)
        except BrokenProcessPool:
            self.renew()
            return self._pool.submit(work, argument)

    def deaths(self, error: BaseException) -> int:
        """A process that ends takes the whole pool with it."""
        return int(isinstance(error, BrokenProcessPool))

    def renew(self) -> None:
        """Other processes in the place of these."""
        self.close()
        self._pool = self._started()

    def close(self) -> None:
        """Ends the processes, at work or not."""
        processes = list((self._pool._processes or {}).values())
        self._pool.shutdown(wait=False, cancel_futures=True)
        for process in processes:
            process.kill()

    def _started(self) -> ProcessPoolExecutor:
        spawn = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self._count, spawn, begin_worker, (os.getpid(),))


def begin_worker(parent: int) -> None:
    """Ctrl-C is the parent's to handle, and the end of the parent is the worker's end too."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(SINGLE_THREADED)
    die_with_parent(parent)
