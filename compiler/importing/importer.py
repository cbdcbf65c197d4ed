"""From a NIR graph to the float IR. What NIR leaves open is said by the Pumice dialect or by a reading; nothing is guessed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir

from pumice.compiler import float_nodes as f
from pumice.compiler.importing.checks import check_flow, check_gates, check_outputs, check_shapes
from pumice.compiler.importing.making import Failed, make_nodes
from pumice.compiler.importing.nested import FlatGraph, flatten
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.wires import lay_wires
from pumice.compiler.ir import Change, Graph, Node, in_topological_order
from pumice.errors import InputError, UnsupportedNode


def import_nir(
    graph: nir.NIRGraph,
    reading: Reading | None = None,
    repairs: Sequence[Change] = (),
    failed: Failed | None = None,
) -> Graph:
    """The float graph of `graph`, at stage "imported".

    Without a reading, only what the file itself says in full is accepted: the dialect. With one, all of NIR 1.0; what the dialect
    says on a node still comes first. repairs: what reading the file had to mend, for the log. failed(name, error): told of each
    node that cannot be read, whose place a `general_nodes.Unknown` then takes; without it the first such error is raised.

    Raises UnsupportedNode naming the first node that has no meaning here, InputError for NaN or misshapen arrays.
    """
    flat = flatten(graph)
    facts = _model_facts(flat, reading)
    feeds = _feeds(flat, reading)
    passed = _operands(flat)
    check_flow(flat)
    wires = lay_wires(flat, reading)
    nodes, changes = make_nodes(flat, passed, wires, reading, failed)
    nodes, outputs = _with_output_sums(nodes, feeds)
    check_shapes(nodes)
    check_gates(nodes)
    changes += check_outputs(flat, nodes, outputs) if reading else []
    output = outputs[0][1]
    head = Change("import-nir", output, f"read {len(graph.nodes)} NIR nodes", {"nodes": len(graph.nodes)})
    log = (head, *_assumed(reading, output), *repairs, *wires.changes, *changes)
    timesteps, encoding = int(facts.get("timesteps", 1)), facts.get("encoding", "frames")
    if timesteps < 1 or encoding not in ("repeat", "frames"):
        raise InputError(
            f"input: timesteps {timesteps}, encoding {encoding!r}", 'need timesteps >= 1 and "repeat" or "frames"'
        )
    return Graph(in_topological_order(nodes), output, "imported", timesteps, encoding, log, outputs)


def _assumed(reading: Reading | None, output: str) -> list[Change]:
    if reading is None:
        return []
    text = f"where the file does not say it, read as {reading.name}: {reading.sentence()}"
    return [Change("import-nir", output, text, {"reading": reading.as_dict()})]


def _model_facts(flat: FlatGraph, reading: Reading | None) -> dict[str, Any]:
    inputs = flat.named(nir.Input)
    if not inputs or (reading is None and len(inputs) != 1):
        raise UnsupportedNode(f"{len(inputs)} input nodes", "Pumice compiles graphs with one input")
    entry = flat.entries[inputs[0]]
    return entry.attributes if entry else {}


def _feeds(flat: FlatGraph, reading: Reading | None) -> dict[str, tuple[str, ...]]:
    """For each output of the network, the nodes that feed it."""
    feeds = {name: flat.sources[name] for name in flat.named(nir.Output)}
    if reading is None and (len(feeds) != 1 or len(*feeds.values()) != 1):
        raise UnsupportedNode(f"{len(feeds)} output nodes", "Pumice compiles graphs with one output, fed by one node")
    if not feeds or not all(feeds.values()):
        empty = next((name for name, sources in feeds.items() if not sources), "")
        raise UnsupportedNode(f"output {empty!r} has no input" if empty else "0 output nodes", "connect an output")
    return feeds


def _with_output_sums(
    nodes: dict[str, Node], feeds: dict[str, tuple[str, ...]]
) -> tuple[dict[str, Node], tuple[tuple[str, str], ...]]:
    outputs = []
    for name, sources in feeds.items():
        last = sources[0]
        if len(sources) > 1:
            last = f"{name}.sum"
            nodes = nodes | {last: f.Add(last, sources, nodes[sources[0]].out, name)}
        outputs.append((name, last))
    return nodes, tuple(outputs)


def _operands(flat: FlatGraph) -> dict[str, str]:
    """For each `Operand` node, the node whose value it passes on."""
    passed = {}
    for name, entry in flat.entries.items():
        if entry and entry.op == "Operand" and len(flat.sources[name]) == 1:
            passed[name] = flat.sources[name][0]
    return passed
