"""Neurons with a state: `arith.lif_step` and `programmable.neuron_step` on torch, one timestep after the other.

States are whole numbers in a float type that holds every intermediate result: a product with a decay, of 24 and 12 bits, in
float64; where the decay is a power of two and the sums stay below 2^24, in float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.hwsim.arith import DECAY_SHIFT, DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT, Reset
from pumice.hwsim.programmable import NeuronParams
from pumice.runtime.torch_backend.values import magnitude, over_samples

CURRENT_UNIT = 1 << MEMBRANE_SHIFT
EXACT_FLOAT32 = 1 << 24
State = tuple[Tensor, Tensor]


def saturate(v: Tensor) -> Tensor:
    """`arith.saturate`, in place."""
    return v.clamp_(-STATE_LIMIT + 1, STATE_LIMIT - 1)


def after_spikes(
    v: Tensor, spikes: Tensor, owed: Tensor | None, threshold: Tensor | float, reset: Reset, v_reset: Tensor | float
) -> Tensor:
    """`arith.after_spikes`; owed is None where the reset takes nothing late."""
    match reset:
        case "hard":
            return torch.where(spikes.bool(), v_reset, v)
        case "soft":
            return v - threshold * spikes.to(v.dtype)
        case "next":
            return v
        case "both":
            assert owed is not None
            return v + owed - threshold * spikes.to(v.dtype)


@dataclass(frozen=True, eq=False)
class Lif:
    """An `IntLif` on a device. keep: the share of v that a step leaves; bias broadcasts over a population [C, …]."""

    bias: Tensor
    keep: float
    threshold: float
    inclusive: bool
    reset: Reset
    gate_state: str

    def begin(self, like: Tensor) -> State:
        """No current, and a membrane of 0, for currents `like` [B, C, …]."""
        v = torch.zeros_like(like, dtype=self.bias.dtype)
        return v, v

    def step(self, state: State, current: Tensor, routed: Tensor | None) -> tuple[Tensor, State]:
        """What is sent [B, C, …], as bools, and the state after it. A LIF keeps nothing of its current."""
        u, v = state
        spikes, after = self._step(v, current)
        if routed is None:
            return spikes, (u, after)
        off = v if self.gate_state == "hold" else self._decayed(v)
        return spikes & routed, (u, torch.where(routed, after, off))

    def busy(self, state: State, current: Tensor) -> Tensor:
        """Which neurons have something to update before a step: an input, a bias, a membrane."""
        return torch.ne(current, 0) | (self.bias != 0) | (state[1] != 0)

    def _step(self, v: Tensor, current: Tensor) -> tuple[Tensor, Tensor]:
        owed = self._beyond(v).to(v.dtype).mul_(self.threshold) if self.reset in ("next", "both") else None
        v = self._decayed(v).add_(torch.add(self.bias, current.to(v.dtype), alpha=CURRENT_UNIT))
        v = saturate(v if owed is None else v.sub_(owed))
        spikes = self._beyond(v)
        after = after_spikes(v, spikes, owed, self.threshold, self.reset, 0.0)
        return spikes, after if self.reset in ("hard", "next") else saturate(after)

    def _decayed(self, v: Tensor) -> Tensor:
        return torch.mul(v, self.keep).trunc_()

    def _beyond(self, v: Tensor) -> Tensor:
        return v >= self.threshold if self.inclusive else v > self.threshold


@dataclass(frozen=True, eq=False)
class Program:
    """A `Programmable` on a device: its parameters as float64, each broadcasting over a population [C, …]."""

    params: NeuronParams
    of: dict[str, Tensor]

    def begin(self, like: Tensor) -> State:
        """As `NeuronParams.begin`, for currents `like` [B, C, …]."""
        zero = torch.zeros_like(like, dtype=torch.float64)
        return zero + self.of["current_start"], zero + self.of["start"]

    def step(self, state: State, current: Tensor, routed: Tensor | None) -> tuple[Tensor, State]:
        """What is sent [B, C, …], and the state after it; no program is gated."""
        p, of = self.params, self.of
        u, v = state
        u = saturate((u * of["keep_u"]).trunc_().add_(current.double(), alpha=CURRENT_UNIT).add_(of["current_bias"]))
        late = p.most > 0 and p.reset in ("next", "both")
        owed = of["threshold"] * self._thresholds_in(v) if late else None
        v = (v * of["keep_v"]).trunc_().add_(u).add_(of["bias"])
        v = saturate(v if owed is None else v.sub_(owed))
        if p.most == 0:
            return shifted(v, p.shift).clamp_(*p.limits), (u, v)
        spikes = self._thresholds_in(v)
        after = saturate(after_spikes(v, spikes, owed, of["threshold"], p.reset, of["v_reset"]).clone())
        return spikes, (u, torch.maximum(after, of["floor"]))

    def busy(self, state: State, current: Tensor) -> Tensor:
        """As `Lif.busy`, or a current that lasts."""
        driven = (self.of["bias"] != 0) | (self.of["current_bias"] != 0)
        return torch.ne(current, 0) | driven | (state[1] != 0) | (state[0] != 0)

    def _thresholds_in(self, v: Tensor) -> Tensor:
        """`programmable.thresholds_in`. The quotient of integers below 2^24 is at least 2^-24 from a whole number that it is not,
        and float64 errs by less than 2^-28: rounding down gives the whole part."""
        threshold = self.of["threshold"]
        if self.params.most == 1:
            return (v >= threshold if self.params.inclusive else v > threshold).double()
        whole = ((v if self.params.inclusive else v - 1) / threshold).floor_()
        return whole.clamp_(0, self.params.most)


def lif(node: i.IntLif, graph: Graph, device: torch.device) -> Lif:
    """LIF neurons' parameters on the device."""
    p, keep = node.params, DECAY_UNITY - node.dv
    threshold = p.vth << MEMBRANE_SHIFT
    driven = CURRENT_UNIT * magnitude(node.inputs[0], graph) + int(np.abs(p.bias).max(initial=0))
    worst = (STATE_LIMIT * keep >> DECAY_SHIFT) + driven + (0 if p.reset == "hard" else threshold)
    halves = keep & (keep - 1) == 0  # a power of two, or 0
    dtype = torch.float32 if halves and worst <= EXACT_FLOAT32 else torch.float64
    bias = torch.from_numpy(p.bias).to(device, dtype)
    return Lif(bias, keep / DECAY_UNITY, float(threshold), p.inclusive, p.reset, node.gate_state)


