"""A plain walk over the integer graph: what a program means, made executable.

Samples are computed without pipeline delay: `Delay` is the identity here, and every executor with delay must give the same
spikes, shifted. Arrays are int64, time first: [T, B, …].
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import evaluate
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, of_feedback
from pumice.compiler.loops import parts, past, runs_at_once
from pumice.compiler.walk_neurons import State, active_neurons, begin, run_memoryless, run_readout, run_stateful
from pumice.hwsim import arith
from pumice.hwsim.scoring import sample_masks

Ints = NDArray[np.int64]
See = Callable[[Node, Ints], None]
BATCH = 48  # samples walked at once, at most
VALUES = 1 << 27  # integers held at once, 1 GiB: fewer samples of a large network; bounds memory, changes nothing else


def graded_frames(graph: Graph, samples: NDArray[Any]) -> Ints:
    """Samples as graded frames [T, B, …]: clip(rint(x * scale)) into the input's range, the same for every executor."""
    node = next(n for n in graph.nodes.values() if isinstance(n, i.GradedInput))
    x = np.clip(np.rint(np.asarray(samples, np.float64) * node.scale), node.out.low, node.out.high).astype(np.int64)
    return evaluate.frames(graph, x)


def walk(graph: Graph, frames: Ints, schedule: NDArray[np.bool_] | None) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Every node's value [T, B, …]; and per layer of neurons, how many samples found each one active, [T, C, …]."""
    walked = Walk(graph, schedule, frames.shape[1], {})
    for part in parts(graph):
        walked.run_part(part, frames)
    return walked.values, walked.active or {}


def walk_through(graph: Graph, frames: Ints, schedule: NDArray[np.bool_] | None, see: See) -> None:
    """As `walk`, for who only looks at each value once, `see(node, value)`: it is freed after its last reader."""
    walked, order = Walk(graph, schedule, frames.shape[1]), parts(graph)
    last = last_readers(order)
    for at, part in enumerate(order):
        walked.run_part(part, frames)
        for node in part:
            see(node, walked.values[node.name])
        for name in [name for name in walked.values if last[name] == at]:
            del walked.values[name]


def last_readers(order: list[list[Node]]) -> dict[str, int]:
    """For each node the place in `order` after which nothing reads its value."""
    return {name: at for at, part in enumerate(order) for node in part for name in (node.name, *reads(node))}


def reads(node: Node) -> tuple[str, ...]:
    """The nodes whose values a node needs, a feedback's among them."""
    return (*node.inputs, *([of_feedback(node)] if of_feedback(node) else []))


@dataclass(frozen=True, eq=False)
class Walk:
    """A walk over a graph. values, active: as `walk` returns them, active None where nobody asks; states: of neurons, after the
    steps that they have run."""

    graph: Graph
    schedule: NDArray[np.bool_] | None
    samples: int
    active: dict[str, Ints] | None = None
    values: dict[str, Ints] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)

    def run_part(self, part: list[Node], frames: Ints) -> None:
        """A node over all timesteps, or those of a cycle step by step."""
        if isinstance(part[0], i.GradedInput):
            self.values[part[0].name] = frames
        elif runs_at_once(part):
            self.run(part[0], slice(None))
        else:
            for t in range(self.graph.timesteps):
                for node in part:
                    self.run(node, slice(t, t + 1))

    def run(self, node: Node, when: slice) -> None:
        """One node over the timesteps `when`: all of them, or the next one of a cycle."""
        inputs = [self.values[name][when] for name in node.inputs]
        if isinstance(node, i.Past | i.Feedback):
            self._store(node, when, self._past(node, when))
        elif isinstance(node, i.IntLif | i.Programmable):
            state = self.states[node.name] if node.name in self.states else begin(node, inputs[0][0])
            sent, active, self.states[node.name] = run_stateful(node, inputs, state, self.active is not None)
            self._store(node, when, sent)
            self._store_active(node, when, active)
        else:
            self._store(node, when, stateless(node, inputs, self.graph, self.samples, self.schedule))
            if self.active is not None and isinstance(node, i.Levels | i.Membrane):
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
        if self.active is None:
            return
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
            a, b = inputs
            bound = i.largest_sum(node, *(graph.nodes[name].out for name in node.inputs))
            return arith.spike_matmul(node.pattern, a, b, node.heads, node.shift, bound, node.out.high)
        case i.TokenGate():
            return inputs[0] * inputs[1][:, :, None, :]
        case i.StaticMask():
            return np.broadcast_to(node.masks[:, None], (graph.timesteps, samples, *node.out.shape)).astype(np.int64)
        case i.GivenMask():
            assert schedule is not None
            return schedule[:, :, node.block, : node.out.shape[0]].astype(np.int64)
        case i.LiveMask():
            return live_mask(node, inputs[0]).astype(np.int64)
        case i.Readout():
            return run_readout(node, inputs[0])
        case _:
            raise TypeError(f"no integer meaning for {type(node).__name__}")


def live_mask(node: i.LiveMask, x: NDArray[Any]) -> NDArray[np.bool_]:
    """The mask [T, B, N] scored from counts [T, B, C, N], integers of any width."""
    return sample_masks(x.reshape(*x.shape[:3], *node.grid), node.criterion, node.retention, node.block)


def batch_size(graph: Graph) -> int:
    """How many samples are walked at once, so that all values of theirs together stay within bounds."""
    values = graph.timesteps * sum(int(np.prod(node.out.shape)) for node in graph.nodes.values())
    return max(1, min(BATCH, VALUES // values))


def batches(graph: Graph, samples: int) -> Iterator[slice]:
    """Samples, as many at once as may be."""
    length = batch_size(graph)
    return (slice(start, min(start + length, samples)) for start in range(0, samples, length))
