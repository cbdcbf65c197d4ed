"""The workers of a Dask cluster, by the address of its scheduler."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any

from pumice import __version__
from pumice.errors import BackendUnavailable, InputError, RunError
from pumice.runtime.sweep.evaluate import run_task
from pumice.runtime.sweep.points import Outcome, Task
from pumice.runtime.sweep.workers import DEATHS

QUIET = ("distributed", "distributed.client", "distributed.core", "distributed.comm")
ANSWER_S = 5  # that a scheduler is given to answer


TIMEOUTS = (TimeoutError, asyncio.TimeoutError, FutureTimeout)  # one class from Python 3.11 on


class DaskWorkers:
    """A cluster. Its scheduler gives the task of a worker that ends to another one, three times by default.

    Raises BackendUnavailable without Dask, RunError where the scheduler does not answer within 10 seconds or has no worker
    within `patience_s`, InputError for a worker with another Pumice.
    """

    def __init__(self, address: str, patience_s: float) -> None:
        try:
            from distributed import Client
        except ImportError as error:
            raise BackendUnavailable("--scheduler needs Dask", "pip install 'pumice[sweep]'") from error
        for name in QUIET:  # what matters of their tracebacks is said in our errors
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = address
        try:
            self._client: Any = answered(lambda: Client(address, timeout=ANSWER_S, set_as_default=False), ANSWER_S + 1)
        except (OSError, *TIMEOUTS, ValueError, KeyError) as error:
            hint = "start one with `dask scheduler`, and give the address that it prints"
            raise RunError(f"--scheduler {address}: no Dask scheduler answers there", hint) from error
        try:
            self._wait(patience_s)
            self._check_versions(patience_s)
        except BaseException:
            self.close()
            raise
        self._executor = self._client.get_executor(pure=False)

    @property
    def place(self) -> str:
        """The scheduler's address."""
        return self._address

    def slots(self) -> int:
        """Threads of all workers; 0 where the scheduler does not answer."""
        try:
            return sum(self._client.sync(self._client.scheduler.ncores, callback_timeout=ANSWER_S).values())
        except (OSError, *TIMEOUTS, RuntimeError, AttributeError):
            return 0

    def submit(self, task: Task) -> Future[list[Outcome]]:
        """Starts a task."""
        found: Future[list[Outcome]] = self._executor.submit(run_task, task)
        return found

    def deaths(self, error: BaseException) -> int:
        """Several where the scheduler gave the task up, one where the scheduler itself lost it."""
        from distributed.scheduler import KilledWorker

        return DEATHS if isinstance(error, KilledWorker) else int(isinstance(error, CancelledError))

    def renew(self) -> None:
        """The cluster starts its workers itself."""

    def close(self) -> None:
        """Withdraws what is not done; the cluster stays."""
        self._client.close(timeout=ANSWER_S)

    def _wait(self, patience_s: float) -> None:
        try:
            self._client.wait_for_workers(1, timeout=patience_s)
        except TIMEOUTS as error:
            hint = f"start some with `dask worker {self._address}`"
            raise RunError(f"--scheduler {self._address}: no worker within {patience_s:g} s", hint) from error

    def _check_versions(self, patience_s: float) -> None:
        try:
            versions = answered(lambda: self._client.run(version_asker()), patience_s)
        except TIMEOUTS as error:
            found = f"--scheduler {self._address}: a worker does not answer within {patience_s:g} s"
            raise RunError(found, "end it, or give --worker-timeout more") from error
        for worker, version in sorted(versions.items()):
            if version != __version__:
                raise InputError(
                    f"worker {worker} has Pumice {version}, this is {__version__}",
                    "install the same version on all workers",
                )


def answered(ask: Callable[[], Any], seconds: float) -> Any:
    """What `ask` returns. Raises one of TIMEOUTS where it takes longer: Dask itself waits forever for a server that takes the
    connection and says nothing."""
    answer: Future[Any] = Future()

    def wait() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=wait, daemon=True).start()
    return answer.result(seconds)


def version_asker() -> Callable[[], str]:
    """A function that says which Pumice it finds, also where there is none: it is sent as code and not by its module's name."""

    def ask() -> str:
        try:
            import pumice

            return str(pumice.__version__)
        except Exception as error:
            return f"none ({type(error).__name__})"

    return ask
