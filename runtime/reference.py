"""The `reference` backend: the meaning of a program, made executable. A plain walk over the integer graph.

Samples are computed without pipeline delay: `Delay` is the identity here, and every executor with delay must give the same
spikes, shifted. Arrays are int64, time first: [T, B, …].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import evaluate
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.loops import parts, past, runs_at_once
from pumice.compiler.pipeline import check_samples
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.hwsim import arith
from pumice.hwsim.scoring import keep_top, sample_scores, tokens_kept
from pumice.progress import Progress, no_progress
from pumice.runtime.counting import Counting, count_samples, merged
from pumice.runtime.neurons import State, active_neurons, begin, run_memoryless, run_readout, run_stateful
from pumice.runtime.recording import further, record_dtype, recorded
from pumice.runtime.report import mask_nodes
from pumice.runtime.result import RunResult

Ints = NDArray[np.int64]
BATCH = 48  # samples walked at once, at most
VALUES = 1 << 27  # integers held at once, 1 GiB: fewer samples of a large network; bounds memory, changes nothing else


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
        for batch in _batches(samples, batch_size(program.graph)):
            given = None if schedule is None else schedule[:, batch]
            parts.append(self._run_batch(program, frames[:, batch], given, record))
            self.progress(batch.stop, samples)
        return joined(parts)

    def _run_batch(self, program: Program, frames: Ints, schedule: NDArray[np.bool_] | None, record: bool) -> RunResult:
        values, active = walk(program.graph, frames, schedule)
        readout = program.graph.nodes[program.graph.output]
        assert isinstance(readout, i.Readout)
        total = values[readout.name][-1]
        kept = recorded(program.graph) if record else []
        return RunResult(
            outputs=total,
            logits=total * readout.scale,
            spikes={node.name: values[node.name].astype(record_dtype(node)) for node in kept},
            masks={n.name: values[n.name].astype(np.bool_) for n in mask_nodes(program)},
            counts=count_samples(program, Counting(values, active)) if self.counts else None,
            named=further(program.graph, values),
        )


def input_frames(graph: Graph, samples: NDArray[Any]) -> Ints:
    """Samples as graded frames [T, B, …]: clip(rint(x * scale)) into the input's range, the same for every executor."""
    check_samples(graph, samples, "input")
    node = next(n for n in graph.nodes.values() if isinstance(n, i.GradedInput))
    x = np.clip(np.rint(np.asarray(samples, np.float64) * node.scale), node.out.low, node.out.high).astype(np.int64)
    return evaluate.frames(graph, x)


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


def walk(graph: Graph, frames: Ints, schedule: NDArray[np.bool_] | None) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Every node's value [T, B, …]; and per layer of neurons, how many samples found each one active, [T, C, …]."""
    walked = Walk(graph, schedule, frames.shape[1])
    for part in parts(graph):
        if isinstance(part[0], i.GradedInput):
            walked.values[part[0].name] = frames
        elif runs_at_once(part):
            walked.run(part[0], slice(None))
        else:
            for t in range(graph.timesteps):
                for node in part:
                    walked.run(node, slice(t, t + 1))
    return walked.values, walked.active


@dataclass(frozen=True, eq=False)
class Walk:
    """A walk over a graph. values, active: as `walk` returns them; states: of neurons, after the steps that they have run."""

    graph: Graph
    schedule: NDArray[np.bool_] | None
    samples: int
    values: dict[str, Ints] = field(default_factory=dict)
    active: dict[str, Ints] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)

    def run(self, node: Node, when: slice) -> None:
        """One node over the timesteps `when`: all of them, or the next one of a cycle."""
        inputs = [self.values[name][when] for name in node.inputs]
        if isinstance(node, i.Past | i.Feedback):
            self._store(node, when, self._past(node, when))
        elif isinstance(node, i.IntLif | i.Programmable):
            state = self.states[node.name] if node.name in self.states else begin(node, inputs[0][0])
            sent, active, self.states[node.name] = run_stateful(node, inputs, state)
            self._store(node, when, sent)
            self._store_active(node, when, active)
        else:
            self._store(node, when, stateless(node, inputs, self.graph, self.samples, self.schedule))
            if isinstance(node, i.Levels | i.Membrane):
                self._store_active(node, when, active_neurons(node, inputs, self.values[node.name][when]))

    def _past(self, node: i.Past | i.Feedback, when: slice) -> Ints:
        name = node.of if isinstance(node, i.Feedback) else node.inputs[0]
        steps = range(self.graph.timesteps)[when]
        if name not in self.values:  # a cycle's first step
            return np.zeros((len(steps), self.samples, *node.out.shape), np.int64)
        return np.stack([past(self.values[name], node.steps, t) for t in steps])

    def _store(self, node: Node, when: slice, value: Ints) -> None:
        if when == slice(None):
            self.values[node.name] = value
            return
        if node.name not in self.values:
            self.values[node.name] = np.zeros((self.graph.timesteps, *value.shape[1:]), np.int64)
        self.values[node.name][when] = value

    def _store_active(self, node: Node, when: slice, active: Ints) -> None:
        if node.name not in self.active:
            self.active[node.name] = np.zeros((self.graph.timesteps, *node.out.shape), np.int64)
        self.active[node.name][when] = active


