"""Programmable neurons: how threshold, decays, biases and the rest became integers, and what that costs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining import feeds
from pumice.compiler.explaining.arrays import Formula, array_step
from pumice.compiler.explaining.errors import program_errors, sender_errors
from pumice.compiler.explaining.explanation import Explanation, Step
from pumice.compiler.explaining.formulas import number
from pumice.compiler.explaining.program_parts import Part, decay_steps, part_of, start_steps, sums_of
from pumice.compiler.explaining.runs import Look
from pumice.compiler.explaining.streams import clipped_note, grid_step
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.compiler.quantizers.program_integers import UNIT
from pumice.compiler.quantizers.programs import HEADROOM, MOST_SPIKES

RESETS = {
    "hard": "a neuron that fires starts again at v_reset",
    "soft": "a neuron that fires loses a threshold for each spike",
    "next": "a neuron that fires loses a threshold for each spike in the next step, after its decay",
    "both": "a neuron that fires loses a threshold for each spike; what is still beyond it is taken off once more to compare",
}


def program(node: i.Programmable, names: tuple[str, ...], look: Look) -> Explanation:
    """Neurons that fire, or that send their membrane."""
    neuron, feed = look.floats.nodes[node.name], look.integers.nodes[node.inputs[0]]
    assert isinstance(neuron, g.Neuron)
    layer = bool(look.convs(feed))
    rows = gain_of(neuron).reshape(neuron.out.shape[0], -1)[:, 0] if layer and neuron.firing is None else None
    made, part = feeds.fed(feed, look, rows), part_of(node, neuron, rows, look)
    common = [*decay_steps(part), *sums_of(part, feed, look), *start_steps(part)]
    fed = feeds.said(feed, look)
    if neuron.firing is None:
        errors, clipped = sender_errors(node, look)
        steps = (*made.steps, grid_step(node.name, node.norm, node.out.high, look), _shift(part), *common)
        notes: tuple[str, ...] = (clipped_note(clipped),)
        kind = f"programmable neurons that send their membrane, fed by {fed}"
    else:
        errors = program_errors(node, look)
        steps = (*made.steps, *_firing(part, neuron.firing, made.fitting, look), *common)
        notes, kind = (RESETS[node.params.reset],), f"programmable neurons, fed by {fed}"
    return Explanation(node.name, kind, names, False, steps, made.weights, errors, notes, made.each)


def _shift(part: Part) -> Step:
    """From the membrane's grid to that of its payload: a power of two."""
    p, s_out, gain = part.node.params, part.node.norm, float(part.gain.flat[0])
    factor, shown = ("", "") if gain == 1 else ("·gain", f"·{number(gain)}")
    text = f"rint(log2({number(s_out)}{shown}/({number(part.node.scale)}·64))) = {p.shift}"
    numbers = {"s_out": s_out, "s": part.node.scale} | ({"gain": gain} if factor else {})
    remark = f"payload = v · 2^{p.shift}, within {p.limits[0]} to {p.limits[1]}; s_out: payload units per float unit"
    return Step("shift", f"rint(log2(s_out{factor}/(s·64)))", text, numbers, p.shift, remark)


def _firing(part: Part, rule: g.Firing, fitting: float, look: Look) -> list[Step]:
    """What has to do with spikes."""
    p, s = part.node.params, part.node.scale
    remark = _loss(part, rule)
    if fitting:
        remark += f"; s: {number(s / fitting)} × the scale at which the largest weight just fits"
    steps = [part.level("threshold", "θ", "theta", rule.threshold, p.threshold, remark), *_spikes(part, rule, look)]
    if p.reset == "hard":
        steps.append(part.level("v_reset", "v0", "v0", rule.v_reset, p.v_reset))
    if rule.low is not None:
        steps.append(
            part.level("floor", "low", "low", rule.low, p.floor, "the membrane is never below it after a step")
        )
    return steps


def _loss(part: Part, rule: g.Firing) -> str:
    """What rounding to 1/64 of a current unit did to thresholds."""
    on_chip = np.broadcast_to(part.node.params.threshold, part.shape) / (UNIT * part.node.scale) * part.gain
    moved = float(np.abs(on_chip - part.over(rule.threshold)).max(initial=0))
    least = float(np.abs(rule.threshold).max(initial=0)) or 1.0
    return "whole" if moved <= 1e-12 * least else f"rounded: by {number(moved)} at most, in the float model's units"


def _spikes(part: Part, rule: g.Firing, look: Look) -> list[Step]:
    p, sign = part.node.params, ">=" if part.node.params.inclusive else ">"
    formula = Formula(f"V {sign} threshold", f"V {sign} {{threshold}}", {"threshold": p.threshold})
    one = array_step("spike", formula, p.threshold, part.shape, f"v {rule.comparator} θ")
    steps = [replace(one, filled=one.filled.partition(" = ")[0])]
    if rule.spikes == "many":
        seen = int(look.values[part.node.name].max(initial=0))
        text = f"min({MOST_SPIKES}, max(1, {HEADROOM}·{seen})) = {p.most}"
        remark = "spikes a step, as many as whole thresholds fit into V; what is left stays in the membrane"
        steps.append(Step("most", f"min({MOST_SPIKES}, max(1, {HEADROOM}·seen))", text, {"seen": seen}, p.most, remark))
    return steps
