"""The `reference` backend: the meaning of a program, made executable. A plain walk over the integer graph.

Samples are computed without pipeline delay: `Delay` is the identity here, and every executor with delay must give the same
spikes, shifted. Arrays are int64, time first: [T, B, …].
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import evaluate
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.pipeline import check_samples
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.hwsim import arith
from pumice.hwsim.scoring import keep_top, sample_scores, tokens_kept
from pumice.progress import Progress, no_progress
from pumice.runtime.counting import Counting, count_samples, merged
from pumice.runtime.report import mask_nodes
from pumice.runtime.result import RunResult

Ints = NDArray[np.int64]
BATCH = 48  # samples walked at once: bounds memory, changes nothing else


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
        for batch in _batches(samples):
            given = None if schedule is None else schedule[:, batch]
            parts.append(self._run_batch(program, frames[:, batch], given, record))
            self.progress(batch.stop, samples)
        return joined(parts)

    def _run_batch(self, program: Program, frames: Ints, schedule: NDArray[np.bool_] | None, record: bool) -> RunResult:
        values, active = walk(program.graph, frames, schedule)
        readout = program.graph.nodes[program.graph.output]
        assert isinstance(readout, i.Readout)
        total = values[readout.name][-1]
        lifs = [n.name for n in program.graph.nodes.values() if isinstance(n, i.IntLif)] if record else []
        return RunResult(
            outputs=total,
            logits=total * readout.scale,
            spikes={name: values[name].astype(np.uint8) for name in lifs},
            masks={n.name: values[n.name].astype(np.bool_) for n in mask_nodes(program)},
            counts=count_samples(program, Counting(values, active)) if self.counts else None,
        )


def input_frames(graph: Graph, samples: NDArray[Any]) -> Ints:
    """Samples as graded frames [T, B, …]: clip(rint(x * scale)) into the input's range, the same for every executor."""
    check_samples(graph, samples, "input")
    node = next(n for n in graph.nodes.values() if isinstance(n, i.GradedInput))
    x = np.clip(np.rint(np.asarray(samples, np.float64) * node.scale), node.out.low, node.out.high).astype(np.int64)
    return evaluate.frames(graph, x)


def mask_schedule(graph: Graph, masks: NDArray[np.bool_] | None, samples: int) -> NDArray[np.bool_] | None:
    """A given schedule [B, blocks, T, N] as [T, B, blocks, N]. Raises InputError where one is missing or misshapen."""
    given = [n for n in graph.nodes.values() if isinstance(n, i.GivenMask)]
    if not given and masks is not None:
        raise InputError(
            "this program does not take routing masks with its samples", "compile with --masks given, or leave them out"
        )
    if not given:
        return None
    wanted = (samples, max(n.block for n in given) + 1, graph.timesteps, *given[0].out.shape)
    if masks is None:
        raise InputError("this program takes its routing masks with each sample", f"give masks of shape {wanted}")
    if masks.shape != wanted:
        raise InputError(
            f"masks: shape {masks.shape}, the program takes {wanted}", "axes are samples, blocks, timesteps, tokens"
        )
    return np.moveaxis(np.asarray(masks, np.bool_), 2, 0)


def walk(graph: Graph, frames: Ints, schedule: NDArray[np.bool_] | None) -> tuple[dict[str, Ints], dict[str, Ints]]:
    """Every node's value [T, B, …]; and per LIF layer, how many samples found each neuron active, [T, C, …]."""
    values: dict[str, Ints] = {}
    active: dict[str, Ints] = {}
    for node in graph.nodes.values():
        inputs = [values[name] for name in node.inputs]
        if isinstance(node, i.GradedInput):
            values[node.name] = frames
        elif isinstance(node, i.IntLif):
            values[node.name], active[node.name] = run_lif(node, inputs)
        else:
            values[node.name] = stateless(node, inputs, graph, frames.shape[1], schedule)
    return values, active


