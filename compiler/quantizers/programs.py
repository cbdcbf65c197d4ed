"""Programmable neurons: every neuron of NIR that is no plain LIF, in 24-bit integers.

A neuron's membrane is kept in units in which its input counts 1, as a LIF's is (see `quantization`): what the file calls gain
goes into threshold, bias and resets. Neurons that do not fire have none of these to take the gain; it goes into their weights.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.fitting import Integers, LayerFit, fit_layer, mismatch
from pumice.compiler.ir import Change, Shape, TensorType
from pumice.compiler.passes.lowering.neurons import gain_of, reset_of
from pumice.compiler.quantizers.context import PASS, Context, Floats, Grid, Ints, Made, positioned
from pumice.compiler.quantizers.layers import layer_problem, synapses, target_of
from pumice.compiler.quantizers.streams import one_to_one
from pumice.compiler.scale_search import fitting_scale
from pumice.compiler.streams import scale_of
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT
from pumice.hwsim.programmable import NO_FLOOR, NeuronParams, neuron_step

UNIT = 1 << MEMBRANE_SHIFT
HEADROOM = 2  # spikes a step that a neuron may send, over the most seen on calibration data
MOST_SPIKES = 255  # a byte of payload


@dataclass(frozen=True, eq=False)
class ProgramIntegers:
    """Programmable neurons on a grid of `scale` current units per float unit."""

    scale: float
    params: NeuronParams

    def run(self, current: Ints) -> tuple[Ints, int]:
        """What they send [T, B, C, …] for their currents, and the largest |v| seen."""
        u, v = self.params.begin(current.shape[1:])
        sent, peak = np.empty_like(current), 0
        for t in range(len(current)):
            u, v, sent[t] = neuron_step(u, v, current[t], self.params)
            peak = max(peak, int(np.abs(v).max(initial=0)))
        return sent, peak


def quantize_program(neuron: g.Neuron, convs: tuple[f.Conv, ...], c: Context) -> Made:
    """Neurons of the general kind and their synapses."""
    if neuron.firing is None:
        return _quantize_integrators(neuron, convs, c)
    most = most_spikes(neuron, c)
    problem = layer_problem(convs, neuron, lambda bias, scale: program_integers(neuron, bias, scale, most), c)
    fit = fit_layer(problem, c.weights)
    node = _node(neuron, fit.neurons, _out(neuron, most, None), 1.0)
    return [*synapses(convs, neuron, fit, c), (node, _change(neuron, fit, "spike mismatch", f"{fit.mismatch:.2%}"))]


def quantize_program_reader(neuron: g.Neuron, c: Context) -> Made:
    """Neurons that read a stream of real values: its payloads are their currents."""
    synapse = one_to_one(f"{neuron.name}.current", neuron.inputs[0], c)
    scale, grid = scale_of(neuron.inputs[0], c.done), c.grids.get(neuron.name)
    most, silent = most_spikes(neuron, c), np.zeros(synapse.out.shape[0])
    found = _at_scale(neuron, silent, scale, most) if grid is None else _on_stream(neuron, scale, grid)
    if found is None:
        raise InputError(f"node {neuron.source!r}: its constants do not fit 24 bits at {scale:g} units", "rescale it")
    sent, _ = found.run(c.payload(neuron.inputs[0]))
    node = _node(neuron, found, _out(neuron, most, grid), 1.0 if grid is None else grid.scale)
    node = replace(node, inputs=(synapse.name,))
    if grid is None:
        error, what = mismatch(sent, target_of(neuron, c).reshape(sent.shape)), "spike mismatch"
    else:
        error, what = (
            float(np.abs(sent / grid.scale - c.values[neuron.name].reshape(sent.shape)).mean()),
            "mean error of v",
        )
    text = f"{neuron.name}: reads a stream of scale {scale:g}, {_said(found.params)}, {what} {error:.4g}"
    return [(synapse, None), (node, Change(PASS, neuron.name, text, {"scale": scale, "mismatch": error}))]


def _out(neuron: g.Neuron, most: int, grid: Grid | None) -> TensorType:
    if grid is not None:
        return TensorType(_shape(neuron), "graded", -grid.limit, grid.limit)
    return TensorType(_shape(neuron), "spike" if most == 1 else "graded", 0, most)


def _on_stream(neuron: g.Neuron, scale: float, grid: Grid) -> ProgramIntegers | None:
    """Neurons that send their membrane, of a stream of `scale`; their own grid takes their gain (`streams.stream_grids`)."""
    gain = gain_of(neuron)
    if np.any(gain != gain.flat[0]) or gain.flat[0] <= 0:
        raise UnsupportedNode(
            f"node {neuron.source!r}: gains of {float(gain.min()):g} to {float(gain.max()):g} on a stream of real values",
            "such neurons read it with one gain above 0; put a layer in between",
        )
    return integrator(neuron, np.zeros(neuron.out.shape[0]), scale, grid, gain)


def most_spikes(neuron: g.Neuron, c: Context) -> int:
    """The most spikes that a neuron sends in a step; what its membrane is worth beyond that, it sends in the next."""
    if neuron.firing is None or neuron.firing.spikes == "one":
        return 1
    return min(MOST_SPIKES, max(1, HEADROOM * int(c.values[neuron.name].max(initial=0))))


def program_integers(neuron: g.Neuron, bias: Floats, scale: float, most: int) -> ProgramIntegers | None:
    """The integers of neurons that fire, with float bias [C], near `scale`; None where they do not fit 24 bits. Where all have
    one threshold, the scale is nudged so that it is a whole number of 1/64 units."""
    assert neuron.firing is not None
    units = np.unique(np.abs(neuron.firing.threshold / gain_of(neuron)) * UNIT)
    if len(units) == 1 and round(units[0] * scale) > 0:
        scale = float(round(units[0] * scale) / units[0])
    return _at_scale(neuron, bias, scale, most)


def _at_scale(neuron: g.Neuron, bias: Floats, scale: float, most: int) -> ProgramIntegers | None:
    """As `program_integers`, at `scale` itself."""
    rule = neuron.firing
    assert rule is not None
    units = _inner(rule.threshold / gain_of(neuron), neuron) * UNIT
    base = _base(neuron, gain_of(neuron), bias, scale)
    threshold, gain = _compact(np.rint(units * scale)), gain_of(neuron)
    params = replace(
        base,
        threshold=threshold,
        v_reset=_whole(rule.v_reset / gain, neuron, scale),
        floor=base.floor if rule.low is None else _whole(rule.low / gain, neuron, scale),
        reset=reset_of(rule),
        inclusive=rule.comparator == ">=",
        most=most,
        limits=(0, most),
    )
    lost = bool(np.any((threshold == 0) & (_inner(rule.threshold, neuron) != 0)))
    return ProgramIntegers(scale, params) if _fits(params) and not lost else None


def _fits(p: NeuronParams) -> bool:
    """Whether all constants fit 24 bits."""
    arrays = (p.threshold, p.bias, p.current_bias, p.start, p.current_start, p.v_reset)
    return max(int(np.abs(array).max(initial=0)) for array in arrays) < STATE_LIMIT


def _base(neuron: g.Neuron, gain: Floats, bias: Floats, scale: float) -> NeuronParams:
    """Decays, what is added in every step, and where the states begin; what a spike does is left open."""
    leak, current, axes = neuron.membrane, neuron.current, len(_shape(neuron))
    zero, channels = np.zeros((1,) * axes, np.int64), bias.reshape(-1, *[1] * (axes - 1))
    own, into = _inner(leak.offset / gain, neuron), np.zeros_like(channels)
    du, start = zero + DECAY_UNITY, zero
    if current is None:
        own = own + channels
    else:
        first = gain / leak.gain  # what a unit of input adds to the current
        into = _inner(current.offset / first, neuron) + channels
        du, start = _decay(current.keep, neuron), _whole(current.start / first, neuron, scale)
    return NeuronParams(
        threshold=zero + 1,
        dv=_decay(leak.keep, neuron),
        du=du,
        bias=_compact(np.rint(own * scale * UNIT)),
        current_bias=_compact(np.rint(into * scale * UNIT)),
        start=_whole(leak.start / gain, neuron, scale),
        current_start=start,
        v_reset=zero,
        floor=zero + NO_FLOOR,
    )


def _quantize_integrators(neuron: g.Neuron, convs: tuple[f.Conv, ...], c: Context) -> Made:
    """Neurons that send their membrane: on the grid of its stream, from which theirs differs by a power of two."""
    grid, rows = c.grids[neuron.name], _gain_rows(neuron)
    problem = layer_problem(
        convs, neuron, lambda bias, scale: integrator(neuron, bias, scale, grid, np.ones(neuron.out.shape)), c
    )
    parts = tuple(replace(p, weight=p.weight * rows.reshape(-1, *[1] * (p.weight.ndim - 1))) for p in problem.parts)
    problem = replace(
        problem,
        parts=parts,
        bias=problem.bias * rows,
        mean_current=problem.mean_current * rows,
        target=c.values[neuron.name].reshape(problem.target.shape),
        error=lambda sent, target: float(np.abs(sent / grid.scale - target).mean()),
        scales=_octaves(grid, fitting_scale(parts, c.weights)),
    )
    fit = fit_layer(problem, c.weights)
    node = _node(neuron, fit.neurons, _out(neuron, 0, grid), grid.scale)
    return [*synapses(convs, neuron, fit, c), (node, _change(neuron, fit, "mean error of v", f"{fit.mismatch:.3g}"))]


def _gain_rows(neuron: g.Neuron) -> Floats:
    """The gain of each channel [C], for the weights to take; lowering has seen to it that its positions have one."""
    return np.asarray(gain_of(neuron).reshape(neuron.out.shape[0], -1)[:, 0], np.float64)


def _octaves(grid: Grid, largest: float) -> tuple[list[float], ...]:
    """Scales that are powers of two from the stream's grid: the four finest that the weights allow, then ever coarser ones."""
    unit = grid.scale / UNIT
    top = int(np.floor(np.log2(largest / unit)))
    scales = [unit * 2.0 ** (top - k) for k in range(20)]
    return (scales[:4], *([scale] for scale in scales[4:]))


