"""The bias of a layer on a cycle that is silent in the first step, as Norse's recurrent layers are.

Neurons add their bias in every step. To have none in the first one, they start below 0 by what it adds there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.ir import Graph, Node, sole
from pumice.compiler.passes.lowering.neurons import neuron_of
from pumice.compiler.passes.lowering.rewriting import Nodes

Readers = Mapping[str, list[Node]]


def take_late_biases(node: Node, graph: Graph, readers: Readers) -> Nodes | None:
    """Neurons that read a biased layer's current of the step before take the bias; the layer comes without it."""
    if not isinstance(node, f.Lif | g.Neuron):
        return None
    before = graph.nodes[node.inputs[0]]
    if isinstance(before, f.Add) and sole(before.name, readers) is None:
        return None
    names = before.inputs if isinstance(before, f.Add) else node.inputs
    late = next((n for name in names if (n := _biased(graph.nodes[name], graph, readers))), None)
    if late is None:
        return None
    feedback, conv = late
    bias = np.broadcast_to(np.reshape(conv.bias, (-1, *[1] * (len(conv.out.shape) - 1))), conv.out.shape)
    neuron = node if isinstance(node, g.Neuron) else neuron_of(node)
    taken = with_late_bias(neuron, bias.reshape(node.out.shape))
    if taken is None:
        return None
    silent = replace(conv, name=f"{feedback.name}.unbiased", bias=np.zeros(len(conv.bias)))
    return {
        node.name: taken,
        silent.name: silent,
        feedback.name: replace(feedback, of=_of(silent, feedback, graph)),
    } | (_reshaped(silent, feedback, graph))


def with_late_bias(neuron: g.Neuron, bias: g.Floats) -> g.Neuron | None:
    """Neurons to whose input `bias` is added from the second step on; None for those that keep nothing to start from, or look
    back at where they started."""
    way_in = neuron.membrane if neuron.current is None else neuron.current
    late = neuron.firing is not None and neuron.firing.reset == "subtract" and neuron.firing.reset_at != "spike"
    if late or np.any(way_in.keep == 0):
        return None
    added = way_in.gain * bias
    moved = replace(way_in, offset=way_in.offset + added, start=way_in.start - added / way_in.keep)
    return replace(neuron, membrane=moved) if neuron.current is None else replace(neuron, current=moved)


def _biased(node: Node, graph: Graph, readers: Readers) -> tuple[g.Feedback, f.Conv] | None:
    """A feedback by one step of a biased convolution, that only one node reads; and that convolution."""
    if not isinstance(node, g.Feedback) or sole(node.name, readers) is None or np.any(node.steps != 1):
        return None
    conv = graph.nodes[node.of]
    while isinstance(conv, f.Reshape):
        conv = graph.nodes[conv.inputs[0]]
    return (node, conv) if isinstance(conv, f.Conv) and np.any(conv.bias) else None


def _of(silent: f.Conv, feedback: g.Feedback, graph: Graph) -> str:
    return f"{silent.name}.shaped" if isinstance(graph.nodes[feedback.of], f.Reshape) else silent.name


def _reshaped(silent: f.Conv, feedback: g.Feedback, graph: Graph) -> Nodes:
    """The silent layer in the shape that the feedback knows."""
    shaped = graph.nodes[feedback.of]
    if not isinstance(shaped, f.Reshape):
        return {}
    name = f"{silent.name}.shaped"
    return {name: replace(shaped, name=name, inputs=(silent.name,))}
