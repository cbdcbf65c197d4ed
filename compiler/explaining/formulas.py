"""The formulas by which a node's parameters became integers, with their numbers. `quantization` says why they are so."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining.explanation import Step, Weights
from pumice.compiler.explaining.runs import Floats, Look
from pumice.compiler.ir import Node
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim import arith

UNIT = 1 << arith.MEMBRANE_SHIFT


def number(x: float) -> str:
    """A number as formulas show it."""
    return f"{x:.6g}"


def signed(x: float) -> str:
    """A number that is added, or taken off."""
    return f"{'-' if x < 0 else '+'} {number(abs(x))}"


def weight_step(
    weight: NDArray[Any], node: i.Synapse, scale: float, bits: int, unit: float = 1.0
) -> tuple[Step, Weights]:
    """w_int = 2 · rint(w · s / 2) clipped to the bits, or rint(w · s) where lists of synapses have the signs, of the largest
    weight; and what that did to all of them. scale: integer units per unit of `weight`; unit: payload units of the input per
    float unit, which scale leaves out."""
    real = np.asarray(weight, np.float64)
    integers = node.weight.reshape(real.shape)
    grid = WeightGrid(bits, node.signs, node.synapses)
    _, clipped = grid.nearest(real * scale)
    error = np.abs(integers / scale - real)
    lost = Weights(
        count=real.size,
        zeroed=int(((integers == 0) & (real != 0)).sum()),
        clipped=clipped,
        largest_error=float(error.max(initial=0)),
        mean_error=float(error.mean()) if real.size else 0.0,
    )
    at = np.unravel_index(int(np.abs(real).argmax()), real.shape)
    w, w_int = float(real[at]), int(integers[at])
    times, over = ("", "") if grid.step == 1 else (f"{grid.step}·", f"/{grid.step}")
    text = f"{times}clip(rint({number(w)}·{number(scale)}{over}), {grid.low}, {grid.high}) = {w_int}"
    remark = f"the largest weight, {w_int} of {grid.low * grid.step} to {grid.largest}"
    remark += f", in {node.synapses} synapses" if node.synapses > 1 else ""
    remark += (
        f"; s = {number(scale * unit)}/{number(unit)}, as the input has a scale of {number(unit)}" if unit != 1 else ""
    )
    numbers = {"w": w, "s": scale, "low": grid.low, "high": grid.high}
    return Step("w_int", f"{times}clip(rint(w·s{over}), low, high)", text, numbers, w_int, remark), lost


def scale_remark(fitting: float, exact: float) -> str:
    """How the scale of a layer compares with `fitting`, at which the largest weight just fits."""
    return f"s is {exact / fitting:.4g} × the scale at which the largest weight just fits"


def lif_steps(node: i.IntLif, lif: f.Lif, scale: float, scale_note: str) -> list[Step]:
    """Threshold and decay of LIF neurons whose current has `scale` units per float unit."""
    gain = lif.gain is not None
    first = {"theta": lif.threshold, "gain": lif.gain} if gain else {"tau": lif.tau, "theta": lif.threshold}
    shown = f"{number(lif.threshold)}/{number(lif.gain or 0)}" if gain else f"{number(lif.tau)}·{number(lif.threshold)}"
    lift = _tie(node, lif) == "threshold"
    ideal = lif.limit * scale - lift / UNIT
    rule = ("θ/gain" if gain else "τ·θ") + "·s" + (" - 1/64" if lift else "")
    whole = abs(ideal - node.vth) < 1e-9 * max(1.0, node.vth)
    lost = f"rounded from {number(ideal)}: the threshold is {number(node.vth / scale * lif.threshold / lif.limit)} on the chip"
    remark = f"whole{': ' + scale_note if scale_note else ''}" if whole else lost
    text = f"{shown}·{number(scale)}{' - 1/64' if lift else ''}"
    least = "max(1, {})" if node.vth == 1 else "{}"
    vth = Step(
        "vth",
        least.format(f"rint({rule})"),
        f"{least.format(f'rint({text})')} = {node.vth}",
        first | {"s": scale},
        node.vth,
        remark,
    )
    return [vth, _decay_step(node, lif), *_comparison(node, lif)]


def _decay_step(node: i.IntLif, lif: f.Lif) -> Step:
    on_chip = arith.DECAY_UNITY / node.dv if node.dv else float("inf")
    exact = node.dv * lif.tau == arith.DECAY_UNITY or (node.dv == 0 and np.isinf(lif.tau))
    remark = "exact" if exact else f"rounded: tau is {number(on_chip)} on the chip, {on_chip / lif.tau - 1:+.2%}"
    tau = lif.tau if np.isfinite(lif.tau) else "infinite"
    text = f"rint(4096/{number(lif.tau)}) = {node.dv}"
    return Step("dv", "rint(4096/τ)", text, {"tau": tau}, node.dv, remark)


def _tie(node: i.IntLif, lif: f.Lif) -> str:
    """How `>=` is made of the chip's `>`; see `quantization`."""
    if lif.comparator == ">" or node.inclusive:
        return "inclusive" if node.inclusive else "strict"
    return "bias" if node.bias_exp == 0 else "threshold"