def program(node: i.Programmable, device: torch.device) -> Program:
    """Programmable neurons' parameters on the device."""
    p = node.params
    arrays: dict[str, NDArray[Any]] = {
        "keep_u": (DECAY_UNITY - p.du) / DECAY_UNITY,
        "keep_v": (DECAY_UNITY - p.dv) / DECAY_UNITY,
    }
    for name in ("threshold", "bias", "current_bias", "start", "current_start", "v_reset", "floor"):
        arrays[name] = getattr(p, name)
    return Program(
        p, {name: torch.from_numpy(np.ascontiguousarray(a, np.float64)).to(device) for name, a in arrays.items()}
    )


def shifted(x: Tensor, shift: int) -> Tensor:
    """`arith.shifted` of whole numbers in a float type, which has to hold them with half a unit added."""
    return x * (1 << shift) if shift >= 0 else (x + (1 << (-shift - 1))).mul_(2.0**shift).floor_()


def run(cell: Lif | Program, inputs: list[Tensor], state: State, sent: Tensor, active: Tensor | None) -> State:
    """The timesteps of `inputs` [T, B, C, …] from `state` on. Fills sent [T, B, C, …] and, where counted, active [T, C, …]: how
    many samples found each neuron routed and busy. Returns the state after them."""
    current = inputs[0]
    for t in range(current.shape[0]):
        gated = isinstance(cell, Lif) and cell.gate_state != ""
        routed = inputs[1][t][:, None, :] > 0 if gated else None
        if active is not None:
            busy = cell.busy(state, current[t])
            active[t] = over_samples(busy if routed is None else busy & routed, 0)
        sent[t], state = cell.step(state, current[t], routed)
    return state
