"""The `reference` backend: the meaning of a program, made executable. `compiler.walk` in batches, recorded and counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.pipeline import check_samples
from pumice.compiler.program import Program
from pumice.compiler.walk import batches, graded_frames, walk
from pumice.errors import InputError
from pumice.progress import Progress, no_progress
from pumice.runtime.counting import Counter
from pumice.runtime.recording import result_of
from pumice.runtime.report import mask_nodes
from pumice.runtime.result import RunResult
from pumice.runtime.tally import Wanted, tally_of, wanted

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Reference:
    """counts=False skips the accounting, for runs that only need spikes. progress: told samples done and in all."""

    counts: bool = True
    progress: Progress = no_progress

    def run(
        self, program: Program, inputs: NDArray[Any], masks: NDArray[np.bool_] | None = None, record: bool = False
    ) -> RunResult:
        """See `runtime.result.Backend`."""
        frames = input_frames(program.graph, inputs)
        schedule = mask_schedule(program.graph, masks, frames.shape[1])
        samples, parts = frames.shape[1], []
        counter = Counter(program, network_of(program.graph, program.chip)) if self.counts else None
        names = wanted(program.graph) if self.counts else None
        for batch in batches(program.graph, samples):
            given = None if schedule is None else schedule[:, batch]
            parts.append(_run_batch(program, counter, names, frames[:, batch], given, record))
            self.progress(batch.stop, samples)
        return replace(joined(parts), counts=counter.table() if counter else None)


def _run_batch(
    program: Program,
    counter: Counter | None,
    names: Wanted | None,
    frames: Ints,
    schedule: NDArray[np.bool_] | None,
    record: bool,
) -> RunResult:
    """One batch; it is counted where there is a counter, and names of what it counts."""
    values, active = walk(program.graph, frames, schedule)
    masks = {node.name: values[node.name].astype(np.bool_) for node in mask_nodes(program)}
    if counter and names:
        counter.add(tally_of(program.graph, names, values, active))
    return result_of(program.graph, values, masks, record)


def input_frames(graph: Graph, samples: NDArray[Any]) -> Ints:
    """`graded_frames` of samples, once they are known to fit. Raises InputError where they do not."""
    check_samples(graph, samples, "input")
    return graded_frames(graph, samples)


def mask_schedule(graph: Graph, masks: NDArray[np.bool_] | None, samples: int) -> NDArray[np.bool_] | None:
    """A given schedule [B, blocks, T, N] as [T, B, blocks, N]; where blocks differ in tokens, N is the most that any has and
    the others take the first ones. Raises InputError where one is missing or misshapen."""
    given = [n for n in graph.nodes.values() if isinstance(n, i.GivenMask)]
    if not given and masks is not None:
        raise InputError(
            "this program does not take routing masks with its samples", "compile with --masks given, or leave them out"
        )
    if not given:
        return None
    wanted = (samples, max(n.block for n in given) + 1, graph.timesteps, max(n.out.shape[0] for n in given))
    if masks is None:
        raise InputError("this program takes its routing masks with each sample", f"give masks of shape {wanted}")
    if masks.shape != wanted:
        raise InputError(
            f"masks: shape {masks.shape}, the program takes {wanted}", "axes are samples, blocks, timesteps, tokens"
        )
    return np.moveaxis(np.asarray(masks, np.bool_), 2, 0)


def joined(parts: list[RunResult]) -> RunResult:
    """The results of consecutive batches as one; counts are kept apart, by their `Counter`."""
    first = parts[0]
    return RunResult(
        outputs=np.concatenate([p.outputs for p in parts]),
        logits=np.concatenate([p.logits for p in parts]),
        spikes={name: np.concatenate([p.spikes[name] for p in parts], axis=1) for name in first.spikes},
        masks={name: np.concatenate([p.masks[name] for p in parts], axis=1) for name in first.masks},
        named={name: np.concatenate([p.named[name] for p in parts]) for name in first.named},
    )
