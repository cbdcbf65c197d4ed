"""Quantization that explains itself: for every integer node, its formulas with their numbers, what was lost, what it costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.explaining import formulas, streams
from pumice.compiler.explaining.errors import (
    input_errors,
    level_errors,
    lif_errors,
    membrane_errors,
    readout_errors,
    token_sum_errors,
)
from pumice.compiler.explaining.explanation import Explanation, Step, Weights
from pumice.compiler.explaining.runs import Look
from pumice.compiler.ir import Graph, Node
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, quantize
from pumice.compiler.quantizers.streams import components
from pumice.errors import InputError
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress

EXACT = (i.Sum, i.Reshape, i.OrPool, i.MaxPool, i.SpikeAnd, i.TokenGate)
PRODUCTS = (i.Synapse, i.IntAttention, i.SpikeMatmul)
MADE_WITH_THEIR_NEURONS = (*PRODUCTS, i.OneToOne)
NEAR = 6  # names that an error offers


def explain_nir(
    network: nir.NIRGraph,
    calibration: NDArray[Any],
    chip: ChipSpec,
    options: CompileOptions,
    progress: Progress = no_progress,
    only: str = "",
) -> tuple[Explanation, ...]:
    """Every node of a network as `compile_nir` would quantize it, in the network's order; arguments as there. only: as in
    `explain`.

    Raises PumiceError for what cannot be compiled."""
    quantized = quantize(network, calibration, chip, options, progress=progress)
    return explain(quantized, chip, options.weight_bits, only)


def explain(network: Quantized, chip: ChipSpec, weight_bits: int, only: str = "") -> tuple[Explanation, ...]:
    """Every node of a quantized network, in its order; `only` the one that a name leads to: of an integer node, or of a node of
    the user's that became part of one. Errors are measured on the calibration data, with every token routed.

    Raises InputError where the name leads nowhere."""
    nodes = [n for n in network.graph.nodes.values() if not isinstance(n, MADE_WITH_THEIR_NEURONS)]
    chosen = [named(only, nodes, network)] if only else nodes
    values = evaluate(network.folded, network.calibration, gated=False).values
    look = Look(network.folded, network.graph, values, chip, weight_bits)
    return tuple(_explained(node, look) for node in chosen)


def named(name: str, nodes: Sequence[Node], network: Quantized) -> Node:
    """The one of `nodes` that a name leads to. Raises InputError where there is none."""
    by_name = {node.name: node for node in nodes}
    if name in by_name:
        return by_name[name]
    for node in nodes:
        if name in covers(node, network.folded, network.graph):
            return node
    near = [other for other in by_name if name in other] or list(by_name)
    more = ", …" if len(near) > NEAR else ""
    raise InputError(f"no node {name!r} among the compiled ones", f"there are {', '.join(near[:NEAR])}{more}")


def covers(node: Node, folded: Graph, integers: Graph) -> tuple[str, ...]:
    """The names that lead to an integer node: its own, those of the user's nodes that became it or what feeds it, and those of
    the BatchNorms and token means folded into these."""
    feeds = [integers.nodes[name] for name in node.inputs[:1]]
    parts = [node, *(feed for feed in feeds if isinstance(feed, PRODUCTS))]
    made = [part.name for part in parts if part is node or part.name in folded.nodes]
    names = dict.fromkeys([*made, *(part.source for part in parts)])
    norms = [c.data["batchnorm"] for c in folded.log if "batchnorm" in c.data and c.node in names]
    means = [
        n for part in parts if isinstance(folded.nodes.get(part.name), f.Linear) for n in folded.nodes[part.name].inputs
    ]
    return (*names, *norms, *(n for n in means if n not in integers.nodes))


def _explained(node: Node, look: Look) -> Explanation:
    if is_exact(node, look):
        return Explanation(node.name, f"{type(node).__name__}: moves or adds integers", _covers(node, look), exact=True)
    makers: dict[type[Node], Callable[[Any, Look], Explanation]] = {
        i.GradedInput: _input,
        i.IntLif: _lif,
        i.Levels: _levels,
        i.Membrane: _membrane,
        i.TokenSum: _token_sum,
        i.Readout: _readout,
    }
    maker = makers.get(type(node))
    if maker is None:
        return Explanation(
            node.name, type(node).__name__, _covers(node, look), notes=("no formula is kept for this kind",)
        )
    return maker(node, look)


def is_exact(node: Node, look: Look) -> bool:
    """Whether a node rounds nothing: it moves or adds integers, sums those of a window, or counts spikes."""
    if isinstance(node, i.Membrane):
        return isinstance(look.floats.nodes[node.name], f.SumPool)
    if isinstance(node, i.Readout):
        return isinstance(look.integers.nodes[node.inputs[0]], i.OneToOne)
    return isinstance(node, EXACT)


def _covers(node: Node, look: Look) -> tuple[str, ...]:
    return covers(node, look.floats, look.integers)


def _input(node: i.GradedInput, look: Look) -> Explanation:
    step = streams.input_step(node, look.values[node.name])
    kind = "input: real samples as graded spikes"
    return Explanation(node.name, kind, _covers(node, look), steps=(step,), errors=input_errors(node, look))


def _lif(node: i.IntLif, look: Look) -> Explanation:
    lif, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    assert isinstance(lif, f.Lif)
    steps, weights = _fed(feed, look)
    conv = look.floats.nodes.get(feed.name)
    note = ""
    if isinstance(feed, i.Synapse) and isinstance(conv, f.Conv):
        unit = look.scale(feed.inputs[0])
        note = formulas.scale_remark(conv.weight, node.scale, unit, feed, look.weight_bits)
    steps += formulas.lif_steps(node, lif, look.current_scale(feed), note)
    steps.append(_bias(node, feed, look))
    kind, errors = f"LIF neurons, fed by {_feed(feed)}", lif_errors(node, look)
    return Explanation(node.name, kind, _covers(node, look), False, tuple(steps), weights, errors)


def _levels(node: i.Levels, look: Look) -> Explanation:
    feed = look.integers.nodes[node.inputs[0]]
    steps, weights = _fed(feed, look)
    steps += [formulas.level_step(node, look.current_scale(feed)), _bias(node, feed, look)]
    kind, errors = f"level neurons, fed by {_feed(feed)}", level_errors(node, look)
    return Explanation(node.name, kind, _covers(node, look), False, tuple(steps), weights, errors)


def _fed(feed: Node, look: Look) -> tuple[list[Step], Weights | None]:
    """The formulas of what feeds neurons, and what its weights lost."""
    if isinstance(feed, i.IntAttention | i.SpikeMatmul):
        return [streams.count_step(feed, look.current_scale(feed))], None
    conv = look.floats.nodes.get(feed.name)
    if not isinstance(feed, i.Synapse) or not isinstance(conv, f.Conv):
        return [], None
    unit = look.scale(feed.inputs[0])
    step, lost = formulas.weight_step(conv.weight, feed, feed.scale / unit, look.weight_bits, unit)
    return [step], lost


def _bias(node: i.IntLif | i.Levels, feed: Node, look: Look) -> Step:
    conv = look.floats.nodes.get(feed.name)
    if isinstance(feed, i.Synapse) and isinstance(conv, f.Conv):
        return formulas.layer_bias(node, conv, feed, look)
    return formulas.plain_bias(node, look)


def _feed(feed: Node) -> str:
    match feed:
        case i.Synapse():
            return f"{feed.name}, synapses {'×'.join(map(str, feed.weight.shape))}"
        case i.OneToOne():
            return f"the stream {feed.inputs[0]}"
        case _:
            return f"{feed.name}, attention's counts of {', '.join(feed.inputs)}"


def _membrane(node: i.Membrane, look: Look) -> Explanation:
    synapse = look.integers.nodes[node.inputs[0]]
    assert isinstance(synapse, i.Synapse)
    conv = look.floats.nodes.get(synapse.name, look.floats.nodes[node.name])
    assert isinstance(conv, f.Conv)
    errors, clipped = membrane_errors(node, look)
    notes = (f"{clipped:.2%} of the values on calibration data clipped to the range",)
    kind = f"membrane, a stream of real values, fed by {_feed(synapse)}"
    unit = look.scale(synapse.inputs[0])
    step, lost = formulas.weight_step(conv.weight, synapse, synapse.scale / unit, look.weight_bits, unit)
    joined = next(names for names in components(look.floats) if node.name in names)
    largest = max(float(np.abs(look.values[name]).max(initial=0)) for name in joined) or 1.0
    steps = (step, *streams.membrane_steps(node, conv, look.current(synapse), largest, look))
    return Explanation(node.name, kind, _covers(node, look), False, steps, lost, errors, notes)


def _token_sum(node: i.TokenSum, look: Look) -> Explanation:
    mean = look.floats.nodes[node.name]
    assert isinstance(mean, f.TokenMean)
    step = streams.token_sum_step(node, look.scale(node.inputs[0]), mean.tokens)
    kind, errors = "mean over tokens, as a sum", token_sum_errors(node, look)
    return Explanation(node.name, kind, _covers(node, look), steps=(step,), errors=errors)


def _readout(node: i.Readout, look: Look) -> Explanation:
    synapse = look.integers.nodes[node.inputs[0]]
    linear = look.floats.nodes[synapse.name]
    assert isinstance(synapse, i.Synapse)
    assert isinstance(linear, f.Linear)
    scale = next(float(c.data["scale"]) for c in look.integers.log if c.node == linear.name and "worst_bits" in c.data)
    stream, before = synapse.inputs[0], look.floats.nodes[linear.inputs[0]]
    divisor = before.tokens if isinstance(before, f.TokenMean) and before.name != stream else 1
    unit = look.scale(stream) * divisor * look.integers.timesteps
    step, lost = formulas.weight_step(linear.weight, synapse, scale, look.weight_bits)
    steps = (step, streams.offset_step(node, linear, scale, unit))
    notes = (
        f"logits = total · {node.scale:.6g}: means over {divisor} tokens and {look.integers.timesteps} steps folded",
    )
    kind = f"read-out, fed by {_feed(synapse)}"
    return Explanation(node.name, kind, _covers(node, look), False, steps, lost, readout_errors(node, look), notes)
