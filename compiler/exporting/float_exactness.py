"""Where a float executor that does not round its membranes fires as the chip does."""

from __future__ import annotations

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams


def rounding(node: Node, graph: Graph) -> str:
    """Why a layer's integer membranes may differ from exact ones within a sample, "" where they cannot.

    The chip keeps membranes and currents in 1/64 current units and drops what a decay leaves below that. What comes in are
    multiples of 2^g of these units; a decay of 2^k / 4096 a step adds 12 - k binary places, so nothing is dropped while these
    are at most g. In a sample of T steps a state that begins at 0 decays T - 1 times.
    """
    if isinstance(node, i.Membrane):
        return _stream_rounding(node, graph)
    assert isinstance(node, i.IntLif | i.Programmable)
    p, timesteps = _params(node), graph.timesteps
    if p.most == 0:
        low, high = p.limits
        return f"its membrane is rounded to payloads from {low} to {high} before it is sent"
    largest = _largest(p, graph, node)
    if largest >= STATE_LIMIT - 1:
        return "v can saturate at 24 bits"
    if p.most > 1 and largest // max(1, int(p.threshold.min())) > p.most:
        return f"it sends at most {p.most} spikes in a step, and what is left in later ones"
    decays = [int(d) for d in np.unique(np.concatenate([p.dv.ravel(), p.du.ravel()])) if d]
    odd = next((d for d in decays if d & (d - 1)), None)
    if odd is not None:
        return f"a decay of {odd}/4096 is no power of two"
    times = timesteps - (not np.any(p.start))
    whole = trailing_zeros(np.concatenate([_weights(node, graph) << MEMBRANE_SHIFT, *_constants(p)]))
    if times * (_places(p.dv) + _places(p.du)) > whole:
        return f"{times} decays of {min(decays)}/4096 leave less than 1/64 of a current unit, which the chip drops"
    return ""


def may_saturate(node: i.IntLif, graph: Graph) -> bool:
    """Whether a membrane could reach the ends of its 24 bits, in the worst case."""
    return _largest(_params(node), graph, node) >= STATE_LIMIT - 1


def _stream_rounding(node: i.Membrane, graph: Graph) -> str:
    current, streams = graph.nodes[node.inputs[0]].out, [graph.nodes[name].out for name in node.streams]
    if node.shift < 0:
        return f"its current is rounded to payloads from {node.out.low} to {node.out.high}"
    worst = max(current.high, -current.low) << node.shift
    worst += _most(node.bias_values) + sum(max(out.high, -out.low) for out in streams)
    return "" if worst <= min(node.out.high, -node.out.low) else f"clipped to {node.out.low} … {node.out.high}"


def _params(node: i.IntLif | i.Programmable) -> NeuronParams:
    """LIF neurons in the words of programmable ones."""
    if isinstance(node, i.Programmable):
        return node.params
    zero = np.zeros(1, np.int64)
    return NeuronParams(
        threshold=zero + (node.vth << MEMBRANE_SHIFT),
        dv=zero + node.dv,
        du=zero + DECAY_UNITY,
        bias=node.bias_mant << node.bias_exp,
        current_bias=zero,
        start=zero,
        current_start=zero,
        v_reset=zero,
        floor=zero + NO_FLOOR,
        reset=node.reset,
        inclusive=node.inclusive,
    )


def _largest(p: NeuronParams, graph: Graph, node: i.IntLif | i.Programmable) -> int:
    """A bound of |v|, in 1/64 current units."""
    current = graph.nodes[node.inputs[0]].out
    worst = max(current.high, -current.low) << MEMBRANE_SHIFT
    u = (worst + _most(p.current_bias)) * _steps(p.du, graph.timesteps)
    moved = 0 if p.reset == "hard" else _most(p.threshold)
    v = (u + _most(p.bias) + moved) * _steps(p.dv, graph.timesteps)
    return int(v) + max(_most(p.start), _most(p.v_reset))


def _constants(p: NeuronParams) -> list[Ints]:
    """Everything but currents that a membrane is made of."""
    found = [p.bias, p.current_bias, p.start, p.v_reset]
    found += [] if p.reset == "hard" else [p.threshold]
    found += [] if np.all(p.floor == NO_FLOOR) else [p.floor]
    return [values.ravel() for values in found]


def _weights(node: i.IntLif | i.Programmable, graph: Graph) -> Ints:
    """All weights that reach a layer; 1 where it reads payloads as they are."""
    current = graph.nodes[node.inputs[0]]
    parts = [graph.nodes[name] for name in current.inputs] if isinstance(current, i.Currents) else [current]
    one = np.ones(1, np.int64)
    return np.concatenate([part.weight.ravel() if isinstance(part, i.Synapse) else one for part in parts])


def _steps(decays: Ints, timesteps: int) -> float:
    """How many steps' input a state can hold."""
    least = int(decays.min())
    return timesteps if least == 0 else min(timesteps, DECAY_UNITY / least)


def _places(decays: Ints) -> int:
    """Binary places that a decay adds, where it is a power of two."""
    return max((DECAY_UNITY.bit_length() - int(d).bit_length() for d in np.unique(decays) if d), default=0)


def _most(values: Ints) -> int:
    return int(np.abs(values).max(initial=0))


def trailing_zeros(values: Ints) -> int:
    """The largest g, up to 62, for which all values are multiples of 2^g."""
    together = int(np.bitwise_or.reduce(np.abs(values), initial=0))
    return 62 if together == 0 else (together & -together).bit_length() - 1
