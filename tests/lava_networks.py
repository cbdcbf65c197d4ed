"""Small integer graphs built by hand for the Lava tests, and a look at the processes that a run starts."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType, rebuilt
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import BalanceDelays
from pumice.compiler.program import CoreMapping, Program
from pumice.hwsim.arith import Signs
from pumice.hwsim.spec import load_chip

CLASSES, CHANNELS, TOKENS = 3, 4, 9


def spikes(*shape: int) -> TensorType:
    return TensorType(shape, "spike", 0, 1)


def currents(*shape: int) -> TensorType:
    return TensorType(shape, "current", -100_000, 100_000)


def program_of(nodes: Iterable[Node], output: str, timesteps: int = 3) -> Program:
    """A balanced program that is on no core: the Lava backend runs graphs, not placements."""
    chip = load_chip("loihi2")
    graph = Graph({node.name: node for node in nodes}, output, "lowered", timesteps, "frames")
    balanced = BalanceDelays()(rebuilt(graph, nodes, "lowered", ()), chip)
    return Program(balanced, CoreMapping((), (), {}), chip, CompileOptions())


def in_lists(program: Program, signs: Signs, synapses: int) -> Program:
    """The program with weights that take that many synapses, and, in lists by sign, with odd ones."""

    def wide(node: Node) -> Node:
        if not isinstance(node, i.Synapse):
            return node
        weight = node.weight * synapses + (node.weight != 0) * (signs == "split")
        high = 255 * synapses
        return replace(
            node, weight=weight.clip(-high, high) if signs == "split" else weight, signs=signs, synapses=synapses
        )

    nodes = {name: wide(node) for name, node in program.graph.nodes.items()}
    return replace(program, graph=replace(program.graph, nodes=nodes))


def odd_shapes(seed: int = 0) -> Program:
    """Kernels, strides and padding that differ between rows and columns, a sum of one node with itself and with signs,
    strong biases, a grouped layer, one without any synapse, a gated one, and a sample's frames that differ."""
    rng = np.random.default_rng(seed)

    def synapse(
        name: str, source: str, out: TensorType, weight: np.ndarray, *geometry: tuple[int, int], groups: int = 1
    ) -> i.Synapse:
        stride, padding = geometry or ((1, 1), (0, 0))
        return i.Synapse(name, (source,), out, name, weight, stride, padding, 1.0, groups)

    def even(*shape: int) -> np.ndarray:
        return rng.integers(-128, 128, shape) * 2

    def lif(name: str, inputs: tuple[str, ...], out: TensorType, state: str = "", bias: int = 400) -> i.IntLif:
        return i.IntLif(name, inputs, out, name, 300, 2048, rng.integers(-bias, bias, out.shape[0]), 6, 1.0, state)

    tokens = (CHANNELS, TOKENS)
    return program_of(
        [
            i.GradedInput("input", (), TensorType((2, 7, 5), "graded", -128, 127), "input", 1.0),
            synapse("conv", "input", currents(CHANNELS, 3, 3), even(CHANNELS, 1, 3, 2), (2, 2), (0, 1), groups=2),
            lif("lif", ("conv",), spikes(CHANNELS, 3, 3)),
            i.Reshape("flat", ("lif",), spikes(*tokens), "flat"),
            i.StaticMask("mask", (), TensorType((TOKENS,), "mask", 0, 1), "mask", 0, rng.random((3, TOKENS)) < 0.6),
            i.Sum("double", ("flat", "flat"), TensorType(tokens, "graded", 0, 2), "double"),
            synapse("silent", "double", currents(*tokens), np.zeros((CHANNELS, CHANNELS, 1, 1), np.int64)),
            lif("biased", ("silent",), spikes(*tokens), bias=4000),
            synapse("mix", "double", currents(*tokens), even(CHANNELS, CHANNELS, 1, 1)),
            lif("gated", ("mix", "mask"), spikes(*tokens), "decay"),
            i.Sum("all", ("double", "biased", "gated"), TensorType(tokens, "graded", 0, 4), "all"),
            synapse("head", "all", currents(CLASSES, TOKENS), even(CLASSES, CHANNELS, 1, 1)),
            i.Readout(
                "out", ("head",), TensorType((CLASSES,), "graded", -(1 << 23), 1 << 23), "out", np.arange(3), 0.5
            ),
        ],
        "out",
    )


