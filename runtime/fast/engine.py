"""Samples through a program by its kernels: a batch on one thread, batches on several."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import thread_time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.walk import graded_frames
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.lanes import Held, held, storage
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.operations import run_node
from pumice.runtime.fast.plan import Plan
from pumice.runtime.fast.tally import Notes
from pumice.runtime.recording import record_dtype, recorded
from pumice.runtime.tally import Tally, Wanted

Bools = NDArray[np.bool_]
Values = dict[str, NDArray[Any]]
Clock = Callable[[str, float], None]  # told how many seconds of a thread's own a node took


def no_clock(name: str, seconds: float) -> None:
    """For runs that nobody times."""


@dataclass(frozen=True, eq=False)
class Ran:
    """What a batch gave. values: of read-outs, and of recorded layers, [T, B, C, …]; masks: by mask node, [T, B, N]."""

    values: Values
    masks: dict[str, Bools]
    tally: Tally | None


def run_batch(
    plan: Plan,
    samples: NDArray[Any],
    schedule: Bools | None,
    memory: Memory,
    names: Wanted | None,
    record: bool,
    clock: Clock = no_clock,
) -> Ran:
    """Samples [B, …] through all nodes. names: what is tallied, None for nothing."""
    batch = Batch(plan, len(samples), schedule, memory, names is not None)
    notes = Notes(names) if names else None
    kept: Values = {}
    masks: dict[str, Bools] = {}
    recording = {node.name for node in recorded(plan.graph)} if record else set()
    for turn in plan.turns[batch.counted]:
        node, began = turn.node, thread_time()
        batch.values[node.name] = _computed(batch, node, samples)
        if notes:
            notes.see(batch, node)
        clock(node.name, thread_time() - began)
        if node.name in recording or isinstance(node, i.Readout):
            value = batch.dense(node.name)
            kept[node.name] = value.astype(record_dtype(node)) if node.name in recording else value
        if isinstance(node, i.MaskSource):
            masks[node.name] = batch.dense(node.name) != 0
        for name in turn.done:
            batch.values.pop(name, None)
    return Ran(kept, masks, notes.tally(batch) if notes else None)


def _computed(batch: Batch, node: Node, samples: NDArray[Any]) -> Held:
    if not isinstance(node, i.GradedInput):
        return run_node(batch, node)
    frames = graded_frames(batch.plan.graph, samples)
    return held(frames, batch.layout(node), storage(node.out), batch.memory)
