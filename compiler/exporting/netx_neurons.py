"""A layer of neurons as those of lava-dl's NetX: stock LIF neurons, one set of parameters a layer, whole biases."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.neurons import neuron_problem, refusal
from pumice.compiler.exporting.sequential import Layer
from pumice.compiler.int_nodes import Ints
from pumice.compiler.program import Program
from pumice.errors import UnsupportedNode
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT
from pumice.hwsim.programmable import NO_FLOOR

BIAS_EXP = 6  # NetX has no other
MANTISSA_LIMIT = 1 << 15  # Lava keeps it in int16
UNIT = 1 << MEMBRANE_SHIFT
HINT = "NetX has LIF neurons with one set of parameters a layer"


@dataclass(frozen=True, eq=False)
class NetxNeurons:
    """Threshold mantissa, 12-bit decays of 4096 of membrane and current, bias mantissa [C] in whole current units. lowered:
    whether the threshold is one less, for neurons that fire at it."""

    vth: int
    dv: int
    du: int
    bias: Ints
    lowered: bool = False


@dataclass(frozen=True, eq=False)
class _Lif:
    """What both kinds of neuron say. bias: [C], in 1/64 current units."""

    vth: int
    dv: int
    du: int
    bias: Ints
    reset: str
    inclusive: bool


def netx_neurons(layer: Layer, program: Program) -> NetxNeurons:
    """The neurons' integers. Raises UnsupportedNode for neurons that stock LIF with a bias exponent of 6 are not."""
    node = layer.neurons
    found = _of_program(node, program) if isinstance(node, i.Programmable) else _of_lif(node)
    if found.reset != "hard":
        raise refusal(node, f"reset {found.reset!r}", "a NetX neuron resets to 0")
    if not 0 <= found.dv <= DECAY_UNITY:
        raise refusal(node, f"decay {found.dv}/{DECAY_UNITY}", "decays are 0 to 4096")
    if np.any(found.bias % UNIT):
        raise _odd_bias(node, found.bias)
    mantissa = found.bias >> BIAS_EXP
    if np.abs(mantissa).max(initial=0) >= MANTISSA_LIMIT:
        raise refusal(
            node, f"bias {np.abs(mantissa).max()}/{MANTISSA_LIMIT - 1}", "Lava keeps a bias mantissa in 16 bits"
        )
    if found.inclusive:
        _check_inclusive(layer, found, program)
    return NetxNeurons(found.vth - found.inclusive, found.dv, found.du, mantissa, found.inclusive)


def _of_lif(node: i.IntLif) -> _Lif:
    if problem := neuron_problem(node):
        raise refusal(node, problem, HINT)
    return _Lif(
        int(node.vth), int(node.dv), DECAY_UNITY, node.bias_mant << node.bias_exp, node.reset, bool(node.inclusive)
    )


def _of_program(node: i.Programmable, program: Program) -> _Lif:
    """Programmable neurons that are LIF neurons with a current that leaks."""
    p = node.params
    if p.most != 1:
        raise refusal(node, "it sends no single spikes" if p.most else "it sends its membrane", HINT)
    vth, dv, du = (_same(values, node) for values in (p.threshold, p.dv, p.du))
    if vth % UNIT:
        raise refusal(node, f"threshold {vth}/{UNIT} is no whole current", "NetX has whole thresholds")
    if any(np.any(values) for values in (p.start, p.v_reset)) or np.any(p.floor != NO_FLOOR):
        raise refusal(node, "it begins at or resets to another value than 0, or has a floor", HINT)
    bias, inner = p.bias + p.current_bias, 0 * p.current_bias
    if du != DECAY_UNITY:
        bias, inner = p.bias, p.current_bias
        _check_current(node, du, program)
    if np.any(inner) or (du != DECAY_UNITY and np.any(p.current_start)):
        raise refusal(
            node, "its current has a bias or does not begin at 0", "a NetX neuron's bias goes to its membrane"
        )
    return _Lif(vth >> MEMBRANE_SHIFT, dv, du, _channels(bias, node), p.reset, p.inclusive)


def _check_current(node: i.Programmable, du: int, program: Program) -> None:
    """Lava wraps a current at 24 bits where a program's saturates."""
    current = program.graph.nodes[node.inputs[0]].out
    worst = max(current.high, -current.low) << MEMBRANE_SHIFT
    steps = min(program.graph.timesteps, DECAY_UNITY / du) if du else program.graph.timesteps
    if worst * steps >= STATE_LIMIT - 1:
        raise refusal(node, "its current can saturate at 24 bits", "Lava's wraps there: use weights of fewer bits")


def _same(values: Ints, node: i.Programmable) -> int:
    if np.any(values != values.flat[0]):
        raise refusal(node, "its parameters differ between the neurons", HINT)
    return int(values.flat[0])


def _channels(bias: Any, node: i.Programmable) -> Ints:
    """One bias a channel [C]."""
    rows = np.broadcast_to(bias, node.out.shape).reshape(node.out.shape[0], -1)
    if np.any(rows != rows[:, :1]):
        raise refusal(node, "its bias differs between the neurons of a channel", HINT)
    return np.asarray(rows[:, 0], np.int64)


def _odd_bias(node: i.IntLif | i.Programmable, bias: Ints) -> UnsupportedNode:
    first = int(np.flatnonzero(bias % UNIT)[0])
    exact = (
        f"bias {bias[first]}/{UNIT} of channel {first} is no whole current: NetX has a bias exponent of {BIAS_EXP} only"
    )
    hint = "--round-biases FILE.pumice makes and converts another program, whose biases are whole"
    lifted = np.all(bias % UNIT == 1)
    return refusal(node, exact, f"it lifts exact ties, v >= threshold; {hint}" if lifted else hint)


def _check_inclusive(layer: Layer, found: _Lif, program: Program) -> None:
    """v >= 64 vth is v > 64 (vth - 1) where v is a multiple of 64: where nothing leaks, and nothing saturates in a sample."""
    node = layer.neurons
    if found.dv != 0 or found.du != DECAY_UNITY or found.vth < 1:
        raise refusal(node, "fires at v >= threshold, and leaks", "a NetX neuron fires at v > threshold")
    current = layer.synapse.out
    worst = (max(current.high, -current.low) << MEMBRANE_SHIFT) + int(np.abs(found.bias).max(initial=0))
    if worst * program.graph.timesteps >= STATE_LIMIT - 1:
        raise refusal(node, "fires at v >= threshold, and v can saturate", "a NetX neuron fires at v > threshold")
