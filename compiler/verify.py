"""The rules of each stage. All violations are collected; one error names pass, node, source, number and limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import STAGES, Graph, Node, Stage
from pumice.errors import VerifyError
from pumice.hwsim.arith import ACTIVATION_LIMIT, STATE_LIMIT
from pumice.hwsim.spec import ChipSpec

Rule = Callable[[Graph, ChipSpec], Iterator[str]]


def verify(graph: Graph, chip: ChipSpec, after: str) -> None:
    """Raises VerifyError with every violation of the rules in force at the graph's stage."""
    violations = list(inputs_exist(graph, chip))  # the other rules follow inputs, so these must hold first
    if not violations:
        violations = [text for rule in rules_of(graph.stage) for text in rule(graph, chip)]
    if violations:
        raise VerifyError(f"after {after}: " + "; ".join(violations), "this network cannot be compiled as it stands")


def rules_of(stage: Stage) -> tuple[Rule, ...]:
    """The rules in force at a stage, beside `inputs_exist`."""
    position = STAGES.index(stage)
    if position < STAGES.index("quantized"):
        return (float_values_only,) + ((no_batchnorm,) if stage == "folded" else ())
    rules: tuple[Rule, ...] = (
        integer_nodes_only,
        weights_in_range,
        neurons_in_range,
        currents_in_range,
        payloads_carried,
    )
    if position >= STAGES.index("masked"):
        rules += (gates_have_masks, static_masks_fit)
    if position >= STAGES.index("lowered"):
        rules += (attention_lowered,)
    return rules + ((joins_meet, delays_in_range) if stage == "balanced" else ())


def inputs_exist(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Every input is an earlier node, and so is the output."""
    seen: set[str] = set()
    for node in graph.nodes.values():
        yield from (f"{_at(node)} reads {name!r}, which is not before it" for name in node.inputs if name not in seen)
        seen.add(node.name)
    if graph.output not in seen:
        yield f"the output {graph.output!r} does not exist"


def float_values_only(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Before quantization, nothing is integer."""
    for node in graph.nodes.values():
        if node.out.dtype != "float" or type(node).__module__ != f.__name__:
            yield f"{_at(node)} is {node.out} before quantization"


def no_batchnorm(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After folding, no BatchNorm is left."""
    for node in graph.nodes.values():
        if isinstance(node, f.BatchNorm):
            yield f"{_at(node)} is a BatchNorm that was not folded"


def integer_nodes_only(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After quantization, nothing is float."""
    for node in graph.nodes.values():
        if node.out.dtype == "float" or type(node).__module__ != i.__name__:
            yield f"{_at(node)} is {type(node).__name__} of {node.out} after quantization"


def weights_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Weights are even and fit the chip's signed weight bits, times two."""
    limit = 1 << chip.weight_bits
    for node in graph.nodes.values():
        if isinstance(node, i.Synapse):
            low, high = int(node.weight.min(initial=0)), int(node.weight.max(initial=0))
            if low < -limit or high > limit - 2 or np.any(node.weight & 1):
                yield f"{_at(node)}: weights in [{low}, {high}], the chip takes even weights in [{-limit}, {limit - 2}]"


def neurons_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Threshold, decay and bias fit the registers."""
    for node in graph.nodes.values():
        if not isinstance(node, i.IntLif):
            continue
        if not 0 < node.vth < 1 << chip.threshold_bits:
            yield f"{_at(node)}: threshold {node.vth}/{(1 << chip.threshold_bits) - 1}"
        if not 0 <= node.dv <= 4095:
            yield f"{_at(node)}: decay {node.dv}/4095"
        mantissa = int(np.abs(node.bias_mant).max(initial=0))
        if mantissa >= 1 << (chip.bias_mantissa_bits - 1):
            yield f"{_at(node)}: bias mantissa {mantissa}/{(1 << (chip.bias_mantissa_bits - 1)) - 1}"
        if not 0 <= node.bias_exp < 1 << chip.bias_exponent_bits:
            yield f"{_at(node)}: bias exponent {node.bias_exp}/{(1 << chip.bias_exponent_bits) - 1}"


def currents_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """No input can make a synaptic current wrap."""
    for node in graph.nodes.values():
        if node.out.dtype == "current" and max(node.out.high, -node.out.low) >= ACTIVATION_LIMIT:
            yield f"{_at(node)}: worst-case current {max(node.out.high, -node.out.low):,}/{ACTIVATION_LIMIT - 1:,}"
        if isinstance(node, i.Readout) and int(np.abs(node.offset).max(initial=0)) >= STATE_LIMIT:
            yield f"{_at(node)}: offset {int(np.abs(node.offset).max()):,}/{STATE_LIMIT - 1:,}"


def payloads_carried(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Graded spikes fit the chip's payload; a chip without payloads takes none."""
    for node in graph.nodes.values():
        if node.out.dtype == "graded" and not isinstance(node, i.Readout) and node.out.bits > max(chip.graded_bits, 1):
            hint = "no graded spikes on this chip" if chip.graded_bits == 0 else "payload too wide"
            yield f"{_at(node)}: graded spike of {node.out.bits}/{chip.graded_bits} bits on {chip.name} ({hint})"


def gates_have_masks(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Every gate and gated neuron reads a mask over its own tokens."""
    for node in graph.nodes.values():
        gated = isinstance(node, i.TokenGate) or (isinstance(node, i.IntLif) and node.gate_state != "")
        if not gated:
            continue
        if len(node.inputs) != 2 or graph.nodes[node.inputs[1]].out.dtype != "mask":
            yield f"{_at(node)} is gated, but reads no mask"
        elif graph.nodes[node.inputs[1]].out.shape != node.out.shape[1:]:
            yield f"{_at(node)}: mask over {graph.nodes[node.inputs[1]].out.shape} tokens for {node.out}"


def static_masks_fit(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A static mask has one bit per timestep and token."""
    for node in graph.nodes.values():
        if isinstance(node, i.StaticMask) and node.masks.shape != (graph.timesteps, *node.out.shape):
            yield f"{_at(node)}: masks {node.masks.shape} for {graph.timesteps} timesteps of {node.out}"


def attention_lowered(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After lowering, no whole attention is left."""
    for node in graph.nodes.values():
        if isinstance(node, i.IntAttention):
            yield f"{_at(node)} is an attention that was not lowered"


def joins_meet(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """All inputs of a node carry the same timestep."""
    depth: dict[str, int] = {}
    for node in graph.nodes.values():
        arrivals = {depth[name] for name in node.inputs}
        if len(arrivals) > 1:
            yield f"{_at(node)}: inputs arrive after {sorted(arrivals)} steps"
        depth[node.name] = max(arrivals, default=0) + i.latency(node)


def delays_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Axonal delays fit the chip. A mask travels no axon: its delay is when a core looks it up."""
    for node in graph.nodes.values():
        if isinstance(node, i.Delay) and node.out.dtype != "mask" and node.steps > chip.max_delay:
            yield f"{_at(node)}: delay {node.steps}/{chip.max_delay} steps"


def _at(node: Node) -> str:
    return f"{node.name} (from {node.source!r})" if node.source != node.name else node.name
