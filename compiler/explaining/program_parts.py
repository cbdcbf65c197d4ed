"""What all programmable neurons have: two leaky states, what is added to them in every step, and where they start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining.arrays import Formula, array_step
from pumice.compiler.explaining.explanation import Step
from pumice.compiler.explaining.formulas import bias_of, channels, number
from pumice.compiler.explaining.runs import Floats, Look
from pumice.compiler.ir import Node, Shape
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.compiler.quantizers.program_integers import UNIT
from pumice.hwsim.arith import DECAY_UNITY


@dataclass(frozen=True, eq=False)
class Part:
    """A layer of programmable neurons. gain: of the float neurons, over the layer, 1 where their weights take it. rows [C]: what
    weights and biases were multiplied by, or None. shape: of the integer layer, [C, …]."""

    node: i.Programmable
    neuron: g.Neuron
    gain: Floats
    rows: Floats | None
    shape: Shape

    def over(self, values: NDArray[Any]) -> Floats:
        """Values of the float neurons over the integer layer."""
        return np.broadcast_to(np.asarray(values, np.float64), self.neuron.out.shape).reshape(self.shape)

    def level(
        self, result: str, symbol: str, key: str, values: NDArray[Any], integers: NDArray[np.int64], remark: str = ""
    ) -> Step:
        """A value of the membrane, in 1/64 current units."""
        return self.scaled(result, symbol, f"{{{key}}}", {key: self.over(values)}, self.gain, integers, remark)

    def scaled(
        self,
        result: str,
        symbol: str,
        shown: str,
        numbers: Mapping[str, Floats],
        gain: Floats,
        integers: NDArray[np.int64],
        remark: str = "",
    ) -> Step:
        """rint(symbol / gain · s · 64); a gain of 1 is left out."""
        factor, filled, more = divided(gain)
        formula = Formula(
            f"rint({symbol}{factor}·s·64)",
            f"rint({shown}{filled}·{{s}}·64)",
            {**numbers, **more, "s": self.node.scale},
        )
        return array_step(result, formula, integers, self.shape, remark)


def part_of(node: i.Programmable, neuron: g.Neuron, rows: Floats | None, look: Look) -> Part:
    """rows: of neurons that do not fire and have weights, which take the gain."""
    gain = np.ones(node.out.shape) if rows is not None else gain_of(neuron)
    shape = node.out.shape
    return Part(
        node, neuron, np.broadcast_to(gain, neuron.out.shape).reshape(shape) if rows is None else gain, rows, shape
    )


def divided(gain: Floats) -> tuple[str, str, dict[str, Floats]]:
    """A division by a gain: in symbols, with a place for its number, and its values. Nothing where it is 1."""
    return ("", "", {}) if np.all(gain == 1) else ("/gain", "/{gain}", {"gain": gain})


def decay_steps(part: Part) -> list[Step]:
    """Decay of the membrane, and of the current where it has a memory."""
    p, neuron = part.node.params, part.neuron
    found = [_decay("dv", neuron.membrane.keep, p.dv, part)]
    return [*found, _decay("du", neuron.current.keep, p.du, part)] if neuron.current is not None else found


def _decay(result: str, keep: NDArray[Any], integers: NDArray[np.int64], part: Part) -> Step:
    left = 1 - np.broadcast_to(integers, part.shape) / DECAY_UNITY
    moved = float(np.abs(left - part.over(keep)).max(initial=0))
    remark = "exact" if moved == 0 else f"rounded: what is kept of a step moves by {number(moved)} at most"
    what = "the membrane" if result == "dv" else "the current"
    formula = Formula(f"rint({DECAY_UNITY}·(1 - k))", f"rint({DECAY_UNITY}·(1 - {{k}}))", {"k": part.over(keep)})
    return array_step(result, formula, integers, part.shape, f"k: the share of {what} kept in a step; {remark}")


def sums_of(part: Part, feed: Node, look: Look) -> list[Step]:
    """What is added to the membrane and to the current in every step: the layer's bias, and offsets of the neurons' own."""
    p, neuron = part.node.params, part.neuron
    own = part.over(neuron.membrane.offset)
    if neuron.current is None:
        return [_sum("bias", own, part.gain, p.bias, part, feed, look)]
    steps = [part.scaled("bias", "o", "{o}", {"o": own}, part.gain, p.bias)] if np.any(own) else []
    into, first = part.over(neuron.current.offset), part.gain / part.over(neuron.membrane.gain)
    return [*steps, _sum("current_bias", into, first, p.current_bias, part, feed, look)]


def _sum(
    result: str, own: Floats, gain: Floats, integers: NDArray[np.int64], part: Part, feed: Node, look: Look
) -> Step:
    """An offset of the neurons' own and the bias of their layer, corrected or not, whichever was kept."""
    bias, drift = _layer_bias(part, feed, look)
    for taken in (np.zeros_like(drift), drift):
        added = _by_channel(bias - taken, part)
        if np.array_equal(
            np.rint((own / gain + added) * part.node.scale * UNIT), np.broadcast_to(integers, part.shape)
        ):
            return _sum_step(result, own, gain, (bias, taken), integers, part)
    raise RuntimeError(
        f"node {part.node.source!r}: the compiled {result.replace('_', ' ')} is not what its formula gives"
    )


