"""Operations before quantization: the user's network, in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Node
from pumice.hwsim.arith import Reset
from pumice.hwsim.scoring import Criterion

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The sample's frame of this timestep."""


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Convolution (cross-correlation). weight [O, C / groups, kh, kw], bias [O]. On tokens [C, N] and on a vector [C] the kernel
    is 1 x 1."""

    weight: Floats
    bias: Floats
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    groups: int = 1


@dataclass(frozen=True, eq=False)
class BatchNorm(Node):
    """Inference BatchNorm over channels; all arrays [C]."""

    gamma: Floats
    beta: Floats
    mean: Floats
    var: Floats
    eps: float


@dataclass(frozen=True, eq=False)
class Lif(Node):
    """v = (1 - 1/tau) v + gain x; spike when v >= threshold (or >). tau in timesteps, inf for neurons that do not leak.

    gain: None for 1/tau, v += (x - v)/tau. reset: to 0 ("hard"), or by subtraction; see `hwsim.arith.LifParams`.
    """

    tau: float
    threshold: float
    comparator: Literal[">", ">="]
    gain: float | None = None
    reset: Reset = "hard"

    @property
    def limit(self) -> float:
        """The threshold of the membrane v / gain, which adds up x as it comes."""
        return self.tau * self.threshold if self.gain is None else self.threshold / self.gain


@dataclass(frozen=True, eq=False)
class MultiSpike(Node):
    """round(clamp(x, 0, levels)) / norm, half to even; keeps no state. SDT-V3's neuron."""

    levels: int
    norm: int


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """Max-pool of spikes or of currents, square window; positions outside never win."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class SumPool(Node):
    """Sum over windows [h, w] of [C, H, W], divided by `divisor`; positions outside are 0."""

    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    divisor: int


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Sum of all inputs."""


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same values under another shape, row-major."""


@dataclass(frozen=True, eq=False)
class Attention(Node):
    """Spiking self-attention (q kᵀ) v · scale per head (Spikformer, SDT-V3). inputs q, k [C, N], v [E, N]; returns [E, N]."""

    heads: int
    scale: float


@dataclass(frozen=True, eq=False)
class Coincidences(Node):
    """Sum over tokens of k ⊙ v. inputs k, v [C, N]; returns [C, 1]. The first half of SDT-V1's attention."""


@dataclass(frozen=True, eq=False)
class SpikeGate(Node):
    """x where its gate spikes. inputs gate [G, 1 or N], x [C, N]; gate channel g rules the g-th C / G channels of x.
    The second half of SDT-V1's attention (G = C) and of QKFormer's (G = heads)."""


@dataclass(frozen=True, eq=False)
class Selector:
    """SparseSpikformer's learned choice of tokens: Linear, GELU, Linear, log-softmax on the mean over time; the `kept` best
    tokens among those that the gate `within` kept ("" for all). w1 [H, C], b1 [H], w2 [2, H], b2 [2]; output 0 is keep."""

    w1: Floats
    b1: Floats
    w2: Floats
    b2: Floats
    kept: int
    within: str


@dataclass(frozen=True, eq=False)
class TokenGate(Node):
    """Where a block's routing mask drops tokens. The scoring gate of a block has `mask_of` = "" and says how tokens are
    scored and which nodes (neurons, and sums that a block adds to its stream) are gated; the block's other gates name it in
    `mask_of`. inputs: the tokens; and, where these are not the ones to score, those."""

    mask_of: str
    block: int = 0
    grid: tuple[int, int] = (0, 0)
    retention: float = 1.0
    criterion: Criterion | None = None
    state: Literal["hold", "decay"] = "hold"
    neurons: tuple[str, ...] = ()
    selector: Selector | None = None


@dataclass(frozen=True, eq=False)
class TokenMean(Node):
    """Sum over tokens divided by `tokens`, [C, N] -> [C]."""

    tokens: int


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """weight [O, I] @ x [I] + bias [O]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class TimeMean(Node):
    """Mean over the sample's timesteps: the read-out."""
