"""From a NIR graph to the float IR. What NIR leaves open must be said by the Pumice dialect; nothing is guessed."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import nir

from pumice.compiler import float_nodes as f
from pumice.compiler.dialect import read_extension
from pumice.compiler.import_checks import check_gates, check_shapes
from pumice.compiler.import_extensions import import_extension
from pumice.compiler.import_nodes import Site, import_standard, is_identity
from pumice.compiler.ir import Change, Graph, Node, TensorType, in_topological_order
from pumice.errors import InputError, UnsupportedNode


def import_nir(graph: nir.NIRGraph) -> Graph:
    """The float graph of `graph`, at stage "imported".

    Raises UnsupportedNode naming the first node that has no meaning here, InputError for NaN or misshapen arrays.
    """
    sources = _sources(graph)
    facts = _model_facts(graph)
    nodes: dict[str, Node] = {}
    passed = _operands(graph, sources)
    for name in _order(graph, sources):
        if isinstance(graph.nodes[name], nir.Output) or name in passed:
            continue
        for node in _import_node(graph.nodes[name], name, sources[name], nodes, passed):
            nodes[node.name] = node
    output = _output(graph, sources)
    check_shapes(nodes)
    check_gates(nodes)
    change = Change("import-nir", output, f"read {len(graph.nodes)} NIR nodes", {"nodes": len(graph.nodes)})
    timesteps, encoding = int(facts.get("timesteps", 1)), facts.get("encoding", "frames")
    if timesteps < 1 or encoding not in ("repeat", "frames"):
        raise InputError(
            f"input: timesteps {timesteps}, encoding {encoding!r}", 'need timesteps >= 1 and "repeat" or "frames"'
        )
    return Graph(in_topological_order(nodes), output, "imported", timesteps, encoding, (change,))


def _sources(graph: nir.NIRGraph) -> dict[str, list[str]]:
    sources: dict[str, list[str]] = defaultdict(list)
    for a, b in sorted(graph.edges):
        for name in (a, b):
            if name not in graph.nodes:
                raise InputError(f"edge ({a!r}, {b!r}) names {name!r}, which is not a node", "export the graph again")
        sources[b].append(a)
    return sources


def _model_facts(graph: nir.NIRGraph) -> dict[str, Any]:
    inputs = [(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    if len(inputs) != 1:
        raise UnsupportedNode(f"{len(inputs)} input nodes", "Pumice compiles graphs with one input")
    entry = read_extension(inputs[0][1], inputs[0][0])
    return entry.attributes if entry else {}


def _output(graph: nir.NIRGraph, sources: dict[str, list[str]]) -> str:
    outputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Output)]
    if len(outputs) != 1 or len(sources[outputs[0]]) != 1:
        raise UnsupportedNode(f"{len(outputs)} output nodes", "Pumice compiles graphs with one output, fed by one node")
    return sources[outputs[0]][0]


def _operands(graph: nir.NIRGraph, sources: dict[str, list[str]]) -> dict[str, str]:
    """For each `Operand` node, the node whose value it passes on."""
    passed = {}
    for name, node in graph.nodes.items():
        entry = read_extension(node, name)
        if entry and entry.op == "Operand" and len(sources[name]) == 1:
            passed[name] = sources[name][0]
    return passed


def _order(graph: nir.NIRGraph, sources: dict[str, list[str]]) -> list[str]:
    stubs = {n: Node(n, tuple(sources[n]), TensorType(()), n) for n in sorted(graph.nodes)}
    for name, node in graph.nodes.items():
        if not sources[name] and not isinstance(node, nir.Input):
            raise UnsupportedNode(f"node {name!r} has no input", "connect it or remove it")
    return list(in_topological_order(stubs))


def _import_node(
    node: nir.NIRNode, name: str, sources: list[str], done: dict[str, Node], passed: dict[str, str]
) -> list[Node]:
    entry = read_extension(node, name)
    operands = tuple(entry.operands) if entry and entry.operands else tuple(sources)
    if set(operands) != set(sources):
        raise InputError(
            f"node {name!r}: operands {operands} do not match its edges {tuple(sources)}", "export it again"
        )
    operands = tuple(passed.get(source, source) for source in operands)
    site = Site(name, operands, tuple(done[s].out.shape for s in operands))
    nodes: list[Node] = []
    if len(operands) > 1 and not (entry and entry.operands) and not is_identity(node):
        nodes.append(f.Add(f"{name}.sum", operands, site.out(), name))
        site = Site(name, (f"{name}.sum",), (site.shapes[0],))
    if entry and entry.op:
        return [*nodes, import_extension(entry, site)]
    return [*nodes, import_standard(node, entry, site)]
