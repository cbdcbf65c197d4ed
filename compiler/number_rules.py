"""Rules about numbers: every weight, threshold, bias, current and payload fits what the chip has for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import get_args

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.bounds import channel_sums
from pumice.compiler.ir import Graph, Node, TensorType
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.arith import (
    ACTIVATION_LIMIT,
    DECAY_UNITY,
    MAX_SYNAPSES,
    MEMBRANE_SHIFT,
    STATE_LIMIT,
    Reset,
    Signs,
    shifted,
)
from pumice.hwsim.spec import ChipSpec

MAX_LEVELS = 255  # what a recorded level, a byte, holds


def at(node: Node) -> str:
    """A node in a message: its name, and what it was in the user's model."""
    return f"{node.name} (from {node.source!r})" if node.source != node.name else node.name


def weights_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Weights fit the chip's bits: even ones with their sign in the bits, times two; or any magnitudes, in lists by sign; or, of
    several synapses, as many times that."""
    for node in graph.nodes.values():
        if not isinstance(node, i.Synapse):
            continue
        if node.signs not in get_args(Signs):
            yield f"{at(node)}: unknown signs {node.signs!r}"
        elif not 1 <= node.synapses <= MAX_SYNAPSES:
            yield f"{at(node)}: {node.synapses}/{MAX_SYNAPSES} synapses for a weight"
        elif not (grid := WeightGrid(chip.weight_bits, node.signs, node.synapses)).holds(node.weight):
            low, high = int(node.weight.min(initial=0)), int(node.weight.max(initial=0))
            fitting = f"{'even ' if grid.step == 2 else ''}weights in [{grid.low * grid.step}, {grid.largest}]"
            yield f"{at(node)}: weights in [{low}, {high}], the chip takes {fitting}"


def neurons_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Threshold, decay and bias fit the registers."""
    for node in graph.nodes.values():
        if isinstance(node, i.IntLif) and not 0 < node.vth < 1 << chip.threshold_bits:
            yield f"{at(node)}: threshold {node.vth}/{(1 << chip.threshold_bits) - 1}"
        if isinstance(node, i.IntLif) and not 0 <= node.dv <= 4095:
            yield f"{at(node)}: decay {node.dv}/4095"
        if isinstance(node, i.IntLif):
            yield from _firing_possible(node, chip)
        if isinstance(node, i.IntLif | i.Levels):
            yield from _bias_in_range(node, chip)


def programs_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """The constants of programmable neurons fit 24 bits and 12-bit decays, on a chip that has such neurons."""
    for node in graph.nodes.values():
        if not isinstance(node, i.Programmable):
            continue
        if chip.graded_bits == 0:
            yield f"{at(node)} of {node.out}: needs programmable neurons, which {chip.name} does not have"
        p = node.params
        if p.most > 1 and int(p.threshold.min(initial=1)) < 1:
            yield f"{at(node)}: threshold {int(p.threshold.min())} is not above 0"
        for name in ("threshold", "bias", "current_bias", "start", "current_start", "v_reset"):
            most = int(np.abs(getattr(p, name)).max(initial=0))
            if most >= STATE_LIMIT:
                yield f"{at(node)}: {name.replace('_', ' ')} {most:,}/{STATE_LIMIT - 1:,}"
        for name in ("dv", "du"):
            low, high = int(getattr(p, name).min(initial=0)), int(getattr(p, name).max(initial=0))
            if low < 0 or high > DECAY_UNITY:
                yield f"{at(node)}: decays {name} {low} to {high}, 0 to {DECAY_UNITY} fit"
        yield from _program_makes_sense(node)


def _program_makes_sense(node: i.Programmable) -> Iterator[str]:
    p, sent = node.params, (node.out.low, node.out.high)
    if p.reset not in get_args(Reset):
        yield f"{at(node)}: unknown reset {p.reset!r}"
    if p.most < 0 or sent != (p.limits if p.most == 0 else (0, p.most)):
        yield f"{at(node)}: sends {sent[0]} to {sent[1]}, its neurons {p.most or p.limits}"
    if p.most > MAX_LEVELS:
        yield f"{at(node)}: {p.most}/{MAX_LEVELS} spikes a step"
    for field in fields(p):
        value = getattr(p, field.name)
        if isinstance(value, np.ndarray) and not _broadcasts(value.shape, node.out.shape):
            yield f"{at(node)}: {field.name} of shape {value.shape} for {node.out}"


def _broadcasts(shape: tuple[int, ...], onto: tuple[int, ...]) -> bool:
    return len(shape) == len(onto) and all(n in (1, full) for n, full in zip(shape, onto, strict=True))


def _firing_possible(node: i.IntLif, chip: ChipSpec) -> Iterator[str]:
    """Chips whose spikes carry no payload have fixed neurons too: v > threshold, then v = 0, in one compartment."""
    if node.reset not in get_args(Reset):
        yield f"{at(node)}: unknown reset {node.reset!r}"
    elif not node.params.stock and chip.graded_bits == 0:
        what = "reset by subtraction" if node.reset != "hard" else "comparison with >="
        yield f"{at(node)} of {node.out}: {what} needs programmable neurons, which {chip.name} does not have"


def _bias_in_range(node: i.IntLif | i.Levels, chip: ChipSpec) -> Iterator[str]:
    mantissa = int(np.abs(node.bias_mant).max(initial=0))
    if mantissa >= 1 << (chip.bias_mantissa_bits - 1):
        yield f"{at(node)}: bias mantissa {mantissa}/{(1 << (chip.bias_mantissa_bits - 1)) - 1}"
    if not 0 <= node.bias_exp < 1 << chip.bias_exponent_bits:
        yield f"{at(node)}: bias exponent {node.bias_exp}/{(1 << chip.bias_exponent_bits) - 1}"


