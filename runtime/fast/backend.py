"""The `fast` backend: batches of samples on all cores, by compiled kernels; the same bits as `reference`."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.pipeline import check_samples
from pumice.compiler.program import Program
from pumice.progress import Progress, no_progress
from pumice.runtime.counting import Counter
from pumice.runtime.fast.engine import Clock, Ran, no_clock, run_batch
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.plan import Plan, has_cycles, plan_of
from pumice.runtime.recording import result_of
from pumice.runtime.reference import Reference, joined, mask_schedule
from pumice.runtime.result import RunResult
from pumice.runtime.tally import wanted

Bools = NDArray[np.bool_]
BATCH = 64  # samples at once on a thread, at most
BYTES = 1 << 26  # values of a batch, if all were kept: fewer samples of a large network


@dataclass(frozen=True)
class Fast:
    """counts=False skips the accounting. threads: how many, 0 for one on each core. progress: told samples done and in all.
    clock: told what each node takes, by the threads. plans: of the graphs that it has run, by their identity. idle: memory of
    threads that are done, for the next ones."""

    counts: bool = True
    threads: int = 0
    progress: Progress = no_progress
    clock: Clock = no_clock
    plans: dict[int, Plan] = field(default_factory=dict)
    idle: deque[Memory] = field(default_factory=deque)

    def run(
        self, program: Program, inputs: NDArray[Any], masks: Bools | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`. Networks with cycles run step by step, as on `reference`."""
        check_samples(program.graph, inputs, "input")
        if has_cycles(program.graph):
            return Reference(self.counts, self.progress).run(program, inputs, masks, record)
        schedule = mask_schedule(program.graph, masks, len(inputs))
        counter = Counter(program, network_of(program.graph, program.chip)) if self.counts else None
        parts, done = [], 0
        for ran in self._batches(program.graph, inputs, schedule, record):
            if counter and ran.tally:
                counter.add(ran.tally)
            parts.append(result_of(program.graph, ran.values, ran.masks, record))
            done += len(parts[-1].outputs)
            self.progress(done, len(inputs))
        return replace(joined(parts), counts=counter.table() if counter else None)

    def _batches(self, graph: Graph, inputs: NDArray[Any], schedule: Bools | None, record: bool) -> Iterator[Ran]:
        """Batches in their order; each thread has memory of its own."""
        threads = self.threads or threads_allowed()
        plan, names = self._plan(graph), wanted(graph) if self.counts else None

        def one(part: slice) -> Ran:
            memory = self._memory()
            try:
                given = None if schedule is None else schedule[:, part]
                return run_batch(plan, inputs[part], given, memory, names, record, self.clock)
            finally:
                self.idle.append(memory)

        parts = cut(len(inputs), batch_size(plan), threads)
        with ThreadPoolExecutor(threads) as pool:
            yield from _in_order(pool, one, parts, 2 * threads)

    def _memory(self) -> Memory:
        try:
            return self.idle.pop()
        except IndexError:
            return Memory()

    def _plan(self, graph: Graph) -> Plan:
        if id(graph) not in self.plans:
            self.plans[id(graph)] = plan_of(graph)  # keeps the graph, so that its identity stays its own
        return self.plans[id(graph)]


def _in_order(pool: ThreadPoolExecutor, one: Any, parts: list[slice], ahead: int) -> Iterator[Ran]:
    """Results in the order of `parts`, no more than `ahead` of them waiting."""
    waiting: deque[Future[Ran]] = deque()
    try:
        for part in parts:
            if len(waiting) == ahead:
                yield waiting.popleft().result()
            waiting.append(pool.submit(one, part))
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def cut(samples: int, most: int, threads: int) -> list[slice]:
    """Samples in parts of nearly equal length, none above `most`, as many as keep all threads busy."""
    parts = max(-(-samples // most), min(threads, samples))
    parts = min(samples, -(-parts // threads) * threads)
    edges = [samples * k // parts for k in range(parts + 1)]
    return [slice(begin, end) for begin, end in pairwise(edges)]


def threads_allowed() -> int:
    """The cores that this process may use; fewer where OMP_NUM_THREADS says so, as for other numerical libraries."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    said = os.environ.get("OMP_NUM_THREADS", "")
    return min(cores, max(1, int(said))) if said.isdigit() else cores


def batch_size(plan: Plan) -> int:
    """How many samples a thread computes at once."""
    values = plan.graph.timesteps * sum(prod(node.out.shape) for node in plan.graph.nodes.values())
    return max(1, min(BATCH, BYTES // max(values, 1)))
