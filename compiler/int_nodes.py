"""Operations after quantization: what the chip does, in integers. `hwsim.arith` gives each its meaning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.ir import Node, TensorType
from pumice.hwsim.arith import LifParams, Reset, Signs
from pumice.hwsim.programmable import NeuronParams
from pumice.hwsim.scoring import Criterion

Ints = NDArray[np.int64]
Pattern = Literal["scores", "scores-values", "keys-values", "queries-context"]


@dataclass(frozen=True, eq=False)
class GradedInput(Node):
    """Real samples as graded spikes: clip(rint(x * scale)) into the out type's range, every timestep."""

    scale: float


@dataclass(frozen=True, eq=False)
class Synapse(Node):
    """Synaptic currents of a convolution; weight [O, C / groups, kh, kw]. Zero is no synapse.

    One step of delay: a spike sent at step t is integrated at t+1. scale: current units per unit of the float model. signs:
    "mixed", even weights in [-256, 254]; "split", lists of excitatory and of inhibitory synapses, any weights in [-255, 255].
    synapses: how many, at most, carry one weight as their sum; these ranges are as many times as wide. share: of the layer's
    inputs, those that this synapse has, where it is one of several parts (`passes.split_fan_in`).
    """

    weight: Ints
    stride: tuple[int, int]
    padding: tuple[int, int]
    scale: float
    groups: int = 1
    signs: Signs = "mixed"
    synapses: int = 1
    share: float = 1.0


@dataclass(frozen=True, eq=False)
class OneToOne(Node):
    """Each neuron's payload as the current of the neuron with its number: one synapse of weight 1 each. One step of delay."""


@dataclass(frozen=True, eq=False)
class IntLif(Node):
    """LIF neurons. bias_mant << bias_exp is per channel [C]. inputs: the current, and a mask when gated.

    vth, dv, reset, inclusive: see `hwsim.arith.LifParams`. gate_state: what a neuron whose token is not routed does ("" when
    never gated). scale: current units per unit of the float model.
    """

    vth: int
    dv: int
    bias_mant: Ints
    bias_exp: int
    scale: float
    gate_state: Literal["", "hold", "decay"] = ""
    reset: Reset = "hard"
    inclusive: bool = False

    @property
    def params(self) -> LifParams:
        """As the arithmetic takes them."""
        return LifParams(self.vth, self.dv, self.bias, reset=self.reset, inclusive=self.inclusive)

    @property
    def bias(self) -> Ints:
        """Effective bias [C, 1, …] in 1/64 current units, ready to broadcast over positions."""
        return (self.bias_mant << self.bias_exp).reshape(-1, *[1] * (len(self.out.shape) - 1))


@dataclass(frozen=True, eq=False)
class Programmable(Node):
    """Programmable neurons, for what `IntLif` has not: several spikes a step, a current with memory, parameters of each neuron's
    own, other resets and starts; and neurons that send their membrane. inputs: the current.

    scale: current units per unit of the float model. norm: payload units per unit of the float model: 1 for spikes.
    """

    params: NeuronParams
    scale: float
    norm: float = 1.0


@dataclass(frozen=True, eq=False)
class Levels(Node):
    """Neurons without memory that send a level, 0 to D: how many of the thresholds [D], ascending, in 1/64 current units,
    the current and bias exceed. inputs: the current, and a mask when gated. bias: as in `IntLif`.

    scale: current units per unit of the float model. norm: levels per unit of the float model.
    """

    thresholds: Ints
    bias_mant: Ints
    bias_exp: int
    scale: float
    norm: int
    gated: bool = False

    @property
    def bias(self) -> Ints:
        """As in `IntLif`."""
        return (self.bias_mant << self.bias_exp).reshape(-1, *[1] * (len(self.out.shape) - 1))


@dataclass(frozen=True, eq=False)
class Membrane(Node):
    """Neurons without memory that send what they receive, a stream of real values: current · 2^shift + bias [C], plus the
    payloads of all further inputs, clipped to the range of `out`. inputs: the current, streams, and a mask when gated; an
    unrouted token's neurons pass the streams on and add nothing. shift: below 0 to the right, halves up.

    scale: payload units per unit of the float model.
    """

    shift: int
    bias_values: Ints
    scale: float
    gated: bool = False

    @property
    def bias(self) -> Ints:
        """Bias [C, 1, …] in payload units, ready to broadcast over positions."""
        return self.bias_values.reshape(-1, *[1] * (len(self.out.shape) - 1))

    @property
    def streams(self) -> tuple[str, ...]:
        """The inputs whose payloads are added."""
        return self.inputs[1 : len(self.inputs) - self.gated]


