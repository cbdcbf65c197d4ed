"""Operations after quantization: what the chip does, in integers. `hwsim.arith` gives each its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Node
from pumice.hwsim.scoring import Criterion

Ints = NDArray[np.int64]
Pattern = Literal["scores", "scores-values", "keys-values", "queries-context"]


@dataclass(frozen=True, eq=False)
class GradedInput(Node):
    """Real samples as graded spikes: clip(rint(x * scale)) into the out type's range, every timestep."""

    scale: float


@dataclass(frozen=True, eq=False)
class Synapse(Node):
    """Synaptic currents of a convolution; weight [O, C, kh, kw], even integers in [-256, 254]. Zero is no synapse.

    One step of delay: a spike sent at step t is integrated at t+1. scale: current units per unit of the float model.
    """

    weight: Ints
    stride: tuple[int, int]
    padding: tuple[int, int]
    scale: float


@dataclass(frozen=True, eq=False)
class IntLif(Node):
    """LIF neurons. bias_mant << bias_exp is per channel [C]. inputs: the current, and a mask when gated.

    vth, dv: see `hwsim.arith.LifParams`. gate_state: what a neuron whose token is not routed does ("" when never gated).
    scale: current units per unit of the float model.
    """

    vth: int
    dv: int
    bias_mant: Ints
    bias_exp: int
    scale: float
    gate_state: Literal["", "hold", "decay"] = ""

    @property
    def bias(self) -> Ints:
        """Effective bias [C, 1, …] in 1/64 current units, ready to broadcast over positions."""
        return (self.bias_mant << self.bias_exp).reshape(-1, *[1] * (len(self.out.shape) - 1))


@dataclass(frozen=True, eq=False)
class OrPool(Node):
    """OR over windows of binary spikes."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class Sum(Node):
    """Graded neurons that add their inputs: the residual stream."""


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same spikes under another shape; costs nothing."""


@dataclass(frozen=True, eq=False)
class IntAttention(Node):
    """(q kᵀ) v << shift before lowering: counts of coincidences. inputs q, k, v [C, N]."""

    heads: int
    shift: int


@dataclass(frozen=True, eq=False)
class SpikeMatmul(Node):
    """One half of attention, per head of d = C / heads channels, one step of delay. a, b: [C, N] spikes or counts.

    pattern          inputs            returns
    scores           q, k    [C, N]    [heads * N, N]   S[i, j] = sum over c of q[c, i] & k[c, j]
    scores-values    S, v              [C, N]           Y[c, i] = sum over j of S[i, j] * v[c, j]
    keys-values      k, v    [C, N]    [heads * d, d]   M[c, e] = sum over j of k[c, j] & v[e, j]
    queries-context  q, M              [C, N]           Y[e, i] = sum over c of q[c, i] * M[c, e]
    """

    pattern: Pattern
    heads: int
    shift: int


@dataclass(frozen=True, eq=False)
class TokenGate(Node):
    """Routing point of a block. Before `materialize-token-masks`: input x and the gate's specification. After it:
    inputs x, mask; a token with mask 0 is not routed."""

    mask_of: str
    block: int
    grid: tuple[int, int]
    retention: float
    criterion: Criterion | None
    state: Literal["hold", "decay"]
    neurons: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class StaticMask(Node):
    """A routing mask fixed at compile time, masks [T, N]; no inputs."""

    block: int
    masks: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class LiveMask(Node):
    """A routing mask scored at run time from the block's input x [C, N], by an off-core scorer; one step of delay."""

    block: int
    grid: tuple[int, int]
    retention: float
    criterion: Criterion


@dataclass(frozen=True, eq=False)
class GivenMask(Node):
    """A routing mask supplied with each sample; no inputs. `block` indexes the schedule `[samples, blocks, T, N]`."""

    block: int


@dataclass(frozen=True, eq=False)
class Delay(Node):
    """The input, `steps` timesteps later: an axonal delay, inserted so that joins meet."""

    steps: int


@dataclass(frozen=True, eq=False)
class Readout(Node):
    """Sums its current [K, N] over tokens and over the sample's timesteps, starting from offset [K].

    logits = total * scale.
    """

    offset: Ints
    scale: float


MaskSource = StaticMask | LiveMask | GivenMask


def latency(node: Node) -> int:
    """Timesteps between a node's inputs and its output: 1 wherever spikes cross a synapse."""
    if isinstance(node, Delay):
        return node.steps
    return int(isinstance(node, Synapse | OrPool | Sum | SpikeMatmul | LiveMask))
