"""What a `.nir` file holds, for someone who did not make it: nodes, neurons, token gates, and what Pumice makes of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import networkx as nx
import nir
import numpy as np

from pumice.compiler.dialect import Extension
from pumice.compiler.importing.cycles import wiring
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nested import FlatGraph, flatten
from pumice.compiler.importing.nir_file import NirFile, read_nir_file
from pumice.compiler.importing.readings import NIR, Reading
from pumice.compiler.importing.support import Support, lowering, support, told
from pumice.compiler.ir import Graph
from pumice.errors import PumiceError
from pumice.hwsim.scoring import tokens_kept
from pumice.hwsim.spec import ChipSpec, load_chip


@dataclass(frozen=True)
class NirNode:
    """name: dotted within nested graphs. type: NIR's, or `pumice:` and the dialect operation. shape: without time and batch,
    () if unknown. imported: the float IR nodes it becomes; lowered: what these become on the chip; both empty where it cannot be
    imported. notes: what was mended in it, or passed over. problem: why it cannot be imported, "" if it can."""

    name: str
    type: str
    inputs: tuple[str, ...]
    shape: tuple[int, ...]
    parameters: int
    imported: tuple[str, ...]
    lowered: tuple[str, ...]
    notes: tuple[str, ...] = ()
    problem: str = ""


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
    """problem: why Pumice cannot import the file, "" if it can. facts: what the exporter wrote about the model. chip: the heading
    of what the nodes become. log: what was assumed about the file as a whole."""

    path: str
    bytes: int
    edges: int
    parameters: int
    facts: dict[str, Any]
    problem: str
    nodes: tuple[NirNode, ...]
    lif: tuple[LifLayer, ...]
    gates: tuple[Gate, ...]
    chip: str = "on the chip"
    log: tuple[str, ...] = ()


def inspect_nir(path: Path, reading: Reading | None = None, chip: ChipSpec | None = None) -> NirContents:
    """The contents of a `.nir` file, and what each node becomes on `chip` (loihi2 without one) by `reading`. Without a reading
    the verdict is the compiler's, which guesses nothing; where it refuses, the nodes are still told of, read by NIR's equations.

    Raises InputError where the file cannot be read, UnsupportedNode for a foreign dialect."""
    file, chip = read_nir_file(path), chip or load_chip("loihi2")
    flat = flatten(file.graph)
    imported, problem = (None, "") if reading else _imported(file)
    report = None if imported else support(file.graph, reading or NIR, chip, file.repairs)
    graph = imported or (report.graph if report else None)
    nodes = tuple(_node(name, flat, graph, report, chip) for name in _dataflow_order(flat))
    lif = tuple(_lif(n.name, flat.nodes[n.name], flat.entries[n.name]) for n in nodes if n.type == "LIF")
    gates = [_gate(n.name, e) for n in nodes if (e := flat.entries[n.name]) is not None and "retention" in e.attributes]
    facts = next((e.attributes for n in flat.named(nir.Input) if (e := flat.entries[n])), {})
    return NirContents(
        path=str(path),
        bytes=path.stat().st_size,
        edges=len(file.graph.edges),
        parameters=sum(node.parameters for node in nodes),
        facts=facts,
        problem=problem or (report.problem if report else ""),
        nodes=nodes,
        lif=lif,
        gates=tuple(gates),
        chip=f"on {chip.name}",
        log=_general_log(report, nodes),
    )


def _imported(file: NirFile) -> tuple[Graph | None, str]:
    try:
        return import_nir(file.graph, None, file.repairs), ""
    except PumiceError as error:
        return None, told(error)


def _general_log(report: Support | None, nodes: tuple[NirNode, ...]) -> tuple[str, ...]:
    """The lines of the import's log that stand at no node."""
    if report is None:
        return ()
    at_nodes = {note for node in nodes for note in node.notes}
    return tuple(line for line in report.log[1:] if not any(line.endswith(note) for note in at_nodes))


def _dataflow_order(flat: FlatGraph) -> list[str]:
    """Inputs first; by name among nodes that are ready together, and throughout where the graph has a cycle."""
    graph = wiring(dict(sorted(flat.sources.items())))
    if not nx.is_directed_acyclic_graph(graph):
        return sorted(flat.nodes)
    return list(nx.lexicographical_topological_sort(graph))


def _node(name: str, flat: FlatGraph, graph: Graph | None, report: Support | None, chip: ChipSpec) -> NirNode:
    node, entry = flat.nodes[name], flat.entries[name]
    made = [n for n in graph.nodes.values() if n.source == name] if graph else []
    shape = made[-1].out.shape if made else _declared_shape(node)
    inputs = entry.operands if entry and entry.operands else flat.sources[name]
    kind = f"pumice:{entry.op}" if entry and entry.op else type(node).__name__
    said = report.nodes[name] if report else None
    kinds = said.floats if said else tuple(type(n).__name__ for n in made)
    lowered = said.lowered if said else tuple(lowering(n, graph, chip) for n in made if graph)
    notes, problem = (said.notes, said.problem) if said else ((), "")
    return NirNode(name, kind, tuple(inputs), shape, _parameters(node, entry), kinds, lowered, notes, problem)


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