@dataclass(frozen=True, eq=False)
class OrPool(Node):
    """OR over windows of binary spikes."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class MaxPool(Node):
    """The largest payload of each window; positions outside never win."""

    kernel: int
    stride: int
    padding: int


@dataclass(frozen=True, eq=False)
class TokenSum(Node):
    """Sum of payloads over tokens, [C, N] -> [C, 1], shifted right with rounding, halves up."""

    shift: int
    scale: float


@dataclass(frozen=True, eq=False)
class SpikeAnd(Node):
    """x where its gate spikes, as neurons that AND two spikes. inputs gate [G, 1 or N], x [C, N]; gate channel g rules the
    g-th C / G channels of x."""


@dataclass(frozen=True, eq=False)
class Sum(Node):
    """Graded neurons that add their inputs: the residual stream."""


@dataclass(frozen=True, eq=False)
class Reshape(Node):
    """The same spikes under another shape; costs nothing."""


@dataclass(frozen=True, eq=False)
class IntAttention(Node):
    """(q kᵀ) v << shift before lowering: counts of coincidences. inputs q, k [C, N], v [E, N]; returns [E, N]."""

    heads: int
    shift: int


@dataclass(frozen=True, eq=False)
class SpikeMatmul(Node):
    """One half of attention, per head of d = C / heads channels of q and k and w = E / heads of v, one step of delay.
    Operands are spikes, levels or counts; a product of two spikes is their AND.

    pattern          inputs                    returns
    scores           q, k    [C, N]            [heads * N, N]   S[i, j] = sum over c of q[c, i] * k[c, j]
    scores-values    S, v    [E, N]            [E, N]           Y[e, i] = sum over j of S[i, j] * v[e, j]
    keys-values      k, v    [C, N], [E, N]    [heads * d, w]   M[c, e] = sum over j of k[c, j] * v[e, j]
    queries-context  q, M                      [E, N]           Y[e, i] = sum over c of q[c, i] * M[c, e]

    A sum beyond what `out` holds saturates: where levels read it, whose thresholds are all within.
    With as many heads as channels, keys-values is SDT-V1's sum over tokens of k ⊙ v, a current for its LIF.
    """

    pattern: Pattern
    heads: int
    shift: int


@dataclass(frozen=True, eq=False)
class TokenGate(Node):
    """Routing point of a block. Before `materialize-token-masks`: input x (and the tokens to score, if they are others) and the
    gate's specification. After it: inputs x, mask; a token with mask 0 is not routed."""

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
class Currents(Node):
    """The currents of several synapses, added up where they reach the neurons; costs nothing."""


@dataclass(frozen=True, eq=False)
class Past(Node):
    """What the input was `steps` timesteps before, 0 in a sample's first ones: delayed axons of the user's own. steps: broadcast
    over the layer. at: timesteps by which it trails the network's input, once delays are balanced."""

    steps: Ints
    at: int = 0


@dataclass(frozen=True, eq=False)
class Feedback(Node):
    """The other end of a cycle: what the later node `of` sent `steps` timesteps before, from 1; else as `Past`. It has no input,
    so that the graph without it has an order.

    norm: payload units per unit of the float model. real: whether the payload is a real value, not a number of spikes.
    """

    of: str
    steps: Ints
    norm: float = 1.0
    real: bool = False
    at: int = 0


@dataclass(frozen=True, eq=False)
class Readout(Node):
    """Sums its current [K, N] over tokens and over the sample's timesteps, starting from offset [K].

    logits = total * scale.
    """

    offset: Ints
    scale: float


def summed_pairs(node: SpikeMatmul, a: TensorType) -> int:
    """How many pairs each output of a product sums, whose first operand is `a`."""
    return a.shape[1] if node.pattern in ("scores-values", "keys-values") else a.shape[0] // node.heads


def largest_sum(node: SpikeMatmul, a: TensorType, b: TensorType) -> int:
    """The largest sum, not shifted, that a product can make of its operands' types."""
    return summed_pairs(node, a) * a.high * b.high


MaskSource = StaticMask | LiveMask | GivenMask
Neurons = (
    IntLif | Programmable | Levels | Membrane | Readout
)  # integrate the current of a synapse, their first input, without delay
SelfFed = Sum | OrPool | MaxPool | TokenSum | SpikeAnd  # neurons that are their own synapse


def latency(node: Node) -> int:
    """Timesteps between a node's inputs and its output: 1 wherever spikes cross a synapse. Of `Past` and `Feedback` see
    `passes.balance_delays`."""
    if isinstance(node, Delay):
        return node.steps
    return int(isinstance(node, Synapse | OneToOne | SelfFed | SpikeMatmul | LiveMask))