def integrator(neuron: g.Neuron, bias: Floats, scale: float, grid: Grid, gain: Floats) -> ProgramIntegers | None:
    """The integers of neurons that send their membrane, at `scale`, of an input that `gain` is still to be applied to; None where
    they do not fit 24 bits."""
    shift = round(np.log2(grid.scale * float(gain.flat[0]) / (scale * UNIT)))
    base = _base(neuron, gain, bias, scale)
    params = replace(base, most=0, shift=shift, limits=(-grid.limit, grid.limit))
    return ProgramIntegers(scale, params) if _fits(params) else None


def _node(neuron: g.Neuron, found: Integers, out: TensorType, norm: float) -> i.Programmable:
    assert isinstance(found, ProgramIntegers)
    return i.Programmable(neuron.name, neuron.inputs, out, neuron.source, found.params, found.scale, norm)


def _shape(neuron: g.Neuron) -> Shape:
    return positioned(neuron.out.shape)


def _inner(values: Floats, neuron: g.Neuron) -> Floats:
    """One value a neuron, in the shape of the integer layer."""
    return np.broadcast_to(np.asarray(values, np.float64), neuron.out.shape).reshape(_shape(neuron))


def _whole(values: Floats, neuron: g.Neuron, scale: float) -> Ints:
    """Membrane values of the float neurons, in 1/64 current units."""
    return _compact(np.rint(_inner(values, neuron) * scale * UNIT))