def stateless(node: Node, inputs: list[Ints], graph: Graph, samples: int, schedule: NDArray[np.bool_] | None) -> Ints:
    """A node whose steps do not depend on each other, over all of them at once."""
    match node:
        case i.Synapse():
            source = graph.nodes[node.inputs[0]].out
            x_max = max(abs(source.low), source.high)
            rank = len(node.out.shape)
            return arith.synaptic_currents(inputs[0], node.weight, node.stride, node.padding, x_max, rank, node.groups)
        case i.Levels() | i.Membrane():
            return run_memoryless(node, inputs)
        case i.OrPool():
            return arith.or_pool(inputs[0], node.kernel, node.stride, node.padding)
        case i.Sum() | i.Currents():
            return np.asarray(sum(inputs[1:], inputs[0]))
        case i.Reshape():
            return inputs[0].reshape(*inputs[0].shape[:2], *node.out.shape)
        case i.Delay() | i.OneToOne():
            return inputs[0]
        case i.MaxPool():
            return arith.max_pool(inputs[0], node.kernel, node.stride, node.padding)
        case i.TokenSum():
            return arith.token_sum(inputs[0], node.shift)
        case i.SpikeAnd():
            return arith.spike_and(inputs[0], inputs[1])
        case i.SpikeMatmul():
            return arith.spike_matmul(node.pattern, inputs[0], inputs[1], node.heads, node.shift, node.out.high)
        case i.TokenGate():
            return inputs[0] * inputs[1][:, :, None, :]
        case i.StaticMask():
            return np.broadcast_to(node.masks[:, None], (graph.timesteps, samples, *node.out.shape)).astype(np.int64)
        case i.GivenMask():
            assert schedule is not None
            return schedule[:, :, node.block, : node.out.shape[0]].astype(np.int64)
        case i.LiveMask():
            scores = sample_scores(inputs[0].reshape(*inputs[0].shape[:3], *node.grid), node.criterion, node.block)
            return keep_top(scores, tokens_kept(node.retention, *node.grid, node.criterion.rule)).astype(np.int64)
        case i.Readout():
            return run_readout(node, inputs[0])
        case _:
            raise TypeError(f"no integer meaning for {type(node).__name__}")


def joined(parts: list[RunResult]) -> RunResult:
    """The results of consecutive batches as one."""
    first = parts[0]
    return RunResult(
        outputs=np.concatenate([p.outputs for p in parts]),
        logits=np.concatenate([p.logits for p in parts]),
        spikes={name: np.concatenate([p.spikes[name] for p in parts], axis=1) for name in first.spikes},
        masks={name: np.concatenate([p.masks[name] for p in parts], axis=1) for name in first.masks},
        counts=merged([p.counts for p in parts if p.counts is not None]),
        named={name: np.concatenate([p.named[name] for p in parts]) for name in first.named},
    )


def batch_size(graph: Graph) -> int:
    """How many samples are walked at once: every node's values are kept for the counts."""
    values = graph.timesteps * sum(int(np.prod(node.out.shape)) for node in graph.nodes.values())
    return max(1, min(BATCH, VALUES // values))


def _batches(samples: int, length: int) -> Iterator[slice]:
    return (slice(start, min(start + length, samples)) for start in range(0, samples, length))
