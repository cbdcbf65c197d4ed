"""The explanation of each kind of integer node that rounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining import feeds, formulas, streams
from pumice.compiler.explaining.errors import (
    input_errors,
    level_errors,
    lif_errors,
    membrane_errors,
    readout_errors,
    token_sum_errors,
)
from pumice.compiler.explaining.explanation import Explanation
from pumice.compiler.explaining.names import covers
from pumice.compiler.explaining.programs import program
from pumice.compiler.explaining.runs import Look
from pumice.compiler.ir import Node

EXACT = (
    i.Sum,
    i.Reshape,
    i.OrPool,
    i.MaxPool,
    i.SpikeAnd,
    i.TokenGate,
    i.Currents,
    i.Past,
    i.Feedback,
)


def explained(node: Node, look: Look) -> Explanation:
    """What there is to say of a node."""
    names = covers(node, look.floats, look.integers)
    if is_exact(node, look):
        return Explanation(node.name, f"{type(node).__name__}: moves or adds integers", names, exact=True)
    makers: dict[type[Node], Callable[[Any, tuple[str, ...], Look], Explanation]] = {
        i.GradedInput: _input,
        i.IntLif: _lif,
        i.Programmable: program,
        i.Levels: _levels,
        i.Membrane: _membrane,
        i.TokenSum: _token_sum,
        i.Readout: _readout,
    }
    maker = makers.get(type(node))
    if maker is None:
        return Explanation(node.name, type(node).__name__, names, notes=("no formula is kept for this kind",))
    return maker(node, names, look)


def is_exact(node: Node, look: Look) -> bool:
    """Whether a node rounds nothing: it moves or adds integers, sums those of a window, or counts spikes."""
    if isinstance(node, i.Membrane):
        return isinstance(look.floats.nodes[node.name], f.SumPool)
    if isinstance(node, i.Readout):
        return isinstance(look.integers.nodes[node.inputs[0]], i.OneToOne)
    return isinstance(node, EXACT)


def _input(node: i.GradedInput, names: tuple[str, ...], look: Look) -> Explanation:
    step = streams.input_step(node, look.values[node.name])
    kind = "input: real samples as graded spikes"
    return Explanation(node.name, kind, names, steps=(step,), errors=input_errors(node, look))


def _lif(node: i.IntLif, names: tuple[str, ...], look: Look) -> Explanation:
    lif, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    assert isinstance(lif, f.Lif)
    made = feeds.fed(feed, look)
    note = formulas.scale_remark(made.fitting, node.scale) if made.fitting else ""
    steps = [*made.steps, *formulas.lif_steps(node, lif, look.current_scale(feed), note), feeds.bias(node, feed, look)]
    kind, errors = f"LIF neurons, fed by {feeds.said(feed, look)}", lif_errors(node, look)
    return Explanation(node.name, kind, names, False, tuple(steps), made.weights, errors, synapses=made.each)


def _levels(node: i.Levels, names: tuple[str, ...], look: Look) -> Explanation:
    feed = look.integers.nodes[node.inputs[0]]
    made = feeds.fed(feed, look)
    steps = (*made.steps, formulas.level_step(node, look.current_scale(feed)), feeds.bias(node, feed, look))
    kind, errors = f"level neurons, fed by {feeds.said(feed, look)}", level_errors(node, look)
    return Explanation(node.name, kind, names, False, steps, made.weights, errors, synapses=made.each)


def _membrane(node: i.Membrane, names: tuple[str, ...], look: Look) -> Explanation:
    synapse = look.integers.nodes[node.inputs[0]]
    assert isinstance(synapse, i.Synapse)
    conv = look.floats.nodes.get(synapse.name, look.floats.nodes[node.name])
    assert isinstance(conv, f.Conv)
    errors, clipped = membrane_errors(node, look)
    kind = f"membrane, a stream of real values, fed by {feeds.said(synapse, look)}"
    unit = look.scale(synapse.inputs[0])
    step, lost = formulas.weight_step(conv.weight, synapse, synapse.scale / unit, look.weight_bits, unit)
    steps = (step, *streams.membrane_steps(node, conv, look.current(synapse), look))
    return Explanation(node.name, kind, names, False, steps, lost, errors, (streams.clipped_note(clipped),))


def _token_sum(node: i.TokenSum, names: tuple[str, ...], look: Look) -> Explanation:
    mean = look.floats.nodes[node.name]
    assert isinstance(mean, f.TokenMean)
    step = streams.token_sum_step(node, look.scale(node.inputs[0]), mean.tokens)
    kind, errors = "mean over tokens, as a sum", token_sum_errors(node, look)
    return Explanation(node.name, kind, names, steps=(step,), errors=errors)


def _readout(node: i.Readout, names: tuple[str, ...], look: Look) -> Explanation:
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
    kind = f"read-out, fed by {feeds.said(synapse, look)}"
    return Explanation(node.name, kind, names, False, steps, lost, readout_errors(node, look), notes)
