"""The loop of a sweep: keeps every worker busy, gives tasks of dead workers to others, waits for nothing forever."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field

from pumice.errors import RunError
from pumice.runtime.sweep.points import Kind, Outcome, Task
from pumice.runtime.sweep.workers import DEATHS, Workers

POLL_S = 0.5
SLACK, START_S = 4, 60.0  # a task that its own limits did not end after so many times them, and this, hangs


@dataclass(eq=False)
class Flight:
    """A task and its fate so far. deaths: of workers that had it."""

    task: Task
    deaths: int = 0
    due: float = 0.0

    def launched(self) -> Flight:
        """With its time limit, from now on."""
        self.due = time.monotonic() + SLACK * self.task.limit_s * len(self.task.points) + START_S
        return self

    def failed(self, kind: Kind, error: str) -> list[Outcome]:
        """The same outcome for all points."""
        return [Outcome(point.index, {}, error, kind) for point in self.task.points]


@dataclass(eq=False)
class Loop:
    """The state of `run_tasks`. suspects run alone, so that whoever ends a worker harms nobody else."""

    workers: Workers
    patience_s: float
    queue: deque[Flight]
    flying: dict[Future[list[Outcome]], Flight] = field(default_factory=dict)
    seen: float = field(default_factory=time.monotonic)

    def fill(self) -> None:
        """Starts as many tasks as there are workers. Raises RunError where there has been none for too long."""
        slots = self.workers.slots()
        if slots:
            self.seen = time.monotonic()
        elif time.monotonic() - self.seen > self.patience_s:
            found = f"no worker at {self.workers.place} for {self.patience_s:g} s"
            raise RunError(found, "finished points are stored: start workers, then sweep with --resume")
        while self.queue and len(self.flying) < slots and self._may_start(self.queue[0]):
            flight = self.queue.popleft().launched()
            self.flying[self.workers.submit(flight.task)] = flight

    def landed(self) -> Iterator[list[Outcome]]:
        """Outcomes of the tasks that are done."""
        if not self.flying:
            time.sleep(POLL_S)
            return
        for future in wait(self.flying, POLL_S, FIRST_COMPLETED).done:
            yield from self._outcome(self.flying.pop(future), future)
        for future in [future for future, flight in self.flying.items() if time.monotonic() > flight.due]:
            flight = self.flying.pop(future)
            future.cancel()
            self.workers.renew()
            yield flight.failed("time limit", "its worker hangs")

    def _may_start(self, flight: Flight) -> bool:
        suspects = flight.deaths or any(other.deaths for other in self.flying.values())
        return not (suspects and self.flying)

    def _outcome(self, flight: Flight, future: Future[list[Outcome]]) -> Iterator[list[Outcome]]:
        try:
            yield future.result()
        except (Exception, CancelledError) as error:
            deaths = self.workers.deaths(error)
            if not deaths:
                raise
            flight.deaths += deaths
            if flight.deaths < DEATHS:
                self.queue.append(flight)
            else:
                yield flight.failed("worker died", f"{flight.deaths} workers died with it")


def run_tasks(tasks: Iterable[Task], workers: Workers, patience_s: float) -> Iterator[list[Outcome]]:
    """The outcomes of all tasks, task by task as they end; those of points that no worker survives, or that hang, say so.

    Raises RunError where there is no worker for `patience_s`; and what a task itself raises, which is no point's fault.
    """
    loop = Loop(workers, patience_s, deque(Flight(task) for task in tasks))
    while loop.queue or loop.flying:
        loop.fill()
        yield from loop.landed()
