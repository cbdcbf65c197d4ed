"""Seconds of several executors, taken in turn, again and again: what disturbs the machine disturbs all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import RunError

REST_S = 0.02  # between turns: a thread pool spins for a while after its last task
TURN_S = 0.5  # of runs that are shorter, as many in a row as fill it


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


def interleaved(
    runs: Mapping[str, Callable[[], Taken]], repeats: int, turn_s: float = TURN_S
) -> dict[str, list[Taken]]:
    """`repeats` rounds of all runs, a turn of each; each round begins with another one. The runs have warmed up before."""
    names, taken = list(runs), dict[str, list[Taken]]((name, []) for name in runs)
    for number in range(repeats):
        start = number % len(names)
        for name in names[start:] + names[:start]:
            time.sleep(REST_S)
            taken[name].append(turn(runs[name], turn_s))
    return taken


def turn(run: Callable[[], Taken], turn_s: float) -> Taken:
    """The mean of as many runs in a row as fill `turn_s` seconds, after one that does not count: it finds the caches as another
    executor left them. A run that fills the turn by itself counts. Raises RunError where two runs give different outputs."""
    first = run()
    if first.seconds >= turn_s:
        return first
    taken = [run()]
    while sum(one.seconds for one in taken) < turn_s:
        taken.append(run())
    if any(not np.array_equal(one.outputs, first.outputs) for one in taken):
        raise RunError(
            "runs of one executor on the same images gave different outputs", "report it; no time was written"
        )
    parts = {name: fmean(one.parts[name] for one in taken) for name in first.parts}
    return Taken(fmean(one.seconds for one in taken), first.outputs, parts)


def seconds(taken: list[Taken], part: str = "") -> list[float]:
    """Of every round, of the whole run or a part."""
    return [one.parts[part] if part else one.seconds for one in taken]
