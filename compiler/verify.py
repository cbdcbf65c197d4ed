"""The rules of each stage. All violations are collected; one error names pass, node, source, number and limit."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import STAGES, Graph, Stage
from pumice.compiler.number_rules import NUMBER_RULES, at
from pumice.compiler.passes.balance_delays import axon_delays, depths
from pumice.compiler.shape_rules import MASK_RULES, SHAPE_RULES
from pumice.errors import VerifyError
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
    rules: tuple[Rule, ...] = (integer_nodes_only, *SHAPE_RULES, *NUMBER_RULES)
    if position >= STAGES.index("masked"):
        rules += MASK_RULES
    if position >= STAGES.index("lowered"):
        rules += (attention_lowered,)
    return rules + ((joins_meet, delays_in_range) if stage == "balanced" else ())


def inputs_exist(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Every input is an earlier node, and so is the output; a feedback reads any node."""
    seen: set[str] = set()
    for node in graph.nodes.values():
        if isinstance(node, i.Feedback) and node.of not in graph.nodes:
            yield f"{at(node)} reads {node.of!r}, which does not exist"
        yield from (f"{at(node)} reads {name!r}, which is not before it" for name in node.inputs if name not in seen)
        seen.add(node.name)
    for name in graph.ends:
        if name not in seen:
            yield f"the output {name!r} does not exist"


def float_values_only(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Before quantization, nothing is integer."""
    for node in graph.nodes.values():
        general = isinstance(node, g.Neuron | g.Delay | g.Feedback)
        if node.out.dtype != "float" or not (general or type(node).__module__ == f.__name__):
            yield f"{at(node)} is {node.out} before quantization"


def no_batchnorm(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After folding, no BatchNorm is left."""
    for node in graph.nodes.values():
        if isinstance(node, f.BatchNorm):
            yield f"{at(node)} is a BatchNorm that was not folded"


def integer_nodes_only(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After quantization, nothing is float."""
    for node in graph.nodes.values():
        if node.out.dtype == "float" or type(node).__module__ != i.__name__:
            yield f"{at(node)} is {type(node).__name__} of {node.out} after quantization"


def attention_lowered(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """After lowering, no whole attention is left."""
    for node in graph.nodes.values():
        if isinstance(node, i.IntAttention):
            yield f"{at(node)} is an attention that was not lowered"


def joins_meet(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """All inputs of a node carry the same timestep."""
    depth: dict[str, int] = {}
    for node in graph.nodes.values():
        arrivals = {depth[name] for name in node.inputs}
        if len(arrivals) > 1:
            yield f"{at(node)}: inputs arrive after {sorted(arrivals)} steps"
        arrival = max(arrivals, default=0) + i.latency(node)
        depth[node.name] = node.at if isinstance(node, i.Past | i.Feedback) else arrival


def delays_in_range(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Axonal delays fit the chip. A mask travels no axon: its delay is when a core looks it up."""
    for node in graph.nodes.values():
        if isinstance(node, i.Delay) and node.out.dtype != "mask" and node.steps > chip.max_delay:
            yield f"{at(node)}: delay {node.steps}/{chip.max_delay} steps"
    depth = depths(graph)
    for node in graph.nodes.values():
        if isinstance(node, i.Past | i.Feedback):
            yield from _axons_in_range(node, axon_delays(node, depth), chip)


def _axons_in_range(node: i.Past | i.Feedback, waits: i.Ints, chip: ChipSpec) -> Iterator[str]:
    if int(waits.max(initial=0)) > chip.max_delay:
        yield f"{at(node)}: delay {int(waits.max())}/{chip.max_delay} steps"
    if int(waits.min(initial=0)) < 0:
        yield f"{at(node)}: a value is due {-int(waits.min())} steps before it is there"