def _sum_step(
    result: str, own: Floats, gain: Floats, added: tuple[Floats, Floats], integers: NDArray[np.int64], part: Part
) -> Step:
    factor, filled, more = divided(gain)
    terms, shown, numbers, remarks = ["b"], ["{b}"], {"b": _by_channel(added[0], part)}, []
    if np.any(added[1]):
        terms, shown = ["(b - d)"], ["({b} - {d})"]
        numbers["d"] = _by_channel(added[1], part)
        remarks.append("d: the mean error of the rounded weights, taken off")
    if np.any(own):
        terms, shown = [f"o{factor}", *terms], [f"{{o}}{filled}", *shown]
        numbers |= {"o": own, **more}
        remarks.append("o: what the neurons add of their own")
    if part.rows is not None and np.any(part.rows != 1):
        remarks.append("b: with the neuron's gain")
    symbols, places = (" + ".join(x) if len(x) == 1 else f"({' + '.join(x)})" for x in (terms, shown))
    formula = Formula(f"rint({symbols}·s·64)", f"rint({places}·{{s}}·64)", numbers | {"s": part.node.scale})
    return array_step(result, formula, integers, part.shape, "; ".join(remarks))


def _layer_bias(part: Part, feed: Node, look: Look) -> tuple[Floats, Floats]:
    """The float bias [C] of the neurons' synapses, and the mean error of their rounded weights, both with the gain that these
    took."""
    if not look.convs(feed):
        return np.zeros(part.shape[0]), np.zeros(part.shape[0])
    bias = bias_of(feed, look)
    mean = channels(look.values[feed.name]) - bias
    rows = 1.0 if part.rows is None else part.rows
    return bias * rows, channels(look.current(feed)) / part.node.scale - mean * rows


def _by_channel(values: Floats, part: Part) -> Floats:
    return np.broadcast_to(values.reshape(-1, *[1] * (len(part.shape) - 1)), part.shape)


def start_steps(part: Part) -> list[Step]:
    """Where the states begin, if not at 0."""
    p, neuron = part.node.params, part.neuron
    before = "the membrane before a sample's first step"
    steps = [part.level("start", "v1", "v1", neuron.membrane.start, p.start, before)] if np.any(p.start) else []
    if neuron.current is None or not np.any(p.current_start):
        return steps
    first, start = part.gain / part.over(neuron.membrane.gain), part.over(neuron.current.start)
    before = "the current before a sample's first step"
    return [*steps, part.scaled("current_start", "u1", "{u1}", {"u1": start}, first, p.current_start, before)]