def stateless(node: Node, inputs: list[Ints], graph: Graph, samples: int, schedule: NDArray[np.bool_] | None) -> Ints:
    """A node whose steps do not depend on each other, over all of them at once."""
    match node:
        case i.Synapse():
            source = graph.nodes[node.inputs[0]].out
            x_max = max(abs(source.low), source.high)
            return arith.synaptic_currents(
                inputs[0], node.weight, node.stride, node.padding, x_max, len(node.out.shape)
            )
        case i.OrPool():
            return arith.or_pool(inputs[0], node.kernel, node.stride, node.padding)
        case i.Sum():
            return np.asarray(sum(inputs[1:], inputs[0]))
        case i.Reshape():
            return inputs[0].reshape(*inputs[0].shape[:2], *node.out.shape)
        case i.Delay():
            return inputs[0]
        case i.SpikeMatmul():
            return arith.spike_matmul(node.pattern, inputs[0], inputs[1], node.heads, node.shift, node.out.high)
        case i.TokenGate():
            return inputs[0] * inputs[1][:, :, None, :]
        case i.StaticMask():
            return np.broadcast_to(node.masks[:, None], (graph.timesteps, samples, *node.out.shape)).astype(np.int64)
        case i.GivenMask():
            assert schedule is not None
            return schedule[:, :, node.block].astype(np.int64)
        case i.LiveMask():
            scores = sample_scores(inputs[0].reshape(*inputs[0].shape[:3], *node.grid), node.criterion, node.block)
            return keep_top(scores, tokens_kept(node.retention, *node.grid, node.criterion.rule)).astype(np.int64)
        case i.Readout():
            return run_readout(node, inputs[0])
        case _:
            raise TypeError(f"no integer meaning for {type(node).__name__}")


def run_lif(node: i.IntLif, inputs: list[Ints]) -> tuple[Ints, Ints]:
    """Spikes [T, B, C, …] of a layer, and its active neurons. A neuron is active in a step when it is routed and has an
    input, a bias or a membrane to update."""
    current = inputs[0]
    params = arith.LifParams(node.vth, node.dv, node.bias)
    u = v = np.zeros_like(current[0])
    spikes = np.empty_like(current)
    active = np.empty((current.shape[0], *current.shape[2:]), np.int64)
    for t in range(current.shape[0]):
        routed = np.ones((), np.bool_) if node.gate_state == "" else inputs[1][t][:, None, :] > 0
        active[t] = (routed & ((current[t] != 0) | (params.bias != 0) | (v != 0))).sum(axis=0)
        if node.gate_state == "":
            u, v, spikes[t] = arith.lif_step(u, v, current[t], params)
        else:
            u, v, spikes[t] = arith.gated_lif_step(u, v, current[t], routed, params, node.gate_state)
    return spikes, active


def run_readout(node: i.Readout, current: Ints) -> Ints:
    """Running totals [T, B, K] from currents [T, B, K, N]."""
    total = np.broadcast_to(node.offset, current.shape[1:3])
    totals = []
    for t in range(current.shape[0]):
        total = arith.accumulate(total, current[t].sum(axis=-1))
        totals.append(total)
    return np.stack(totals)


def joined(parts: list[RunResult]) -> RunResult:
    """The results of consecutive batches as one."""
    first = parts[0]
    return RunResult(
        outputs=np.concatenate([p.outputs for p in parts]),
        logits=np.concatenate([p.logits for p in parts]),
        spikes={name: np.concatenate([p.spikes[name] for p in parts], axis=1) for name in first.spikes},
        masks={name: np.concatenate([p.masks[name] for p in parts], axis=1) for name in first.masks},
        counts=merged([p.counts for p in parts if p.counts is not None]),
    )


def _batches(samples: int) -> Iterator[slice]:
    return (slice(start, min(start + BATCH, samples)) for start in range(0, samples, BATCH))
