"""Programmable neurons, every neuron of NIR that is no plain LIF, with their synapses; see `program_integers`."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.fitting import Integers, LayerFit, fit_layer, mismatch
from pumice.compiler.ir import Change, TensorType
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.compiler.quantizers.context import PASS, Context, Floats, Grid, Ints, Made
from pumice.compiler.quantizers.layers import layer_problem, synapses, target_of
from pumice.compiler.quantizers.program_integers import (
    UNIT,
    ProgramIntegers,
    at_scale,
    integrator,
    layer_shape,
    to_whole_threshold,
)
from pumice.compiler.quantizers.streams import one_to_one
from pumice.compiler.scale_search import fitting_scale
from pumice.compiler.streams import scale_of
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.arith import DECAY_UNITY
from pumice.hwsim.programmable import NeuronParams

HEADROOM = 2  # spikes a step that a neuron may send, over the most seen on calibration data
MOST_SPIKES = 255  # a byte of payload


def quantize_program(neuron: g.Neuron, convs: tuple[f.Conv, ...], c: Context) -> Made:
    """Neurons of the general kind and their synapses."""
    if neuron.firing is None:
        return _quantize_integrators(neuron, convs, c)
    most, snap = most_spikes(neuron, c), to_whole_threshold(neuron)
    problem = layer_problem(convs, neuron, lambda bias, scale: at_scale(neuron, bias, snap(scale), most), c, snap)
    fit = fit_layer(problem, c.weights)
    node = _node(neuron, fit.neurons, _out(neuron, most, None), 1.0)
    return [*synapses(convs, neuron, fit, c), (node, _change(neuron, fit, "spike mismatch", f"{fit.mismatch:.2%}"))]


def quantize_program_reader(neuron: g.Neuron, c: Context) -> Made:
    """Neurons that read a stream of real values: its payloads are their currents."""
    synapse = one_to_one(f"{neuron.name}.current", neuron.inputs[0], c)
    scale, grid = scale_of(neuron.inputs[0], c.done), c.grids.get(neuron.name)
    most, silent = most_spikes(neuron, c), np.zeros(synapse.out.shape[0])
    found = at_scale(neuron, silent, scale, most) if grid is None else _on_stream(neuron, scale, grid)
    if found is None:
        raise InputError(f"node {neuron.source!r}: its constants do not fit 24 bits at {scale:g} units", "rescale it")
    sent, _ = found.run(c.payload(neuron.inputs[0]))
    node = _node(neuron, found, _out(neuron, most, grid), 1.0 if grid is None else grid.scale)
    node = replace(node, inputs=(synapse.name,))
    what, error = _loss(neuron, sent, grid, c)
    text = f"{neuron.name}: reads a stream of scale {scale:g}, {_said(found.params)}, {what} {error:.4g}"
    return [(synapse, None), (node, Change(PASS, neuron.name, text, {"scale": scale, "mismatch": error}))]


def _loss(neuron: g.Neuron, sent: Ints, grid: Grid | None, c: Context) -> tuple[str, float]:
    """What the integers cost on calibration data, and what is measured."""
    if grid is None:
        return "spike mismatch", mismatch(sent, target_of(neuron, c).reshape(sent.shape))
    wanted = c.values[neuron.name].reshape(sent.shape)
    return "mean error of v", float(np.abs(sent / grid.scale - wanted).mean())


def _out(neuron: g.Neuron, most: int, grid: Grid | None) -> TensorType:
    if grid is not None:
        return TensorType(layer_shape(neuron), "graded", -grid.limit, grid.limit)
    return TensorType(layer_shape(neuron), "spike" if most == 1 else "graded", 0, most)


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


def _node(neuron: g.Neuron, found: Integers, out: TensorType, norm: float) -> i.Programmable:
    assert isinstance(found, ProgramIntegers)
    return i.Programmable(neuron.name, neuron.inputs, out, neuron.source, found.params, found.scale, norm)


def _change(neuron: g.Neuron, fit: LayerFit, what: str, error: str) -> Change:
    bits, seen = fit.worst_current.bit_length(), fit.observed_current.bit_length()
    membrane = fit.observed_membrane.bit_length()
    assert isinstance(fit.neurons, ProgramIntegers)
    p = fit.neurons.params
    kind = "programmable neurons" if p.most else "neurons that send their membrane"
    text = (
        f"{neuron.name}: {kind}, scale {fit.neurons.scale:.4g}, {_said(p)}, worst accumulator {bits} of 17 bits (seen {seen}), "
        f"membrane seen {membrane} of 23 bits, {fit.clipped} weights clipped, {what} {error}"
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
