"""The formulas of inputs, streams, counts and the read-out, with their numbers: what has no threshold."""

from __future__ import annotations

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining.explanation import Step
from pumice.compiler.explaining.formulas import channels, number, signed
from pumice.compiler.explaining.runs import Floats, Ints, Look
from pumice.compiler.quantizers.streams import components, finest_of_readers, grid_unit
from pumice.hwsim import arith


def membrane_steps(node: i.Membrane, conv: f.Conv, current: Ints, look: Look) -> list[Step]:
    """Scale, shift and bias of a stream of real values."""
    scale = node.scale
    shifted = arith.shifted(current, node.shift)
    bias = np.asarray(conv.bias, np.float64)
    drift = channels(shifted) - (channels(look.values[conv.name]) - conv.bias) * scale
    top = int(np.abs(node.bias_values).argmax())
    found = np.rint(bias * scale - drift).astype(np.int64)
    if not np.array_equal(found, node.bias_values):
        raise RuntimeError(f"node {node.source!r}: the compiled bias is not what its formula gives")
    shown = f"rint({number(bias[top])}·{number(scale)} {signed(-drift[top])}) = {node.bias_values[top]}"
    numbers = {"b": bias.tolist(), "d": drift.tolist(), "s": scale}
    remark = f"channel {top}; d: the mean error of the rounded weights, in payload units, taken off"
    return [
        grid_step(node.name, scale, node.out.high, look),
        shift_step(node, scale),
        Step("bias", "rint(b·s - d)", shown, numbers, node.bias_values.tolist(), remark),
    ]


def grid_step(name: str, scale: float, limit: int, look: Look) -> Step:
    """The scale of a stream, a power of two; from the scale that its neurons read, where they send their membrane. limit: its
    largest payload."""
    parts = components(look.floats)
    if not any(name in part for part in parts):  # a further current that joins a sum's stream
        name = next(reader.name for reader in look.floats.consumers()[name])
    at = next(k for k, part in enumerate(parts) if name in part)
    joined, before = parts[at], {other: look.grids[other] for part in parts[:at] for other in part}
    largest = max(float(np.abs(look.values[part]).max(initial=0)) for part in joined) or 1.0
    least = min(finest_of_readers(joined, look.floats, look.chip), default=np.inf)
    unit = grid_unit(joined, look.floats, before)
    rule, text = "limit/(2·largest)", f"{limit}/(2·{number(largest)})"
    numbers = {"limit": limit, "largest": largest}
    remark = f"s = {number(scale)}, range ±{number(limit / scale)}"
    if least < limit / (2 * largest):
        rule, text = f"min({rule}, r)", f"min({text}, {number(least)})"
        numbers["r"], remark = least, f"{remark}; r: what the thresholds of its readers allow"
    if unit != 1:
        rule, text = f"{rule}/unit", f"{text}/{number(unit)}"
        numbers["unit"], remark = unit, f"{remark}; unit: the scale that its neurons read, by their gain"
    exponent = int(np.rint(np.log2(scale / unit)))
    result = "log2(s)" if unit == 1 else "log2(s/unit)"
    return Step(result, f"floor(log2({rule}))", f"floor(log2({text})) = {exponent}", numbers, exponent, remark)


def clipped_note(share: float) -> str:
    """How much of a stream did not fit its range."""
    return f"{share:.2%} of the values on calibration data clipped to the range"


def shift_step(node: i.Membrane, scale: float) -> Step:
    """What brings the current onto the stream's grid."""
    synapse = scale / 2.0**node.shift
    text = f"log2({number(scale)}/{number(synapse)}) = {node.shift}"
    how = "halves up" if node.shift < 0 else "exact"
    remark = f"current · 2^{node.shift}, {how}: the weights have a finer grid of their own" if node.shift < 0 else how
    return Step("shift", "log2(s/s_current)", text, {"s": scale, "s_current": synapse}, node.shift, remark)


def input_step(node: i.GradedInput, samples: Floats) -> Step:
    """Samples as graded spikes, of the largest."""
    at = np.unravel_index(int(np.abs(samples).argmax()), samples.shape)
    x = float(samples[at])
    low, high = node.out.low, node.out.high
    ideal = np.rint(samples * node.scale)
    clipped = float(((ideal < low) | (ideal > high)).mean())
    value = int(np.clip(np.rint(x * node.scale), low, high))
    text = f"clip(rint({number(x)}·{number(node.scale)}), {low}, {high}) = {value}"
    remark = f"the largest sample; {clipped:.2%} of all samples clipped"
    return Step(
        "x_int", "clip(rint(x·s), low, high)", text, {"x": x, "s": node.scale, "low": low, "high": high}, value, remark
    )


def offset_step(node: i.Readout, linear: f.Linear, scale: float, unit: float) -> Step:
    """Where the read-out starts. scale: integer units per unit of the head's weight; unit: payload units in one unit of what the
    head reads, summed over tokens and steps."""
    bias = np.asarray(linear.bias, np.float64)
    top = int(np.abs(node.offset).argmax())
    text = f"rint({number(bias[top])}·{number(scale)}·{number(unit)}) = {node.offset[top]}"
    remark = f"class {top}; u: payload units in one unit of the mean over tokens and steps"
    return Step(
        "offset", "rint(b·s·u)", text, {"b": bias.tolist(), "s": scale, "u": unit}, node.offset.tolist(), remark
    )


def count_step(node: i.IntAttention | i.SpikeMatmul, scale: float) -> Step:
    """The shift of attention's counts, which are exact. scale: shifted counts per float unit."""
    unit = scale / (1 << node.shift)
    text = f"log2({number(scale)}/{number(unit)}) = {node.shift}"
    remark = f"counts of coincidences are integers: {number(unit)} of them are one float unit, s = {number(scale)}"
    return Step("shift", "log2(s/s_count)", text, {"s": scale, "s_count": unit}, node.shift, remark)


def token_sum_step(node: i.TokenSum, unit: float, tokens: int) -> Step:
    """The shift of a sum over tokens. unit: payload units of its input per float unit; tokens: the mean's divisor."""
    text = f"log2({number(unit)}·{tokens}/{number(node.scale)}) = {node.shift}"
    remark = f"sum · 2^-{node.shift}, halves up, so that it fits a payload" if node.shift else "exact"
    numbers = {"unit": unit, "tokens": tokens, "s": node.scale}
    return Step("shift", "log2(unit·tokens/s)", text, numbers, node.shift, remark)
