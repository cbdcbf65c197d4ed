"""Rules about shapes: what flows into a node is of the kind and the shape that the node means."""

from __future__ import annotations

from collections.abc import Iterator

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import mask_input
from pumice.compiler.ir import Graph, Node
from pumice.compiler.number_rules import at
from pumice.hwsim.spec import ChipSpec


def neurons_read_currents(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A synapse stands before all neurons that are not their own."""
    for node in graph.nodes.values():
        if isinstance(node, i.Neurons) and graph.nodes[node.inputs[0]].out.dtype != "current":
            yield f"{at(node)} reads {node.inputs[0]!r}, {graph.nodes[node.inputs[0]].out}, which is no current"


def currents_match(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Currents that are added up are currents, of one shape; a delay of the user's keeps its shape."""
    for node in graph.nodes.values():
        if isinstance(node, i.Past | i.Feedback):
            source = graph.nodes[node.of if isinstance(node, i.Feedback) else node.inputs[0]].out
            least = int(isinstance(node, i.Feedback))
            if (
                source.shape != node.out.shape
                or source.dtype == "current"
                or int(node.steps.min(initial=least)) < least
            ):
                yield f"{at(node)} of {node.out}: {source}, {int(node.steps.min(initial=0))} or more steps before"
        for name in node.inputs if isinstance(node, i.Currents) else ():
            part = graph.nodes[name].out
            if part.dtype != "current" or part.shape != node.out.shape:
                yield f"{at(node)} of {node.out} adds {name!r}, {part}"


def streams_match(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A membrane adds payloads of its own shape."""
    for node in graph.nodes.values():
        for name in node.streams if isinstance(node, i.Membrane) else ():
            stream = graph.nodes[name].out
            if stream.dtype not in ("spike", "graded") or stream.shape != node.out.shape:
                yield f"{at(node)} of {node.out} adds {name!r}, {stream}"


def groups_divide(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """The groups of a convolution divide its channels."""
    for node in graph.nodes.values():
        if not isinstance(node, i.Synapse):
            continue
        channels, (outputs, inputs) = graph.nodes[node.inputs[0]].out.shape[0], node.weight.shape[:2]
        if node.groups < 1 or outputs % node.groups or inputs * node.groups != channels:
            yield f"{at(node)}: {outputs} × {inputs} channels in {node.groups} groups over {channels} channels"


def pools_read_maps(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Windows lie over feature maps [C, H, W]."""
    for node in graph.nodes.values():
        if isinstance(node, i.OrPool | i.MaxPool) and len(graph.nodes[node.inputs[0]].out.shape) != 3:
            yield f"{at(node)} pools {graph.nodes[node.inputs[0]].out}, which has no rows and columns"


def spike_gates_fit(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A gate of spikes has a share of the channels, and one position or as many as it rules."""
    for node in graph.nodes.values():
        if not isinstance(node, i.SpikeAnd):
            continue
        gate, x = (graph.nodes[name].out for name in node.inputs)
        if gate.dtype != "spike" or x.dtype != "spike":
            yield f"{at(node)} reads {gate} and {x}, which are not both spikes"
        elif x.shape[0] % gate.shape[0] or gate.shape[1:] not in ((1,), x.shape[1:]):
            yield f"{at(node)}: a gate of {gate} for {x}"


def gates_have_masks(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """Every gate and gated neuron reads a mask over its own tokens."""
    for node in graph.nodes.values():
        if not isinstance(node, i.TokenGate) and not mask_input(node):
            continue
        mask = graph.nodes[node.inputs[-1]].out
        if not _takes(node, len(node.inputs)) or mask.dtype != "mask":
            yield f"{at(node)} is gated, but reads no mask"
        elif mask.shape != node.out.shape[1:]:
            yield f"{at(node)}: mask over {mask.shape} tokens for {node.out}"


def _takes(node: Node, inputs: int) -> bool:
    return inputs >= 2 if isinstance(node, i.Membrane) else inputs == 2


def static_masks_fit(graph: Graph, chip: ChipSpec) -> Iterator[str]:
    """A static mask has one bit per timestep and token."""
    for node in graph.nodes.values():
        if isinstance(node, i.StaticMask) and node.masks.shape != (graph.timesteps, *node.out.shape):
            yield f"{at(node)}: masks {node.masks.shape} for {graph.timesteps} timesteps of {node.out}"


SHAPE_RULES = (neurons_read_currents, currents_match, streams_match, groups_divide, pools_read_maps, spike_gates_fit)
MASK_RULES = (gates_have_masks, static_masks_fit)
