"""What an imported network must satisfy beyond each node's own arrays: shapes that meet, gates that mean something."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import networkx as nx
import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler.importing.cycles import wiring
from pumice.compiler.importing.nested import FlatGraph
from pumice.compiler.ir import Change, Graph, Node, Shape
from pumice.errors import InputError, UnsupportedNode


def check_flow(flat: FlatGraph) -> None:
    """Raises UnsupportedNode for a node that no input reaches, or that leads to no output."""
    inputs, outputs = flat.named(nir.Input), flat.named(nir.Output)
    fed = next((n for n in flat.named(nir.Input) if flat.sources[n]), "")
    if fed:
        raise UnsupportedNode(f"input {fed!r} is fed by {flat.sources[fed][0]!r}", "inputs come from outside")
    for name in flat.nodes:
        if not flat.sources[name] and name not in inputs:
            raise UnsupportedNode(f"node {name!r} has no input", "connect it or remove it")
    graph = wiring(flat.sources)
    reached = set(inputs).union(*(nx.descendants(graph, name) for name in inputs))
    useful = set(outputs).union(*(nx.ancestors(graph, name) for name in outputs))
    for name in flat.nodes:
        if name not in reached:
            raise UnsupportedNode(f"node {name!r} is reached from no input", "connect it or remove it")
        if name not in useful:
            raise UnsupportedNode(f"node {name!r} leads to no output", "connect it or remove it")


def check_outputs(flat: FlatGraph, nodes: Mapping[str, Node], outputs: Sequence[tuple[str, str]]) -> list[Change]:
    """What the outputs' declared shapes get wrong."""
    changes = []
    for name, source in outputs:
        declared = next(iter(flat.nodes[name].output_type.values()), None)
        shape = nodes[source].out.shape
        if declared is not None and tuple(int(n) for n in np.ravel(declared)) != shape:
            text = f"{name}: repaired: declared {np.ravel(declared).tolist()}, {source!r} gives {shape}"
            changes.append(Change("import-nir", source, text, {"repaired": True}))
    return changes


def check_shapes(nodes: Mapping[str, Node]) -> None:
    """Raises InputError where inputs of a join differ in shape, heads do not divide channels, or a BatchNorm's arrays are
    not one number per channel."""
    for node in nodes.values():
        shapes = [nodes[name].out.shape for name in node.inputs]
        match node:
            case f.Attention():
                _check_attention(node, shapes)
            case f.SpikeGate():
                _check_spike_gate(node, shapes)
            case f.BatchNorm():
                _check_batchnorm(node, node.out.shape[0])
            case _ if len(set(shapes)) > 1:
                raise InputError(
                    f"node {node.source!r}: joins {' and '.join(map(str, sorted(set(shapes))))}",
                    "the shapes must be equal",
                )


def _check_attention(node: f.Attention, shapes: list[Shape]) -> None:
    if len(shapes) != 3 or shapes[0] != shapes[1] or shapes[2][1:] != shapes[0][1:]:
        raise InputError(f"node {node.source!r}: attention over {shapes}", "q and k [C, N], v [E, N]")
    for channels in (shapes[0][0], shapes[2][0]):
        if node.heads < 1 or channels % node.heads:
            raise InputError(
                f"node {node.source!r}: {node.heads} heads for {channels} channels", "heads must divide channels"
            )


def _check_spike_gate(node: f.SpikeGate, shapes: list[Shape]) -> None:
    fits = len(shapes) == 2 and all(len(shape) == 2 for shape in shapes)
    if not fits or shapes[1][0] % shapes[0][0] or shapes[0][1] not in (1, shapes[1][1]):
        raise InputError(
            f"node {node.source!r}: gate and tokens of {shapes}", "gate [G, 1 or N], tokens [C, N], G divides C"
        )


def _check_batchnorm(node: f.BatchNorm, channels: int) -> None:
    for name in ("gamma", "beta", "mean", "var"):
        shape = getattr(node, name).shape
        if shape != (channels,):
            raise InputError(
                f"node {node.source!r}: {name} has shape {shape} for {channels} channels", "one number per channel"
            )


def check_gates(nodes: Mapping[str, Node]) -> None:
    """Raises InputError where a token gate names a gate or neuron that is not there, or says what cannot be."""
    gates = {n.name: n for n in nodes.values() if isinstance(n, f.TokenGate)}
    for gate in gates.values():
        if gate.mask_of:
            if gate.mask_of not in gates or gates[gate.mask_of].mask_of:
                raise InputError(
                    f"node {gate.source!r}: takes the mask of {gate.mask_of!r}, which is no scoring gate", ""
                )
        else:
            _check_scoring_gate(gate, nodes)


def _check_scoring_gate(gate: f.TokenGate, nodes: Mapping[str, Node]) -> None:
    tokens = gate.out.shape[1]
    strangers = [name for name in gate.neurons if not isinstance(nodes.get(name), f.Lif | f.MultiSpike | f.Add)]
    problems = {
        f"gates {strangers[:1]}, which is neither neuron nor sum": bool(strangers),
        f"state {gate.state!r} is neither hold nor decay": gate.state not in ("hold", "decay"),
        f"a grid of {gate.grid} for {tokens} tokens": gate.grid[0] * gate.grid[1] != tokens,
        f"retention {gate.retention} is not in (0, 1]": not 0 < gate.retention <= 1,
    }
    for problem, real in problems.items():
        if real:
            raise InputError(f"node {gate.source!r}: {problem}", "export the model again")


def check_lowered(graph: Graph) -> None:
    """Raises UnsupportedNode for a graph that is not one network of one input."""
    inputs = sum(isinstance(node, f.Input) for node in graph.nodes.values())
    if inputs != 1:
        raise UnsupportedNode(
            f"{inputs} inputs", "Pumice compiles graphs with one input; the float backend runs several"
        )
