"""Operations before quantization: the user's network, in float."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Node
from pumice.hwsim.scoring import Criterion

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Input(Node):
    """The sample's frame of this timestep."""


@dataclass(frozen=True, eq=False)
class Conv(Node):
    """Convolution (cross-correlation). weight [O, C, kh, kw], bias [O]. On tokens [C, N] the kernel is 1 x 1."""

    weight: Floats
    bias: Floats
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)


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
    """v += (x - v)/tau; spike when v >= threshold (or >); reset to 0. tau in timesteps."""

    tau: float
    threshold: float
    comparator: Literal[">", ">="]


@dataclass(frozen=True, eq=False)
class SpikeMaxPool(Node):
    """Max-pool of binary spikes, square window."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class Add(Node):
    """Sum of all inputs."""


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same values under another shape, row-major."""


@dataclass(frozen=True, eq=False)
class Attention(Node):
    """Spiking self-attention (q kᵀ) v · scale per head (Spikformer). inputs q, k, v, each [C, N]; returns [C, N]."""

    heads: int
    scale: float


@dataclass(frozen=True, eq=False)
class TokenGate(Node):
    """Where a block's routing mask drops tokens. The scoring gate of a block has `mask_of` = "" and says how tokens are
    scored and which LIF nodes are gated; the block's other gates name it in `mask_of`."""

    mask_of: str
    block: int = 0
    grid: tuple[int, int] = (0, 0)
    retention: float = 1.0
    criterion: Criterion | None = None
    state: Literal["hold", "decay"] = "hold"
    neurons: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class TokenMean(Node):
    """Mean over tokens, [C, N] -> [C]."""


@dataclass(frozen=True, eq=False)
class Linear(Node):
    """weight [O, I] @ x [I] + bias [O]."""

    weight: Floats
    bias: Floats


@dataclass(frozen=True, eq=False)
class TimeMean(Node):
    """Mean over the sample's timesteps: the read-out."""
