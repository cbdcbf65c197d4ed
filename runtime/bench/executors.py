"""The executors that are compared, each as one call on a batch of images."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumice.compiler.program import Program
from pumice.runtime.bench.plans import ModelPlan
from pumice.runtime.bench.timing import Taken, timed
from pumice.runtime.fast.backend import Fast
from pumice.runtime.lava_backend import LavaBackend, installed
from pumice.runtime.reference import Reference
from pumice.runtime.torch_backend.prepared import prepare

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork

INTEGERS = ("fast", "torch", "reference", "lava")  # those whose outputs have to be equal
LAVA_QUIET_S = 120.0  # without a sign of life it is ended
STEADY = "per image, started"
BLOCKS, NODES = "blocks", "all nodes"
BLOCK_PREFIXES = ("block.", "stage")
Images = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Executor:
    """run: images [B, C, H, W] to outputs [B, K], timed. images: how many it is given, the first of all."""

    run: Callable[[Images], Taken]
    images: int


@dataclass(frozen=True, eq=False)
class Clock:
    """Seconds by node, added up over threads."""

    nodes: dict[str, float] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)

    def see(self, node: str, seconds: float) -> None:
        """One node on one thread."""
        with self.lock:
            self.nodes[node] = self.nodes.get(node, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """Thread seconds in the transformer blocks, and in all nodes, since this was last asked."""
        with self.lock:
            blocks = sum(seconds for node, seconds in self.nodes.items() if in_blocks(node))
            every = sum(self.nodes.values())
            self.nodes.clear()
        return {BLOCKS: blocks, NODES: every}


def in_blocks(node: str) -> bool:
    """Whether a node is part of a transformer block."""
    return node.startswith(BLOCK_PREFIXES)


def executors(plan: ModelPlan, program: Program, network: SpikingNetwork | None, threads: int) -> dict[str, Executor]:
    """Those that a plan has for a program, and for the float network where one is given."""
    torch.set_num_threads(threads)
    found = {"fast": fast(program, plan.batch, threads), "torch": torch_integers(program, plan.batch)}
    if network is not None:
        found["float"] = torch_float(network, plan.batch)
    if plan.reference:
        found["reference"] = Executor(
            lambda x: timed(lambda: Reference(counts=False).run(program, x).outputs), plan.reference
        )
    if plan.lava and installed("lava.magma"):
        found["lava"] = Executor(lambda x: on_lava(program, x), plan.lava)
    return found


def fast(program: Program, images: int, threads: int) -> Executor:
    """The `fast` backend; it lays weights out in its first run, which does not count."""
    backend = Fast(counts=False, threads=threads)
    return Executor(lambda x: timed(lambda: backend.run(program, x).outputs), images)


def clocked(program: Program, images: int, threads: int) -> Executor:
    """The same with the time of each node: `BLOCKS` and `NODES`, thread seconds."""
    clock = Clock()
    backend = Fast(counts=False, threads=threads, clock=clock.see)
    return Executor(lambda x: timed(lambda: backend.run(program, x).outputs, clock.take), images)


def torch_integers(program: Program, images: int) -> Executor:
    """The `torch` backend on the CPU, its weights laid out before."""
    ready = prepare(program, torch.device("cpu"))
    return Executor(lambda x: timed(lambda: ready.run(x, counts=False).outputs), images)


def torch_float(network: SpikingNetwork, images: int) -> Executor:
    """The network as a user of PyTorch would run it: eval, no gradients, float32, one batch."""
    network.eval()

    def logits(x: Images) -> NDArray[Any]:
        with torch.inference_mode():
            found: NDArray[Any] = network(torch.from_numpy(np.asarray(x, np.float32))).numpy()
        return found

    return Executor(lambda x: timed(lambda: logits(x)), images)


def on_lava(program: Program, x: Images) -> Taken:
    """The `lava` backend. Beside the whole run, seconds an image once its processes have started: an image every T steps."""
    marks: list[tuple[float, int]] = []
    backend = LavaBackend(
        timeout_s=LAVA_QUIET_S, progress=lambda step, steps: marks.append((time.perf_counter(), step))
    )

    def steady() -> Mapping[str, float]:
        (began, first), (ended, last) = marks[0], marks[-1]
        step = (ended - began) / (last - first) if last > first else float("nan")
        return {STEADY: step * program.graph.timesteps}

    return timed(lambda: backend.run(program, x).outputs, steady)
