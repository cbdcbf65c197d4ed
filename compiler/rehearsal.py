"""Whether a network can be compiled, asked before there is calibration data: all passes, on made-up numbers.

What a network is made of decides which nodes the chip has, what meets where and how long a cycle takes. Weights, thresholds and
samples decide how the integers are scaled, and that only calibration data can tell. So the rehearsal keeps the first and puts
numbers in place of the others that fit any chip; a refusal is then one of the structure, and holds for all data.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.checks import check_lowered
from pumice.compiler.ir import Graph, Node
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.compiler.passes.quantize import Quantize
from pumice.compiler.pipeline import Quantized, finish, fold, run_passes
from pumice.errors import InputError, PumiceError
from pumice.hwsim.spec import ChipSpec

STEPS = 2
RATE = 0.5  # of the spikes by which low-rank factors are merged or kept


def refusal(imported: Graph, chip: ChipSpec) -> PumiceError | None:
    """Why an imported graph cannot be compiled, whatever the calibration data; None where nothing is known to be in the way.
    Options are those that `pumice compile` takes by itself."""
    options, short = CompileOptions(), replace(imported, timesteps=STEPS)
    try:
        check_lowered(imported)
        samples = _samples(short)
        folded = with_plain_numbers(fold(short, samples, chip, options))
        integers = _quantized(folded, samples, chip)
        if integers is not None:
            finish(Quantized(folded, integers, samples, ""), chip, options)
    except PumiceError as error:
        return error
    return None


def _quantized(folded: Graph, samples: NDArray[Any], chip: ChipSpec) -> Graph | None:
    """None where even plain numbers do not fit: that says nothing of the network's own."""
    try:
        return run_passes(folded, [Quantize(samples)], chip)
    except InputError:
        return None


def unknown_before_calibration(chip: ChipSpec) -> tuple[str, ...]:
    """What `refusal` cannot know, in sentences."""
    told = [
        "only with calibration data: whether the layers' numbers fit (weights to thresholds, 24-bit states), and how many cores "
        "their weights take"
    ]
    if chip.graded_bits == 0:
        told.append(f"samples must be spikes, 0 or 1: {chip.name} has no graded spikes for real ones")
    return tuple(told)


def _samples(graph: Graph) -> NDArray[Any]:
    """One sample of random spikes, as `graph` takes it."""
    shape = next(node.out.shape for node in graph.nodes.values() if isinstance(node, f.Input))
    frames = shape if graph.encoding == "repeat" else (graph.timesteps, *shape)
    return (np.random.default_rng(0).random((1, *frames)) < RATE).astype(np.float64)


def with_plain_numbers(graph: Graph) -> Graph:
    """A folded graph with one synapse of weight 1 a neuron, thresholds that one spike just reaches, and nothing added."""
    return replace(graph, nodes={name: _plain(node) for name, node in graph.nodes.items()})


def _plain(node: Node) -> Node:
    match node:
        case f.Conv() | f.Linear():
            weight = np.zeros_like(node.weight)
            weight.reshape(len(weight), -1)[:, :1] = 1
            return replace(node, weight=weight, bias=np.zeros_like(node.bias))
        case f.Lif():
            return replace(node, threshold=1.0, gain=1.0)
        case g.Neuron():
            current = node.current and _resting(node.current)
            return replace(node, membrane=_resting(node.membrane), current=current, firing=_plain_firing(node))
        case _:
            return node


def _resting(leak: g.Leak) -> g.Leak:
    """Decay and gain stay: whether neurons share a gain decides what they may read."""
    nothing = np.zeros_like(leak.gain)
    return replace(leak, offset=nothing, start=nothing)


def _plain_firing(node: g.Neuron) -> g.Firing | None:
    if node.firing is None:
        return None
    gain = gain_of(node)
    return replace(node.firing, threshold=gain, v_reset=np.zeros_like(gain), low=None)
