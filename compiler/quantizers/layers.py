"""Neurons and what feeds them: a convolution with its neurons, or neurons that read a stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.fitting import Integers, LayerFit, LayerProblem, fit_layer
from pumice.compiler.general_nodes import Neuron as Program
from pumice.compiler.ir import Change, Node, TensorType
from pumice.compiler.moments import membrane_moments
from pumice.compiler.quantization import LevelIntegers, NeuronIntegers, level_integers, neuron_integers
from pumice.compiler.quantizers.context import PASS, Context, Floats, Fused, Made, Neuron, channel_mean, positioned
from pumice.compiler.quantizers.streams import one_to_one, run_synapse
from pumice.compiler.scale_search import Part, Snap
from pumice.compiler.streams import scale_of
from pumice.errors import InputError
from pumice.hwsim import arith


def quantize_layer(convs: tuple[f.Conv, ...], neuron: Neuron, c: Context) -> Made:
    """Convolutions whose currents add up, and their neurons, on the grid that leaves the least error in their membranes on
    calibration data."""
    problem = layer_problem(convs, neuron, lambda bias, scale: integers_of(neuron, bias, scale, c), c)
    fit = fit_layer(problem, c.weights)
    assert isinstance(fit.neurons, NeuronIntegers | LevelIntegers)
    made = neurons(neuron, neuron.inputs[0], fit.neurons)
    return [*synapses(convs, neuron, fit, c), (made, _layer_change(neuron, fit, c.graph.timesteps))]


def layer_problem(
    convs: tuple[f.Conv, ...],
    neuron: Fused,
    integers: Callable[[Floats, float], Integers | None],
    c: Context,
    snap: Snap | None = None,
) -> LayerProblem:
    """What there is to fit. Where synapses share a layer, its bias is theirs together. snap: as in LayerProblem, where that is
    known without making the integers."""
    bias = np.asarray(sum(np.asarray(conv.bias, np.float64) for conv in convs))
    shape = positioned(neuron.out.shape)
    return LayerProblem(
        parts=tuple(_part(conv, neuron, c) for conv in convs),
        bias=bias,
        source=neuron.source,
        mean_current=channel_mean(c.values[neuron.inputs[0]]) - bias,
        integers=integers,
        snap=snap or (lambda scale: _scale(integers(bias, scale))),
        target=target_of(neuron, c).reshape(*c.values[neuron.name].shape[:2], *shape),
    )


def _scale(integers: Integers | None) -> float | None:
    return None if integers is None else integers.scale


def _part(conv: f.Conv, neuron: Fused, c: Context) -> Part:
    source = c.done[conv.inputs[0]].out
    return Part(
        weight=np.asarray(conv.weight, np.float64),
        groups=conv.groups,
        input_scale=scale_of(conv.inputs[0], c.done),
        input_range=(source.low, source.high),
        moments=lambda: membrane_moments(c.payload(conv.inputs[0]), conv, *_memory(neuron)),
        currents=lambda weight: run_synapse(conv, weight, c),
    )


def _memory(neuron: Fused) -> tuple[float, float]:
    """What membranes and currents keep of themselves in a step; of neurons that differ, on average."""
    if isinstance(neuron, Program):
        current = 0.0 if neuron.current is None else float(np.mean(neuron.current.keep))
        return float(np.mean(neuron.membrane.keep)), current
    return (1 - 1 / neuron.tau if isinstance(neuron, f.Lif) else 0.0), 0.0


def synapses(convs: tuple[f.Conv, ...], neuron: Fused, fit: LayerFit, c: Context) -> Made:
    """The synapses of a fitted layer and, where there are several, the sum of their currents."""
    made: Made = []
    for conv, weight, worst in zip(convs, fit.weights, fit.worst_currents, strict=True):
        out = TensorType(positioned(conv.out.shape), "current", -worst, worst)
        where = (conv.stride, conv.padding, fit.neurons.scale, conv.groups)
        kind = (c.weights.signs, c.weights.synapses)
        made.append((i.Synapse(conv.name, conv.inputs, out, conv.source, weight, *where, *kind), None))
    if len(convs) > 1:
        total = TensorType(positioned(neuron.out.shape), "current", -fit.worst_current, fit.worst_current)
        made.append((i.Currents(neuron.inputs[0], tuple(conv.name for conv in convs), total, neuron.source), None))
    return made


def quantize_reader(neuron: Neuron, c: Context) -> Made:
    """Neurons that read a stream: its payloads are their currents."""
    synapse = one_to_one(f"{neuron.name}.current", neuron.inputs[0], c)
    scale = scale_of(neuron.inputs[0], c.done)
    integers = integers_of(neuron, np.zeros(synapse.out.shape[0]), scale, c)
    if integers is None:
        raise InputError(
            f"node {neuron.source!r}: its threshold does not fit the chip at {scale:g} units", "rescale it"
        )
    outputs, _ = integers.run(c.payload(neuron.inputs[0]))
    mismatch = float((outputs != target_of(neuron, c).reshape(outputs.shape)).mean())
    text = f"{neuron.name}: reads a stream of scale {scale:g}, {_limit(integers)}, spike mismatch {mismatch:.2%}"
    change = Change(PASS, neuron.name, text, {"scale": scale, "mismatch": mismatch} | _numbers(integers))
    return [(synapse, None), (neurons(neuron, synapse.name, integers), change)]


def integers_of(neuron: Neuron, bias: Floats, scale: float, c: Context) -> NeuronIntegers | LevelIntegers | None:
    """The integers of either kind of neuron; see `quantization`."""
    if isinstance(neuron, f.Lif):
        return neuron_integers(neuron, bias, scale, c.chip, c.weights.step)
    return level_integers(neuron, bias, scale, c.chip)


def target_of(neuron: Fused, c: Context) -> Floats:
    """What the float neurons send on calibration data, as the integers that stand for it, [T, B, O, …]."""
    sent = c.values[neuron.name]
    return np.rint(sent * neuron.norm) if isinstance(neuron, f.MultiSpike) else sent


def neurons(neuron: Neuron, current: str, n: NeuronIntegers | LevelIntegers) -> Node:
    """The neurons of a layer, fed by the synapse `current`."""
    common = (neuron.name, (current,))
    shape = positioned(neuron.out.shape)
    if isinstance(neuron, f.MultiSpike):
        assert isinstance(n, LevelIntegers)
        out = TensorType(shape, "graded", 0, neuron.levels)
        bias = (n.bias_mant, n.bias_exp)
        return i.Levels(*common, out, neuron.source, n.thresholds, *bias, n.scale, neuron.norm)
    assert isinstance(n, NeuronIntegers)
    out = TensorType(shape, "spike", 0, 1)
    lif = i.IntLif(*common, out, neuron.source, n.vth, n.dv, n.bias_mant, n.bias_exp, n.scale)
    return replace(lif, reset=n.reset, inclusive=n.tie == "inclusive")


def _limit(n: Integers) -> str:
    if isinstance(n, NeuronIntegers):
        return f"threshold {n.vth}"
    assert isinstance(n, LevelIntegers)
    return f"level thresholds {', '.join(f'{t / (1 << arith.MEMBRANE_SHIFT):g}' for t in n.thresholds)}"


def _numbers(n: Integers) -> dict[str, object]:
    if isinstance(n, NeuronIntegers):
        return {"vth": n.vth, "bias_exp": n.bias_exp, "tie": n.tie}
    assert isinstance(n, LevelIntegers)
    return {"thresholds": [int(t) for t in n.thresholds], "bias_exp": n.bias_exp}


def _layer_change(neuron: Neuron, fit: LayerFit, timesteps: int) -> Change:
    bits = fit.worst_current.bit_length()
    seen = fit.observed_current.bit_length()
    data = {
        "scale": fit.neurons.scale,
        "mismatch": fit.mismatch,
        "clipped_weights": fit.clipped,
        "worst_current_bits": bits,
        "observed_current_bits": seen,
    } | _numbers(fit.neurons)
    membrane, more = _membrane(neuron, fit, timesteps)
    text = (
        f"{neuron.name}: scale {fit.neurons.scale:.4g}, {_threshold(neuron, fit.neurons)}, worst accumulator {bits} of 17 bits "
        f"(seen {seen}), {membrane}{fit.clipped} weights clipped, spike mismatch {fit.mismatch:.2%}"
    )
    return Change(PASS, neuron.name, text, data | more)


def _threshold(neuron: Neuron, n: Integers) -> str:
    if isinstance(neuron, f.Lif) and isinstance(n, NeuronIntegers):
        return f"θ {neuron.threshold:g} → {n.vth}"
    return _limit(n)


def _membrane(neuron: Neuron, fit: LayerFit, timesteps: int) -> tuple[str, dict[str, object]]:
    if not isinstance(neuron, f.Lif):
        return "", {}
    steps = timesteps if np.isinf(neuron.tau) else neuron.tau  # how many currents a membrane adds up
    worst = (int(fit.worst_current * steps) << arith.MEMBRANE_SHIFT).bit_length()
    seen = fit.observed_membrane.bit_length()
    saturates = ", saturates in the worst case" if worst > 23 else ""
    data: dict[str, object] = {
        "threshold": neuron.threshold,
        "worst_membrane_bits": worst,
        "observed_membrane_bits": seen,
    }
    return f"membrane {worst} of 23 bits (seen {seen}){saturates}, ", data