def _decay(keep: Floats, neuron: g.Neuron) -> Ints:
    return _compact(np.rint(DECAY_UNITY * (1 - _inner(keep, neuron))))


def _compact(values: NDArray[Any]) -> Ints:
    """Whole numbers; one instead of many that are equal."""
    whole = values.astype(np.int64)
    same = whole.size > 0 and bool(np.all(whole == whole.flat[0]))
    return whole[(slice(0, 1),) * whole.ndim] if same else whole


def _change(neuron: g.Neuron, fit: LayerFit, what: str, error: str) -> Change:
    bits, seen = fit.worst_current.bit_length(), fit.observed_current.bit_length()
    membrane = fit.observed_membrane.bit_length()
    assert isinstance(fit.neurons, ProgramIntegers)
    p = fit.neurons.params
    text = (
        f"{neuron.name}: programmable neurons, scale {fit.neurons.scale:.4g}, {_said(p)}, worst accumulator {bits} of 17 bits "
        f"(seen {seen}), membrane seen {membrane} of 23 bits, {fit.clipped} weights clipped, {what} {error}"
    )
    data = {"scale": fit.neurons.scale, "mismatch": fit.mismatch, "clipped_weights": fit.clipped, "most_spikes": p.most}
    return Change(PASS, neuron.name, text, data | {"worst_current_bits": bits, "observed_current_bits": seen})


def _said(p: NeuronParams) -> str:
    decays = f"dv {_range(p.dv)}" + ("" if int(p.du.min()) == DECAY_UNITY else f", du {_range(p.du)}")
    if p.most == 0:
        return f"{decays}, payload v · 2^{p.shift} within {p.limits[0]} to {p.limits[1]}"
    many = f", up to {p.most} spikes a step" if p.most > 1 else ""
    return f"{decays}, threshold {_range(p.threshold)}/64{many}"


def _range(values: Ints) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"
