"""Seconds of several runs, taken in turn, again and again: what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

REST_S = 0.02  # between runs: a thread pool spins for a while after its last task


@dataclass(frozen=True, eq=False)
class Taken:
    """seconds: of a run. outputs: what it gave, integers [B, K] or floats. parts: seconds of parts of the run, by name."""

    seconds: float
    outputs: NDArray[Any]
    parts: Mapping[str, float]


def timed(run: Callable[[], NDArray[Any]], parts: Callable[[], Mapping[str, float]] = dict) -> Taken:
    """One run, by the wall clock. parts: asked for when it has ended."""
    began = time.perf_counter()
    outputs = run()
    return Taken(time.perf_counter() - began, outputs, parts())


def interleaved(runs: Mapping[str, Callable[[], Taken]], repeats: int) -> dict[str, list[Taken]]:
    """`repeats` rounds of all runs; each round begins with another one. The runs have warmed up before."""
    names, taken = list(runs), dict[str, list[Taken]]((name, []) for name in runs)
    for number in range(repeats):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            time.sleep(REST_S)
            taken[name].append(runs[name]())
    return taken


def seconds(taken: list[Taken], part: str = "") -> list[float]:
    """Of every round, of the whole run or a part."""
    return [one.parts[part] if part else one.seconds for one in taken]
