"""What a `.nir` file holds, for someone who did not make it: nodes, neurons, token gates, and what Pumice makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import nir
import numpy as np

from pumice.compiler.dialect import Extension, read_extension
from pumice.compiler.importer import import_nir
from pumice.compiler.ir import Graph
from pumice.compiler.nir_file import read_nir
from pumice.errors import PumiceError
from pumice.hwsim.scoring import tokens_kept

LOWERED = {
    "Input": "graded input",
    "Conv": "synapses",
    "BatchNorm": "folded away",
    "Lif": "LIF neurons",
    "MultiSpike": "level neurons",
    "MaxPool": "OR neurons, or maxima of currents",
    "Add": "sum neurons",
    "Reshape": "nothing: same spikes",
    "Attention": "two spike products",
    "Coincidences": "a spike product",
    "SpikeGate": "AND neurons",
    "TokenGate": "routing point",
    "TokenMean": "folded into read-out, or token sums",
    "Linear": "synapses",
    "TimeMean": "read-out",
}


@dataclass(frozen=True)
class NirNode:
    """type: NIR's, or `pumice:` and the dialect operation. shape: without time and batch, () if unknown. imported: the float
    IR nodes it becomes; lowered: what these become on the chip; both empty where the file cannot be imported."""

    name: str
    type: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    imported: tuple[str, ...]
    lowered: tuple[str, ...]


@dataclass(frozen=True)
class LifLayer:
    """tau_steps in timesteps, None where the file gives no dt; threshold None where it differs between neurons."""

    name: str
    neurons: int
    tau_steps: float | None
    threshold: float | None
    comparator: str
    reset: str


@dataclass(frozen=True)
class Gate:
    """A block's scoring gate. kept: tokens routed per step, None where the criterion is not valid."""

    name: str
    block: int
    grid: tuple[int, int]
    retention: float
    kept: int | None
    criterion: dict[str, Any]
    state: str
    neurons: tuple[str, ...]


@dataclass(frozen=True)
class NirContents:
    """problem: why Pumice cannot import the file, "" if it can. facts: what the exporter wrote about the model."""

    path: str
    bytes: int
    edges: int
    parameters: int
    facts: dict[str, Any]
    problem: str
    nodes: tuple[NirNode, ...]
    lif: tuple[LifLayer, ...]
    gates: tuple[Gate, ...]


def inspect_nir(path: Path) -> NirContents:
    """The contents of a `.nir` file. Raises InputError where it cannot be read, UnsupportedNode for a foreign dialect."""
    graph = read_nir(path)
    entries = {name: read_extension(node, name) for name, node in graph.nodes.items()}
    imported, problem = _imported(graph)
    order = _dataflow_order(graph)
    nodes = tuple(_node(name, graph, entries[name], imported) for name in order)
    lif = tuple(
        _lif(name, graph.nodes[name], entries[name]) for name in order if isinstance(graph.nodes[name], nir.LIF)
    )
    gates = [
        _gate(name, entry) for name in order if (entry := entries[name]) is not None and "retention" in entry.attributes
    ]
    facts = next((e.attributes for n, e in entries.items() if e and isinstance(graph.nodes[n], nir.Input)), {})
    size = path.stat().st_size
    total = sum(node.parameters for node in nodes)
    return NirContents(str(path), size, len(graph.edges), total, facts, problem, nodes, lif, tuple(gates))


def _imported(graph: nir.NIRGraph) -> tuple[Graph | None, str]:
    try:
        return import_nir(graph), ""
    except PumiceError as error:
        return None, f"{error}{f' — {error.hint}' if error.hint else ''}"


def _dataflow_order(graph: nir.NIRGraph) -> list[str]:
    """Inputs first; by name among nodes that are ready together, and throughout where the graph has a cycle."""
    wiring = nx.DiGraph()
    wiring.add_nodes_from(sorted(graph.nodes))
    wiring.add_edges_from((a, b) for a, b in graph.edges if a in graph.nodes and b in graph.nodes)
    if not nx.is_directed_acyclic_graph(wiring):
        return sorted(graph.nodes)
    return list(nx.lexicographical_topological_sort(wiring))


def _node(name: str, graph: nir.NIRGraph, entry: Extension | None, imported: Graph | None) -> NirNode:
    node = graph.nodes[name]
    made = [n for n in imported.nodes.values() if n.source == name] if imported else []
    kinds = tuple(type(n).__name__ for n in made)
    shape = made[-1].out.shape if made else _declared_shape(node)
    inputs = entry.operands if entry and entry.operands else sorted(a for a, b in graph.edges if b == name)
    kind = f"pumice:{entry.op}" if entry and entry.op else type(node).__name__
    lowered = tuple(LOWERED.get(k, k) for k in kinds)
    return NirNode(name, kind, tuple(inputs), shape, _parameters(node, entry), kinds, lowered)


def _declared_shape(node: Any) -> tuple[int, ...]:
    """The output shape that NIR itself knows, () where it knows none."""
    declared = next(iter((getattr(node, "output_type", None) or {}).values()), None)
    return () if declared is None else tuple(int(n) for n in np.ravel(declared) if n is not None)


def _parameters(node: Any, entry: Extension | None) -> int:
    """Trained numbers: weights, biases, and the arrays of a dialect operation."""
    own = [getattr(node, field, None) for field in ("weight", "bias")]
    arrays = [a for a in own if a is not None] + (list(entry.arrays.values()) if entry and entry.op else [])
    return int(sum(np.size(a) for a in arrays))


def _lif(name: str, node: Any, entry: Extension | None) -> LifLayer:
    said = entry.attributes if entry else {}
    tau, threshold = _uniform(node.tau), _uniform(node.v_threshold)
    dt = said.get("dt")
    steps = round(tau / float(dt), 9) if tau is not None and dt else None
    unknown = "not said"
    return LifLayer(
        name, np.size(node.v_threshold), steps, threshold, said.get("comparator", unknown), said.get("reset", unknown)
    )


def _uniform(values: Any) -> float | None:
    distinct = np.unique(np.asarray(values, np.float64))
    return float(distinct[0]) if distinct.size == 1 else None


def _gate(name: str, entry: Extension) -> Gate:
    a = entry.attributes
    grid = (int(a.get("height", 0)), int(a.get("width", 0)))
    criterion = dict(a.get("criterion") or {})
    try:
        kept = tokens_kept(float(a["retention"]), *grid, criterion.get("rule", "irtop-paper"))
    except ValueError:
        kept = None
    neurons = tuple(a.get("neurons", ()))
    return Gate(
        name, int(a.get("block", 0)), grid, float(a["retention"]), kept, criterion, str(a.get("state", "")), neurons
    )
