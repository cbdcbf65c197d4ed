"""The names by which a node can be asked for: its own, and those of the user's nodes that became part of it."""

from __future__ import annotations

from collections.abc import Sequence

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.pipeline import Quantized
from pumice.errors import InputError

PRODUCTS = (i.Synapse, i.IntAttention, i.SpikeMatmul)
NEAR = 6  # names that an error offers


def named(name: str, nodes: Sequence[Node], network: Quantized) -> Node:
    """The one of `nodes` that a name leads to. Raises InputError where there is none."""
    by_name = {node.name: node for node in nodes}
    if name in by_name:
        return by_name[name]
    for node in nodes:
        if name in covers(node, network.folded, network.graph):
            return node
    near = [other for other in by_name if name in other] or list(by_name)
    more = ", …" if len(near) > NEAR else ""
    raise InputError(f"no node {name!r} among the compiled ones", f"there are {', '.join(near[:NEAR])}{more}")


def covers(node: Node, folded: Graph, integers: Graph) -> tuple[str, ...]:
    """The names that lead to an integer node: its own, those of the user's nodes that became it or what feeds it, and those of
    the BatchNorms, token means and first factors that became part of these."""
    parts = [node, *feeding(node, integers)]
    made = [part.name for part in parts if part is node or part.name in folded.nodes]
    names = dict.fromkeys([*made, *(part.source for part in parts)])
    here = [c.data for c in folded.log if c.node in names]
    merged = [data["first"] for data in here if data.get("merged")]
    norms = [data["batchnorm"] for data in here if "batchnorm" in data]
    means = [
        n for part in parts if isinstance(folded.nodes.get(part.name), f.Linear) for n in folded.nodes[part.name].inputs
    ]
    return (*names, *merged, *norms, *(n for n in means if n not in integers.nodes))


def feeding(node: Node, integers: Graph) -> list[Node]:
    """The synapses and products that are made together with neurons."""
    if isinstance(node, i.Currents):  # asked for by its own name alone: its synapses lead to the neurons
        return []
    feeds = [integers.nodes[name] for name in node.inputs[:1]]
    feeds += [integers.nodes[name] for feed in feeds if isinstance(feed, i.Currents) for name in feed.inputs]
    return [feed for feed in feeds if isinstance(feed, PRODUCTS)]
