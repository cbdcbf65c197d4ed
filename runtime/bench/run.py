"""A whole benchmark: the jobs of a plan, one after the other, and their numbers put together."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pumice.progress import Progress, no_progress
from pumice.runtime.bench.children import command_line_seconds, in_child
from pumice.runtime.bench.jobs import Job
from pumice.runtime.bench.machine import chosen_cpus
from pumice.runtime.bench.models import Store
from pumice.runtime.bench.plans import UNPRUNED, ModelPlan, Plan
from pumice.runtime.lava_backend import installed

Start = Callable[[Job], dict[str, Any]]
DIGITS = 360
MEASURED = ("fast", "torch", "float", "reference", "lava")


@dataclass(frozen=True, eq=False)
class Bench:
    """folder: for programs while it runs. start: does a job, by default in a process of its own."""

    plan: Plan
    threads: int
    folder: Path
    start: Start
    cpus: tuple[int, ...] = ()


def run_bench(plan: Plan, threads: int, progress: Progress = no_progress, start: Start | None = None) -> dict[str, Any]:
    """All that the plan measures, as `report.report` takes it. progress: told jobs done and in all. Raises RunError where bits
    differ, a job fails, or one takes too long."""
    cpus = chosen_cpus(threads)
    with tempfile.TemporaryDirectory(prefix="pumice-bench-") as name:
        default = partial(in_child, cpus=cpus, limit_s=plan.job_seconds)
        bench = Bench(plan, threads, Path(name), start or default, cpus)
        works = _works(bench)
        found: dict[str, Any] = {}
        for done, (keys, work) in enumerate(works):
            progress(done, len(works))
            began = time.perf_counter()
            _put(found, keys, work())
            _put(found, ("seconds", " ".join(keys)), time.perf_counter() - began)
        progress(len(works), len(works))
        return found


Work = tuple[tuple[str, ...], Callable[[], Any]]


def _works(bench: Bench) -> list[Work]:
    """Where each result goes, and what makes it; programs are made before anything that runs them."""
    works: list[Work] = []
    for model in bench.plan.models:
        works += _model_works(bench, model)
    works.append((("limits",), lambda: bench.start(_job(bench, "limits", bench.plan.models[0]))))
    if bench.plan.digits:
        works.append((("digits",), lambda: digits(bench)))
    return works


def _model_works(bench: Bench, model: ModelPlan) -> list[Work]:
    def job(kind: str, *keys: str, **more: Any) -> Work:
        made = _job(bench, kind, model, **more)
        return ("models", model.name, kind, *keys), lambda: bench.start(made)

    works = [job("prepare"), job("describe")]
    works += [job("compare", variant.name, variant=variant) for variant in model.compared]
    works += [job("blocks"), job("growth")]
    return works + [job("memory", name, executor=name) for name in _runnable(model)]


def _runnable(model: ModelPlan) -> list[str]:
    absent = {"reference"} if not model.reference else set()
    absent |= set() if model.lava and installed("lava.magma") else {"lava"}
    return [name for name in MEASURED if name not in absent]


def _job(bench: Bench, kind: str, model: ModelPlan, **more: Any) -> Job:
    return Job(kind, bench.folder / model.name, bench.threads, model, **more)


def digits(bench: Bench) -> dict[str, Any]:
    """Seconds of `pumice run --backend fast` on 360 images of the zoo's digits, from its start to its end: from an array in a
    file, and from the shipped data set, which loads PyTorch. One start before them does not count: kernels compile once."""
    store = Store(bench.folder / "spikformer-digits")
    where, out = store.folder / "digits.npy", store.folder / "digits.npz"
    np.save(where, _digit_images())
    words = ["run", str(store.artifact(UNPRUNED)), "--backend", "fast", "--output", str(out), "--input"]

    def run(given: str) -> float:
        return command_line_seconds([*words, given], bench.cpus, bench.threads, bench.plan.job_seconds)

    run(str(where))
    taken = [(run(str(where)), run("digits")) for _ in range(bench.plan.digits)]
    return {"images": DIGITS, "array_s": [one for one, _ in taken], "shipped_data_s": [other for _, other in taken]}


def _digit_images() -> Any:
    from pumice.models.training.datasets import zoo_data

    images = zoo_data("spikformer-digits").test.images.numpy()
    return np.resize(images, (DIGITS, *images.shape[1:]))


def _put(found: dict[str, Any], keys: tuple[str, ...], value: Any) -> None:
    """Into nested dictionaries."""
    for key in keys[:-1]:
        found = found.setdefault(key, {})
    found[keys[-1]] = value
