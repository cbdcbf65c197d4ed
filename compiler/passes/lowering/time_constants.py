"""Whether the decay register of a neuron, 12 bits of 1/4096 a step, can hold a network's time constants."""

from __future__ import annotations

import math

import numpy as np

from pumice.compiler.float_nodes import Lif
from pumice.compiler.general_nodes import Leak, Neuron
from pumice.compiler.ir import Graph
from pumice.errors import InputError
from pumice.hwsim.arith import DECAY_UNITY

SHORTEST, LONGEST = DECAY_UNITY / (DECAY_UNITY - 1), float(DECAY_UNITY)  # timesteps: a decay of 4095, and of 1


def nearest_tau(tau: float) -> float:
    """`tau`, in timesteps, where its decay rint(4096/tau) is 1 to 4095, or nothing leaks (tau infinite); else the nearest that
    is."""
    if math.isinf(tau) or 1 <= decay_of(tau) < DECAY_UNITY:
        return tau
    return SHORTEST if tau < 2 else LONGEST


def decay_of(tau: float) -> int:
    """The decay register of a time constant in timesteps, in 1/4096 a step; 0 where it is infinite."""
    return round(DECAY_UNITY / tau)


def check_time_constants(graph: Graph) -> None:
    """Raises InputError for the first neurons whose decay does not fit the register, with the nearest tau that does."""
    for node in graph.nodes.values():
        if isinstance(node, Lif):
            _check(node.tau, node.source)
        for leak in (node.membrane, node.current) if isinstance(node, Neuron) else ():
            for tau in _taus(leak):
                _check(tau, node.source)


def _taus(leak: Leak | None) -> list[float]:
    """The time constants of a leak that keeps something and loses something, in timesteps."""
    if leak is None:
        return []
    return [1 / (1 - float(keep)) for keep in np.unique(leak.keep) if 0 < keep < 1]


def _check(tau: float, source: str) -> None:
    if nearest_tau(tau) == tau:
        return
    raise InputError(
        f"node {source!r}: tau of {tau:.7g} timesteps is too {'short' if tau < 2 else 'long'} for the 12-bit decay "
        f"(rint(4096/tau) = {decay_of(tau)}, 1 to {DECAY_UNITY - 1} fit)",
        f"the nearest tau that the register holds is {nearest_tau(tau):.7g}",
    )