def _comparison(node: i.IntLif, lif: f.Lif) -> list[Step]:
    said = {
        "bias": "a chip that compares >: a lift of 1/64 unit in the bias lets exact ties fire",
        "threshold": "a chip that compares >: 1/64 unit below the threshold in the scale lets exact ties fire",
        "strict": "as the chip compares",
        "inclusive": "these neurons compare >=; stock ones do not",
    }[_tie(node, lif)]
    sign = ">=" if node.inclusive else ">"
    text = f"V {sign} 64·{node.vth} = {UNIT * node.vth}"
    rule = f"V {sign} 64·vth"
    return [Step("spike", rule, text, {"vth": node.vth}, UNIT * node.vth, f"v {lif.comparator} θ: {said}")]


def bias_step(node: i.IntLif | i.Levels, bias: Floats, drift: Floats, scale: float, lift: int) -> Step:
    """The bias mantissas [C]. drift: the mean error that rounding the weights makes, taken off; zeros where it was not. lift: of
    an exact tie.

    Raises RuntimeError where the formula does not give the compiled integers."""
    exponent = node.bias_exp
    ideal = (bias - drift) * scale * UNIT
    found = np.rint(ideal / (1 << exponent)).astype(np.int64) + lift
    if not np.array_equal(found, node.bias_mant):
        raise RuntimeError(f"node {node.source!r}: the compiled bias is not what its formula gives")
    top = int(np.abs(node.bias_mant).argmax())
    corrected = bool(np.any(drift))
    b = f"({number(bias[top])} {signed(-drift[top])})" if corrected else number(bias[top])
    power = f"/2^{exponent}" if exponent else ""
    tail = f" + {lift}" if lift else ""
    rule = f"rint({'(b - d)' if corrected else 'b'}·s·64{power}){tail}"
    text = f"rint({b}·{number(scale)}·64{power}){tail} = {node.bias_mant[top]}"
    remarks = [f"channel {top}, the largest of {len(bias)}"]
    remarks += [f"× 2^{exponent} in the neuron"] if exponent else []
    remarks += ["+ 1 for exact ties"] if lift else []
    remarks += ["d: the mean error of the rounded weights, taken off"] if corrected else []
    numbers = {"b": bias.tolist(), "d": drift.tolist(), "s": scale, "exponent": exponent, "lift": lift}
    return Step("bias", rule, text, numbers, node.bias_mant.tolist(), "; ".join(remarks))


def layer_bias(node: i.IntLif | i.Levels, feed: Node, look: Look) -> Step:
    """The bias of the neurons of convolutions: its own, or the one corrected for the rounded weights, whichever was kept."""
    bias = bias_of(feed, look)
    none = np.zeros_like(bias)
    lif = look.floats.nodes[node.name]
    lift = int(isinstance(node, i.IntLif) and isinstance(lif, f.Lif) and _tie(node, lif) == "bias")
    plain = np.rint(bias * node.scale * UNIT / (1 << node.bias_exp)).astype(np.int64) + lift
    if np.array_equal(plain, node.bias_mant):
        return bias_step(node, bias, none, node.scale, lift)
    return bias_step(node, bias, drift_of(feed, bias, node.scale, look), node.scale, lift)


def bias_of(feed: Node, look: Look) -> Floats:
    """The float bias [C] of all convolutions of a layer together."""
    return np.asarray(sum(np.asarray(conv.bias, np.float64) for conv in look.convs(feed)))


def plain_bias(node: i.IntLif | i.Levels, look: Look) -> Step:
    """The bias of neurons that have none in float."""
    lif = look.floats.nodes[node.name]
    lift = int(isinstance(node, i.IntLif) and isinstance(lif, f.Lif) and _tie(node, lif) == "bias")
    zeros = np.zeros(len(node.bias_mant))
    return bias_step(node, zeros, zeros, node.scale, lift)


def drift_of(feed: Node, bias: Floats, scale: float, look: Look) -> Floats:
    """Per channel, the mean current of the rounded weights less that of the float ones, in float units. bias: of the float
    layer."""
    current = look.current(feed)
    return np.asarray(channels(current) / scale - (channels(look.values[feed.name]) - bias))


def channels(x: NDArray[Any]) -> Floats:
    """Mean per channel of x [T, B, C, …]."""
    return np.asarray(x.mean(axis=(0, 1, *range(3, x.ndim))))


def level_step(node: i.Levels, scale: float) -> Step:
    """Thresholds of MultiSpike neurons: (d - 1/2) · s · 64, a tie passes where d is even."""
    ideal = [(d - 0.5) * scale * UNIT for d in range(1, len(node.thresholds) + 1)]
    last = len(ideal)
    side = f"floor({number(ideal[-1])})" if last % 2 else f"ceil({number(ideal[-1])}) - 1"
    text = f"({last} - 1/2)·{number(scale)}·64: {side} = {node.thresholds[-1]}"
    moved = max(abs(t - x) for t, x in zip(node.thresholds.tolist(), ideal, strict=True)) / (UNIT * scale)
    rule = "floor((d - 1/2)·s·64) for odd d, ceil((d - 1/2)·s·64) - 1 for even d"
    remark = f"level {last}; half to even, as the float neuron rounds; moved by at most {number(moved)}"
    return Step("thresholds", rule, text, {"levels": last, "s": scale}, node.thresholds.tolist(), remark)
