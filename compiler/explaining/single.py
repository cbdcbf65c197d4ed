"""What must be quantized so that one node can be explained: its layer, and what tells it the units of what it reads.

Neurons that fire send spikes or levels, whatever their own integers are, so that the way to a node ends at them. In their place
stands a source of the same payloads.
"""

from __future__ import annotations

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType, of_feedback
from pumice.compiler.quantizers.context import positioned

PARTS = (f.Conv, f.Linear, f.Attention, f.Coincidences, f.TokenMean)  # made together with what reads them


def needed_for(name: str, folded: Graph) -> tuple[frozenset[str] | None, tuple[Node, ...]]:
    """The nodes to quantize, None for all of them, and stand-ins for what they read; see `passes.quantize`. All where nothing in
    the float network has that name: then only the whole program says where it leads."""
    asked = {node.name for node in folded.nodes.values() if name in (node.name, node.source)}
    told = (c for c in folded.log if name in (c.data.get("batchnorm"), c.data.get("first")))
    asked |= {c.node for c in told if c.node in folded.nodes}
    if not asked or folded.output in asked:  # counters that come after it have the same source
        return None, ()
    wanted = {reader for found in asked for reader in _until_neurons(found, folded)}
    stand_ins: dict[str, Node] = {}
    waiting = list(wanted)
    while waiting:
        node = folded.nodes[waiting.pop()]
        for source in (*node.inputs, of_feedback(node)):
            if not source or source in wanted or source in stand_ins:
                continue
            if stand_in := _stand_in(folded.nodes[source]):
                stand_ins[source] = stand_in
                continue
            wanted.add(source)
            waiting.append(source)
    return frozenset(wanted), tuple(stand_ins.values())


def _until_neurons(name: str, folded: Graph) -> set[str]:
    """A node and what it is made together with."""
    readers, found, waiting = folded.consumers(), set[str](), [name]
    while waiting:
        node = folded.nodes[waiting.pop()]
        found.add(node.name)
        currents = isinstance(node, f.Add) and all(isinstance(folded.nodes[part], f.Conv) for part in node.inputs)
        if isinstance(node, PARTS) or currents:
            waiting += [reader.name for reader in readers[node.name] if reader.name not in found]
    return found


def _stand_in(node: Node) -> Node | None:
    """A source of what neurons send; None of what is not known to be spikes or levels."""
    shape = positioned(node.out.shape)
    match node:
        case f.Lif():
            return i.GradedInput(node.name, (), TensorType(shape, "spike", 0, 1), node.source, 1.0)
        case f.MultiSpike():
            out = TensorType(shape, "graded", 0, node.levels)
            return i.GradedInput(node.name, (), out, node.source, float(node.norm))
        case g.Neuron() if node.firing is not None and node.firing.spikes == "one":
            return i.GradedInput(node.name, (), TensorType(shape, "spike", 0, 1), node.source, 1.0)
        case _:
            return None
