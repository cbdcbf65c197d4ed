"""What SANA-FE's Loihi neurons must be told to compute what ours do, to the last bit.

Its model (2.2.9) keeps v in float64: v · leak, cut toward 0 to 1/64, plus bias, plus current, fires where v > threshold. That is
`hwsim.arith.lif_step` in units of a current, where it is told so. It has no start: a layer at depth d runs d steps before its
sample's first spikes reach it, so its potentials begin where these steps bring them to 0. Where no potential does that without
firing on the way (biases below 0, in deep layers), they begin at 0 and must be set to 0 again when the sample begins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.float_exactness import may_saturate
from pumice.compiler.exporting.neurons import neuron_problem, refusal
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT, decay

UNIT = 1 << MEMBRANE_SHIFT


@dataclass(frozen=True, eq=False)
class Soma:
    """A layer's neurons in 1/64 current units. bias, start: one for each channel [C]. kept: of 4096, what a membrane keeps in a
    step. floor: below which it is raised to it, None where nothing gets there. late: whether membranes must be set to 0 when the
    sample begins."""

    threshold: int
    kept: int
    reset: str
    bias: Ints
    start: Ints
    floor: int | None
    late: bool = False


def soma_of(node: Node, graph: Graph, depth: int) -> Soma:
    """The neurons of `node`, the first spikes reaching them after `depth` steps. Raises UnsupportedNode, naming the user's node,
    for what SANA-FE would compute otherwise."""
    match node:
        case i.IntLif():
            return _lif(node, graph, depth)
        case i.OrPool():
            zero = np.zeros(node.out.shape[0], np.int64)
            return Soma(0, 0, "hard", zero, zero, None)  # forgets in every step: fires where anything comes in
        case i.Readout():
            return _readout(node, graph)
        case _:
            raise refusal(node, "has no neurons that SANA-FE has", "it takes LIF neurons, OR pools and read-outs")


def _lif(node: i.IntLif, graph: Graph, depth: int) -> Soma:
    if problem := _problem(node, graph):
        raise refusal(node, problem, "SANA-FE has LIF neurons that reset to 0 or by their threshold, at the spike")
    soft = node.reset == "soft"
    threshold = (node.vth << MEMBRANE_SHIFT) - node.inclusive  # membranes are whole: v >= θ is v > θ - 1
    bias = np.asarray(node.bias_mant << node.bias_exp, np.int64)
    kept = DECAY_UNITY - node.dv
    starts = {int(b): start_of(int(b), kept, depth, threshold) for b in np.unique(bias)}
    early = next((b for b, start in starts.items() if start is None and _fires(b, kept, depth, threshold)), None)
    if early is not None:
        why = f"with a bias of {early / UNIT:g} and no input it fires before its sample begins"
        raise refusal(node, why, "SANA-FE has no neurons that start late")
    start = np.array([starts[int(b)] or 0 for b in bias], np.int64)
    floor = None if soft else 1 - STATE_LIMIT
    return Soma(threshold, kept, node.reset, bias, start, floor, None in starts.values())


def _problem(node: i.IntLif, graph: Graph) -> str:
    """Why SANA-FE would not fire as this layer does, "" where it does."""
    if problem := neuron_problem(node):
        return problem
    if node.reset not in ("hard", "soft"):
        return f"it resets {node.reset!r}, one step after the spike"
    if node.reset == "soft" and node.inclusive:
        return "it fires at v >= threshold and subtracts the threshold"
    hard = (
        node.reset == "hard" and node.vth << MEMBRANE_SHIFT < STATE_LIMIT - 1
    )  # then a membrane at the top fires anyhow
    if not hard and may_saturate(node, graph):
        return "its membrane can saturate at 24 bits, which SANA-FE's does not"
    return ""


def start_of(bias: int, kept: int, depth: int, threshold: int) -> int | None:
    """A membrane that `depth` steps of bias and leak (none in the very first) bring to 0 without a spike; None where there is
    none. Backward: each step's membrane is one that leaks to what the next one had before its bias."""
    if bias == 0:
        return 0 if threshold >= 0 else None
    if kept == 0:  # a step forgets what was before it
        return 0 if max(bias, 0) <= threshold else None
    v = 0
    for _ in range(depth - 1):
        v = _before(v - bias, kept)
        if v > threshold:
            return None
    return v - bias if depth and abs(v - bias) < STATE_LIMIT else None


def _fires(bias: int, kept: int, depth: int, threshold: int) -> bool:
    """Whether `depth` steps of bias and leak make a spike of an empty membrane."""
    v = np.zeros((), np.int64)
    for _ in range(depth):
        v = decay(v, DECAY_UNITY - kept) + bias
        if v > threshold:
            return True
    return False


def _before(v: int, kept: int) -> int:
    """The membrane nearest to 0 that a leak cuts to `v`."""
    magnitude = -(-abs(v) * DECAY_UNITY // kept)
    return magnitude if v >= 0 else -magnitude


def _readout(node: i.Readout, graph: Graph) -> Soma:
    """A membrane that adds up and never fires."""
    current = graph.nodes[node.inputs[0]].out
    tokens = int(np.prod(current.shape[1:], dtype=np.int64))
    worst = max(current.high, -current.low) * tokens * graph.timesteps + int(np.abs(node.offset).max(initial=0))
    if worst >= STATE_LIMIT:
        raise refusal(node, f"its sum of up to {worst:,} can saturate at 24 bits", "SANA-FE's does not")
    zero = np.zeros(node.out.shape[0], np.int64)
    start = np.broadcast_to(node.offset, node.out.shape[:1]) << MEMBRANE_SHIFT
    return Soma(STATE_LIMIT << MEMBRANE_SHIFT, DECAY_UNITY, "hard", zero, start, None)
