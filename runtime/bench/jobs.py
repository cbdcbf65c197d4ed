"""What a benchmark measures, job by job: each runs in a process of its own and gives JSON-ready numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.runtime.bench.activity import activity
from pumice.runtime.bench.equality import check_outputs, check_spikes
from pumice.runtime.bench.executors import INTEGERS, Executor, clocked, executors, fast
from pumice.runtime.bench.limits import limits
from pumice.runtime.bench.memory import peak_bytes, sampled_tree
from pumice.runtime.bench.models import Store, prepare, with_timesteps
from pumice.runtime.bench.numbers import exponent
from pumice.runtime.bench.plans import UNPRUNED, ModelPlan, Variant
from pumice.runtime.bench.timing import Taken, interleaved, seconds


@dataclass(frozen=True)
class Job:
    """kind: a name in `KINDS`. folder: where the model's programs are. variant, executor: of jobs that are about one."""

    kind: str
    folder: Path
    threads: int
    plan: ModelPlan
    variant: Variant = UNPRUNED
    executor: str = ""

    @property
    def store(self) -> Store:
        return Store(self.folder)

    @property
    def where(self) -> str:
        """For messages."""
        words = (self.plan.name, self.variant.name, self.executor)
        return ", ".join(filter(None, words))


def run_job(job: Job) -> dict[str, Any]:
    """Does a job, in this process."""
    return KINDS[job.kind](job)


def prepared(job: Job) -> dict[str, Any]:
    """Programs of all variants in the store; see `models.prepare`."""
    return {"compile_s": prepare(job.plan, job.store)}


def described(job: Job) -> dict[str, Any]:
    """What a variant has to do for an image."""
    images = job.store.images()[: max(job.plan.checked, 1)]
    return activity(job.store.program(job.variant), images, job.threads)


def compared(job: Job) -> dict[str, Any]:
    """Executors in turn on a variant: seconds of every round, and the images of a run. Raises RunError where bits differ."""
    program, images = job.store.program(job.variant), job.store.images()
    check_spikes(job.where, program, images[: job.plan.checked], job.threads)
    found = executors(job.plan, program, job.store.network(job.variant), job.threads)
    if job.variant != UNPRUNED:
        found.pop("lava", None)
    taken = interleaved(warmed(found, images, skip=("lava",)), job.plan.repeats)
    for one in zip(*(taken[name] for name in found if name in INTEGERS), strict=True):
        names = [name for name in found if name in INTEGERS]
        check_outputs(job.where, dict(zip(names, (taken.outputs for taken in one), strict=True)))
    return {name: _rounds(taken[name], executor.images) for name, executor in found.items()}


def in_the_blocks(job: Job) -> dict[str, Any]:
    """All variants in turn on `fast`, with the time in the blocks. Raises RunError where bits differ from `reference`."""
    images, store = job.store.images(), job.store
    programs = {variant.name: store.program(variant) for variant in job.plan.variants}
    wanted = {
        name: check_spikes(f"{job.plan.name}, {name}", program, images[: job.plan.checked], job.threads)
        for name, program in programs.items()
    }
    found = {name: clocked(program, job.plan.batch, job.threads) for name, program in programs.items()}
    taken = interleaved(warmed(found, images), job.plan.block_repeats)
    for name, rounds in taken.items():
        _check_rounds(f"{job.plan.name}, {name}", rounds, wanted[name])
    return {name: _rounds(taken[name], executor.images) for name, executor in found.items()}


def growth(job: Job) -> dict[str, Any]:
    """Seconds of `fast` by batch, and by timesteps: series [[size, seconds], …] with the least of all rounds, and exponents."""
    program, images = job.store.program(UNPRUNED), job.store.images()
    batches = {str(size): fast(program, size, job.threads) for size in job.plan.batches}
    steps = {
        str(count): fast(with_timesteps(program, count), job.plan.batch, job.threads) for count in job.plan.timesteps
    }
    found: dict[str, Any] = {}
    for name, series in (("batch", batches), ("timesteps", steps)):
        taken = interleaved(warmed(series, images), job.plan.repeats)
        for size, rounds in taken.items():
            count = int(size) if name == "timesteps" else program.graph.timesteps
            where = f"{job.where}, {name} {size}"
            _check_rounds(where, rounds, check_spikes(where, with_timesteps(program, count), images[:1], job.threads))
        least = [(int(size), min(seconds(rounds))) for size, rounds in taken.items()]
        found[name] = {"seconds": least, "exponent": exponent(*zip(*least, strict=True))}
    return found


def _check_rounds(where: str, rounds: list[Taken], wanted: NDArray[np.int64]) -> None:
    """Every round of `fast` beside the reference's outputs."""
    for one in rounds:
        check_outputs(where, {"fast": one.outputs, "reference": wanted})


def memory(job: Job) -> dict[str, Any]:
    """Peak bytes of a process that runs one executor once: before, with the program loaded, and at the end."""
    before, program = peak_bytes(), job.store.program(job.variant)
    network = job.store.network(job.variant) if job.executor == "float" else None
    chosen, images = executors(job.plan, program, network, job.threads)[job.executor], job.store.images()
    loaded = peak_bytes()
    if job.executor != "lava":
        chosen.run(images[: chosen.images])
        return {"images": chosen.images, "before": before, "loaded": loaded, "peak": peak_bytes()}
    with sampled_tree() as seen:  # Lava's processes count
        chosen.run(images[: chosen.images])
    return {"images": chosen.images, "before": before, "loaded": loaded, "peak": max([peak_bytes(), *seen])}


def machine_limits(job: Job) -> dict[str, Any]:
    """See `limits`."""
    return limits(job.threads, job.plan.repeats)


def warmed(found: Mapping[str, Executor], images: Any, skip: tuple[str, ...] = ()) -> dict[str, Callable[[], Taken]]:
    """Each executor as a call on its images, run once before it counts; kernels compile then, pages are touched."""
    runs: dict[str, Callable[[], Taken]] = {
        name: partial(executor.run, images[: executor.images]) for name, executor in found.items()
    }
    for name, run in runs.items():
        if name not in skip:
            run()
    return runs


def _rounds(taken: list[Taken], images: int) -> dict[str, Any]:
    """JSON-ready."""
    parts = {name: seconds(taken, name) for name in taken[0].parts}
    return {"images": images, "seconds": seconds(taken), "parts": parts}


KINDS: Mapping[str, Callable[[Job], dict[str, Any]]] = {
    "prepare": prepared,
    "describe": described,
    "compare": compared,
    "blocks": in_the_blocks,
    "growth": growth,
    "memory": memory,
    "limits": machine_limits,
}