def levels_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Thresholds ascend, in reach of a membrane that saturates, and there is a level for each."""
    for node in graph.nodes.values():
        if not isinstance(node, i.Levels):
            continue
        levels, furthest = len(node.thresholds), int(np.abs(node.thresholds).max(initial=0))
        if np.any(np.diff(node.thresholds) < 0):
            yield f"{at(node)}: thresholds {node.thresholds.tolist()} do not ascend"
        if furthest >= STATE_LIMIT - 1:
            yield f"{at(node)}: threshold {furthest:,}/{STATE_LIMIT - 2:,}"
        if levels > MAX_LEVELS or (node.out.low, node.out.high) != (0, levels):
            yield f"{at(node)}: {levels}/{MAX_LEVELS} thresholds for levels {node.out.low} to {node.out.high}"


def streams_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """No input can overflow the accumulator of a membrane, or of a sum over tokens."""
    for node in graph.nodes.values():
        if isinstance(node, i.Membrane | i.TokenSum):
            if isinstance(node, i.TokenSum) and node.shift < 0:
                yield f"{at(node)}: shift {node.shift} is negative"
            elif (worst := _worst_accumulator(node, graph)) >= STATE_LIMIT:
                yield f"{at(node)}: worst-case accumulator {worst:,}/{STATE_LIMIT - 1:,}"


def _worst_accumulator(node: i.Membrane | i.TokenSum, graph: Graph) -> int:
    inputs = [graph.nodes[name].out for name in node.inputs]
    if isinstance(node, i.TokenSum):
        return magnitude(inputs[0]) * inputs[0].shape[-1] + ((1 << node.shift) >> 1)
    streams = sum(magnitude(graph.nodes[name].out) for name in node.streams)
    current = shifted(np.array(magnitude(inputs[0])), node.shift)
    return int(current) + int(np.abs(node.bias_values).max(initial=0)) + streams


def magnitude(out: TensorType) -> int:
    """The largest absolute value of a type's range."""
    return max(out.high, -out.low)


def ranges_hold(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """What passes values on, or adds them up, declares all that it can send."""
    for node in graph.nodes.values():
        if not isinstance(node, i.OneToOne | i.MaxPool | i.TokenSum | i.Past | i.Feedback | i.Currents):
            continue
        source = graph.nodes[node.of if isinstance(node, i.Feedback) else node.inputs[0]].out
        low, high = source.low, source.high
        if isinstance(node, i.Currents):
            lows, highs = channel_sums(node, graph)
            low, high = int(lows.min()), int(highs.max())
        if isinstance(node, i.TokenSum):
            half = (1 << max(node.shift, 0)) >> 1
            low, high = (bound * source.shape[-1] + half >> max(node.shift, 0) for bound in (low, high))
        if low < node.out.low or high > node.out.high:
            yield f"{at(node)}: values in [{low}, {high}], declared [{node.out.low}, {node.out.high}]"


def currents_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """No input can make a synaptic current wrap."""
    for node in graph.nodes.values():
        if node.out.dtype == "current" and magnitude(node.out) >= ACTIVATION_LIMIT:
            yield f"{at(node)}: worst-case current {magnitude(node.out):,}/{ACTIVATION_LIMIT - 1:,}"
        if isinstance(node, i.Readout) and int(np.abs(node.offset).max(initial=0)) >= STATE_LIMIT:
            yield f"{at(node)}: offset {int(np.abs(node.offset).max()):,}/{STATE_LIMIT - 1:,}"


def saturation_unseen(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A product whose sums could exceed its range is read by levels only, all of whose thresholds that range passes."""
    readers = graph.consumers()
    for node in graph.nodes.values():
        if not isinstance(node, i.SpikeMatmul):
            continue
        worst = i.largest_sum(node, *(graph.nodes[name].out for name in node.inputs)) << node.shift
        if worst <= node.out.high:
            continue
        for reader in _past_delays(readers[node.name], readers):
            if not isinstance(reader, i.Levels) or _top(node.out, reader) <= int(reader.thresholds.max(initial=0)):
                yield f"{at(node)}: sums up to {worst:,}/{node.out.high:,}, and {reader.name} can tell those beyond apart"


def _past_delays(found: list[Node], readers: Mapping[str, list[Node]]) -> Iterator[Node]:
    for node in found:
        yield from _past_delays(readers[node.name], readers) if isinstance(node, i.Delay) else [node]


def _top(current: TensorType, node: i.Levels) -> int:
    """The least that the largest current brings to a neuron, in the units of its thresholds."""
    return (current.high << MEMBRANE_SHIFT) + int(node.bias.min(initial=0))


def payloads_carried(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Graded spikes fit the chip's payload; a chip without payloads takes none."""
    for node in graph.nodes.values():
        if node.out.dtype == "graded" and not isinstance(node, i.Readout) and node.out.bits > max(chip.graded_bits, 1):
            hint = "no graded spikes on this chip" if chip.graded_bits == 0 else "payload too wide"
            yield f"{at(node)}: graded spike of {node.out.bits}/{chip.graded_bits} bits on {chip.name} ({hint})"


NUMBER_RULES = (
    weights_in_range,
    neurons_in_range,
    programs_in_range,
    levels_in_range,
    streams_in_range,
    ranges_hold,
    currents_in_range,
    saturation_unseen,
    payloads_carried,
)
