"""Small random networks for the tests, written straight in NIR with the Pumice dialect: no torch, no training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.dialect import annotation, extension
from pumice.hwsim.scoring import Criterion

DT = 1e-4


@dataclass(frozen=True)
class TinySpikformer:
    """A Spikformer in miniature: one conv stage (with an optional max-pool), blocks of attention and MLP, a head."""

    channels: int = 8
    size: int = 4
    heads: int = 2
    blocks: int = 1
    classes: int = 3
    timesteps: int = 4
    retention: float = 0.5
    pool: bool = False
    criterion: Criterion = field(default_factory=Criterion)
    state: str = "hold"
    seed: int = 0


class _Builder:
    def __init__(self, config: TinySpikformer) -> None:
        self.config = config
        self.rng = np.random.default_rng(config.seed)
        self.nodes: dict[str, Any] = {}
        self.edges: list[tuple[str, str]] = []

    def add(self, name: str, node: Any, *sources: str) -> str:
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        return name

    def batchnorm(self, name: str, shape: tuple[int, ...], source: str, lift: float = 0.0) -> str:
        c = shape[0]
        arrays = {
            "gamma": self.rng.uniform(0.8, 1.6, c),
            "beta": lift + self.rng.uniform(0.2, 1.2, c),
            "mean": self.rng.normal(0, 0.2, c),
            "var": self.rng.uniform(0.5, 1.5, c),
        }
        return self.add(name, extension("BatchNorm", shape, shape, {"eps": 1e-5}, arrays=arrays), source)

    def lif(self, name: str, shape: tuple[int, ...], source: str, threshold: float = 1.0) -> str:
        full = np.ones(shape)
        said = annotation({"dt": DT, "comparator": ">=", "reset": "hard"})
        node = nir.LIF(
            tau=2 * DT * full, r=full, v_leak=0 * full, v_threshold=threshold * full, v_reset=0 * full, metadata=said
        )
        return self.add(name, node, source)

    def token_layer(self, name: str, out: int, into: int, tokens: int, source: str, lift: float = 0.0) -> str:
        weight = self.rng.normal(0, 1.2 / np.sqrt(into), (out, into, 1))
        conv = nir.Conv1d(tokens, weight, 1, 0, 1, 1, self.rng.normal(0, 0.1, out))
        self.add(f"{name}_linear", conv, source)
        self.batchnorm(f"{name}_bn", (out, tokens), f"{name}_linear", lift)
        return self.lif(f"{name}_lif", (out, tokens), f"{name}_bn")


def tiny_spikformer(config: TinySpikformer | None = None) -> nir.NIRGraph:
    """The NIR graph of a `TinySpikformer`."""
    config = config or TinySpikformer()
    b = _Builder(config)
    c, size = config.channels, config.size
    said = annotation({"timesteps": config.timesteps, "encoding": "repeat"})
    b.add("input", nir.Input(np.array([1, size, size]), metadata=said))
    x = _stem(b, c, size)
    side = (size - 1) // 2 + 1 if config.pool else size
    tokens = side * side
    for index in range(config.blocks):
        x = _block(b, index, c, side, x)
    b.add("token_mean", extension("TokenMean", (c, tokens), (c,), {}), x)
    b.add(
        "head", nir.Affine(b.rng.normal(0, 1, (config.classes, c)), b.rng.normal(0, 0.3, config.classes)), "token_mean"
    )
    b.add("time_mean", extension("TimeMean", (config.classes,), (config.classes,), {}), "head")
    b.add("output", nir.Output(np.array([config.classes])), "time_mean")
    return nir.NIRGraph(b.nodes, b.edges)


def _stem(b: _Builder, c: int, size: int) -> str:
    shape = (c, size, size)
    b.add("conv0", nir.Conv2d((size, size), b.rng.normal(0, 0.8, (c, 1, 3, 3)), 1, 1, 1, 1, np.zeros(c)), "input")
    x = b.lif("lif0", shape, b.batchnorm("bn0", shape, "conv0"))
    if b.config.pool:
        size = (size - 1) // 2 + 1
        attributes = {"kernel": 3, "stride": 2, "padding": 1}
        x = b.add("pool", extension("SpikeMaxPool", shape, (c, size, size), attributes), x)
        shape = (c, size, size)
    b.add("rpe_conv", nir.Conv2d((size, size), b.rng.normal(0, 0.3, (c, c, 3, 3)), 1, 1, 1, 1, np.zeros(c)), x)
    rpe = b.lif("rpe_lif", shape, b.batchnorm("rpe_bn", shape, "rpe_conv"))
    b.add("sum", nir.Scale(np.ones(shape)), x, rpe)
    return b.add("flatten", nir.Flatten({"input": np.array(shape)}, 1, 2), "sum")


def _block(b: _Builder, index: int, c: int, side: int, x: str) -> str:
    config, name, tokens = b.config, f"block.{index}", side * side
    gated = [f"{name}.{part}_lif" for part in ("q", "k", "v", "attn", "proj", "fc1", "fc2")]
    attributes = {
        "block": index,
        "height": side,
        "width": side,
        "retention": config.retention,
        "criterion": config.criterion.as_dict(),
        "state": config.state,
        "neurons": gated,
    }
    gate = b.add(f"{name}.gate", extension("TokenGate", (c, tokens), (c, tokens), attributes), x)
    qkv = [b.token_layer(f"{name}.{part}", c, c, tokens, gate, lift=1.0) for part in "qkv"]  # so that attention is busy
    ssa = extension(
        "SpikingSelfAttention", (c, tokens), (c, tokens), {"heads": config.heads, "scale": 0.125}, operands=qkv
    )
    b.add(f"{name}.ssa", ssa, *qkv)
    attn = b.lif(f"{name}.attn_lif", (c, tokens), f"{name}.ssa", 0.5)
    proj = b.token_layer(f"{name}.proj", c, c, tokens, attn)
    mid = b.add(f"{name}.residual", nir.Scale(np.ones((c, tokens))), x, proj)
    inner = b.add(
        f"{name}.mlp_gate", extension("TokenGate", (c, tokens), (c, tokens), {"mask_of": f"{name}.gate"}), mid
    )
    fc1 = b.token_layer(f"{name}.fc1", 2 * c, c, tokens, inner)
    fc2 = b.token_layer(f"{name}.fc2", c, 2 * c, tokens, fc1)
    return b.add(f"{name}.out", nir.Scale(np.ones((c, tokens))), mid, fc2)


def images(config: TinySpikformer, samples: int, seed: int = 1) -> NDArray[np.float64]:
    """Random images [samples, 1, size, size] on a grid of sixteenths."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 17, (samples, 1, config.size, config.size)) / 16