def both_attentions(seed: int = 0, top: int = 1 << 14) -> Program:
    """The same attention, two heads, lowered in both orders side by side; input and samples as in `odd_shapes`. top: where its
    currents saturate, if they get there."""
    rng = np.random.default_rng(seed)
    tokens, heads, shift = (CHANNELS, 35), 2, 4
    frame = TensorType((2, 7, 5), "graded", -128, 127)
    nodes: list[Node] = [
        i.GradedInput("input", (), frame, "input", 1.0),
        i.Reshape("flat", ("input",), TensorType((2, 35), "graded", -128, 127), "flat"),
    ]

    def lif(name: str, source: str, vth: int) -> i.IntLif:
        return i.IntLif(name, (source,), spikes(*tokens), name, vth, 2048, np.arange(CHANNELS), 6, 1.0)

    def half(pattern: i.Pattern, a: str, b: str, out: TensorType) -> i.SpikeMatmul:
        return i.SpikeMatmul(pattern, (a, b), out, pattern, pattern, heads, 0 if out.dtype == "graded" else shift)

    for name in "qkv":
        weight = rng.integers(-128, 128, (CHANNELS, 2, 1, 1)) * 2
        nodes.append(i.Synapse(f"{name}_in", ("flat",), currents(*tokens), name, weight, (1, 1), (0, 0), 1.0))
        nodes.append(lif(name, f"{name}_in", 9000))
    product = TensorType(tokens, "current", 0, top)
    nodes += [
        half("scores", "q", "k", TensorType((heads * 35, 35), "graded", 0, 2)),
        half("scores-values", "scores", "v", product),
        lif("by_scores", "scores-values", 40),
        half("keys-values", "k", "v", TensorType((CHANNELS, CHANNELS // heads), "graded", 0, 35)),
        half("queries-context", "q", "keys-values", product),
        lif("by_context", "queries-context", 40),
        i.Sum("both", ("scores-values", "queries-context"), TensorType(tokens, "current", 0, 2 * top), "both"),
        i.Readout(
            "out", ("both",), TensorType((CHANNELS,), "graded", 0, 1 << 23), "out", np.zeros(CHANNELS, np.int64), 1.0
        ),
    ]
    return program_of(nodes, "out")


def many_delays(taps: int = 9) -> Program:
    """The input meets itself `taps` times on its way, each time one step later. Input and samples as in `odd_shapes`."""
    frame = TensorType((2, 35), "graded", -128 * (taps + 1), 128 * (taps + 1))
    nodes: list[Node] = [
        i.GradedInput("input", (), TensorType((2, 7, 5), "graded", -128, 127), "input", 1.0),
        i.Reshape("flat", ("input",), frame, "flat"),
        i.Sum("sum0", ("flat",), frame, "sum0"),
    ]
    nodes += [i.Sum(f"sum{k}", (f"sum{k - 1}", "flat"), frame, f"sum{k}") for k in range(1, taps + 1)]
    readout = TensorType((2,), "graded", -(1 << 23), 1 << 23)
    nodes.append(i.Readout("out", (f"sum{taps}",), readout, "out", np.array([5, -5]), 1.0))
    return program_of(nodes, "out")


def odd_samples(samples: int, seed: int = 1) -> np.ndarray:
    """Samples [B, T, 2, 7, 5] for `odd_shapes`."""
    return np.random.default_rng(seed).integers(-140, 140, (samples, 3, 2, 7, 5))


def processes() -> dict[int, tuple[int, int, str]]:
    """Parent, process group and state letter of every process that runs."""
    found = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent, group = stat.read_text().rpartition(")")[2].split()[:3]
        except (OSError, ValueError):
            continue
        if state not in "ZX":
            found[int(stat.parent.name)] = (int(parent), int(group), state)
    return found


def worker_of(parent: int) -> int | None:
    """The Lava worker that a process started: a child that leads a group of its own."""
    return next((pid for pid, (its, group, _) in processes().items() if its == parent and group == pid), None)


def members(group: int) -> list[int]:
    """The processes of a group, lowest id first."""
    return sorted(pid for pid, (_, its, _) in processes().items() if its == group)


def shared_memory(group: int) -> set[Path]:
    """The shared-memory files that the processes of a group have mapped."""
    files: set[Path] = set()
    for pid in members(group):
        try:
            lines = (Path("/proc") / str(pid) / "maps").read_text().splitlines()
        except OSError:
            continue
        files |= {Path(line.split()[5]) for line in lines if "/dev/shm/psm_" in line and "deleted" not in line}
    return files


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Whether `done` came true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return True
        time.sleep(0.02)
    return done()


def wait_for_network(parent: int, at_least: int) -> int:
    """The group of the Lava worker below a process, once it has that many processes."""
    found: list[int] = []

    def started() -> bool:
        worker = worker_of(parent)
        found[:] = [] if worker is None else [worker]
        return worker is not None and len(members(worker)) >= at_least

    assert wait_until(started, 60), f"no network of {at_least} processes appeared below {parent} (pid {os.getpid()})"
    return found[0]
