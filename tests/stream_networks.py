"""An integer graph built by hand with every node that streams of real values and levels need, gated and not."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from mapped import on_cores

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType, rebuilt
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import BalanceDelays
from pumice.compiler.program import Program
from pumice.compiler.verify import verify
from pumice.hwsim.spec import load_chip

CHANNELS, SIDE, TOKENS, TIMESTEPS, CLASSES = 4, 6, 9, 3, 3
STREAM = (-3000, 2999)


@dataclass(frozen=True)
class Builder:
    """Nodes so far, their currents' ranges as wide as their weights and inputs can make them."""

    rng: np.random.Generator
    nodes: dict[str, Node] = field(default_factory=dict)

    def add(self, node: Node) -> str:
        self.nodes[node.name] = node
        return node.name

    def shape(self, name: str) -> tuple[int, ...]:
        return self.nodes[name].out.shape

    def span(self, name: str) -> tuple[int, int]:
        return self.nodes[name].out.low, self.nodes[name].out.high

    def graded(self, shape: tuple[int, ...], span: tuple[int, int]) -> TensorType:
        return TensorType(shape, "graded", *span)

    def synapse(self, name: str, source: str, outputs: int, kernel: int = 1, groups: int = 1) -> str:
        channels, *positions = self.shape(source)
        weight = self.rng.integers(-9, 10, (outputs, channels // groups, kernel, kernel)) * 2
        weight[self.rng.random(weight.shape) < 0.2] = 0
        worst = int(np.abs(weight).sum(axis=(1, 2, 3)).max()) * max(map(abs, self.span(source)))
        out = TensorType((outputs, *positions), "current", -worst, worst)
        padding = (kernel // 2,) * 2
        return self.add(i.Synapse(name, (source,), out, name, weight, (1, 1), padding, 1.0, groups))

    def one_to_one(self, name: str, source: str) -> str:
        return self.add(
            i.OneToOne(name, (source,), TensorType(self.shape(source), "current", *self.span(source)), name)
        )

    def lif(self, name: str, current: str, vth: int, mask: str = "") -> str:
        shape, bias = self.shape(current), self.rng.integers(-40, 40, self.shape(current)[0])
        inputs, state = ((current, mask), "hold") if mask else ((current,), "")
        out = TensorType(shape, "spike", 0, 1)
        return self.add(i.IntLif(name, inputs, out, name, vth, 2048, bias, 3, 1.0, state))  # type: ignore[arg-type]

    def levels(self, name: str, current: str, step: int, mask: str = "") -> str:
        """Four levels, `step` current units apart."""
        shape, bias = self.shape(current), self.rng.integers(-40, 40, self.shape(current)[0])
        thresholds = np.array([32, 95, 160, 223]) * step
        inputs = (current, mask) if mask else (current,)
        out = self.graded(shape, (0, 4))
        return self.add(i.Levels(name, inputs, out, name, thresholds, bias, 2, 1.0, 1, bool(mask)))

    def membrane(self, name: str, current: str, *streams: str, mask: str = "", shift: int = 0) -> str:
        shape, bias = self.shape(current), self.rng.integers(-99, 99, self.shape(current)[0])
        inputs = (current, *streams, mask) if mask else (current, *streams)
        return self.add(i.Membrane(name, inputs, self.graded(shape, STREAM), name, shift, bias, 1.0, bool(mask)))

    def matmul(self, name: str, pattern: i.Pattern, a: str, b: str, out: TensorType, heads: int, shift: int = 0) -> str:
        return self.add(i.SpikeMatmul(name, (a, b), out, name, pattern, heads, shift))

    def gate(self, name: str, source: str, mask: str, block: int) -> str:
        out, grid = self.nodes[source].out, (TOKENS // 3, 3)
        return self.add(i.TokenGate(name, (source, mask), out, name, "", block, grid, 0.6, None, "hold", ()))

    def spike_and(self, name: str, gate: str, x: str) -> str:
        return self.add(i.SpikeAnd(name, (gate, x), TensorType(self.shape(x), "spike", 0, 1), name))


def every_node(seed: int = 4) -> Program:
    """A stem with a grouped convolution and a max-pool, attention on levels, gated by spikes, through a pair of factors,
    and a head over one token. Its masks: `static` of block 0; of block 1 given with each sample."""
    b = Builder(np.random.default_rng(seed))
    _stem(b)
    _level_attention(b)
    _gate_of_spikes(b)
    b.membrane("factor", b.synapse("factor_in", "passed_2", 3), shift=-1)
    b.lif("factored", b.synapse("factor_out", "factor", CHANNELS), 300)
    b.membrane(
        "late", b.synapse("late_in", "passed_1", CHANNELS, groups=2), "mid", "mid", "factored", mask="given", shift=5
    )
    _head(b)
    return placed(b.nodes, "out")


def _stem(b: Builder) -> None:
    frame = (2, SIDE, SIDE)
    b.add(i.GradedInput("input", (), b.graded(frame, (-16, 15)), "input", 1.0))
    b.membrane("stream", b.synapse("conv", "input", CHANNELS, kernel=3, groups=2), shift=2)
    b.add(i.MaxPool("pool", ("stream",), b.graded((CHANNELS, 3, 3), STREAM), "pool", 3, 2, 1))
    b.lif("fired", b.one_to_one("to_fired", "pool"), 1000)
    b.add(i.Reshape("tokens", ("pool",), b.graded((CHANNELS, TOKENS), STREAM), "tokens"))
    b.add(i.Reshape("fired_tokens", ("fired",), TensorType((CHANNELS, TOKENS), "spike", 0, 1), "fired_tokens"))
    masks = b.rng.random((TIMESTEPS, TOKENS)) < 0.6
    b.add(i.StaticMask("static", (), TensorType((TOKENS,), "mask", 0, 1), "static", 0, masks))
    b.add(i.GivenMask("given", (), TensorType((TOKENS,), "mask", 0, 1), "given", 1))


def _level_attention(b: Builder) -> None:
    b.levels("q", b.one_to_one("to_q", b.gate("gate", "tokens", "static", 0)), 700, mask="static")
    b.levels("k", b.synapse("k_in", "q", CHANNELS), 15, mask="static")
    b.levels("v", b.synapse("v_in", "q", 2 * CHANNELS), 15)
    context = b.graded((CHANNELS, CHANNELS), (0, 16 * TOKENS))
    b.matmul("context", "keys-values", "k", "v", context, heads=2)
    product = TensorType((2 * CHANNELS, TOKENS), "current", 0, 16 * TOKENS * 8 << 1)
    b.matmul("attended", "queries-context", "q", "context", product, heads=2, shift=1)
    b.levels("y", "attended", 60)
    b.membrane("mid", b.synapse("proj", "y", CHANNELS), "tokens", mask="static", shift=1)


def _gate_of_spikes(b: Builder) -> None:
    b.lif("s", b.one_to_one("to_s", b.gate("late_gate", "mid", "given", 1)), 700, mask="given")
    total = TensorType((CHANNELS, 1), "current", 0, TOKENS << 6)
    b.matmul("kv", "keys-values", "s", "fired_tokens", total, heads=CHANNELS, shift=6)
    b.spike_and("passed_1", b.lif("gate_1", "kv", 300), "s")
    b.spike_and("passed_2", b.lif("gate_2", b.synapse("gate_2_in", "s", 2), 5), "s")


def _head(b: Builder) -> None:
    total = b.graded((CHANNELS, 1), (STREAM[0] * TOKENS // 4, STREAM[1] * TOKENS // 4 + 1))
    b.add(i.TokenSum("mean", ("late",), total, "mean", 2, 1.0))
    b.levels("pooled", b.one_to_one("to_pooled", "mean"), 1800)
    b.synapse("classes", "pooled", CLASSES)
    logits = TensorType((CLASSES,), "graded", -(1 << 23), 1 << 23)
    b.add(i.Readout("out", ("classes",), logits, "out", np.array([5, -5, 0]), 0.5))


def placed(nodes: dict[str, Node], output: str) -> Program:
    """The nodes as a balanced graph that was verified, on the cores of a Loihi 2."""
    chip, options = load_chip("loihi2"), CompileOptions()
    graph = Graph(nodes, output, "lowered", TIMESTEPS, "frames")
    graph = BalanceDelays()(rebuilt(graph, nodes.values(), "lowered", ()), chip)
    verify(graph, chip, "the builder")
    return on_cores(graph, chip, options)


def samples(count: int, seed: int = 1) -> np.ndarray:
    """Inputs [samples, T, 2, H, W]."""
    return np.random.default_rng(seed).integers(-20, 20, (count, TIMESTEPS, 2, SIDE, SIDE))


def schedule(count: int, seed: int = 2) -> np.ndarray:
    """The masks that come with the samples, [samples, blocks, T, N]."""
    return np.random.default_rng(seed).random((count, 2, TIMESTEPS, TOKENS)) < 0.7


def on_cores_of(program: Program, neurons: int) -> Program:
    """The same program on cores of at most so many neurons."""
    chip = replace(program.chip, neurons_per_core=neurons)
    return on_cores(program.graph, chip, program.options)
