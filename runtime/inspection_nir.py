"""What a `.nir` file holds, for someone who did not make it: nodes, neurons, token gates, and what Pumice makes of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import networkx as nx
import nir
import numpy as np

from pumice.compiler.dialect import Extension
from pumice.compiler.importing.cycles import wiring
from pumice.compiler.importing.nested import FlatGraph, flatten
from pumice.compiler.importing.nir_file import read_nir_file
from pumice.compiler.importing.readings import NIR, Reading
from pumice.compiler.importing.support import Support, support
from pumice.compiler.rehearsal import unknown_before_calibration
from pumice.hwsim.scoring import tokens_kept
from pumice.hwsim.spec import ChipSpec, load_chip


@dataclass(frozen=True)
class NirNode:
    """name: dotted within nested graphs. type: NIR's, or `pumice:` and the dialect operation. shape: without time and batch,
    () if unknown. imported: the float IR nodes it becomes; lowered: what these become on the chip, or "unsupported: " and why;
    both empty where it cannot be imported. notes: what was mended in it, or passed over. problem: why it cannot be imported, ""
    if it can."""

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
    of what the nodes become. log: what was assumed about the file as a whole. refused: why what can be imported cannot be
    compiled for the chip, "" where nothing is known against it. later: what can be known only with calibration data."""

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
    refused: str = ""
    later: tuple[str, ...] = ()


def inspect_nir(path: Path, reading: Reading | None = None, chip: ChipSpec | None = None) -> NirContents:
    """The contents of a `.nir` file, and what each node becomes on `chip` (loihi2 without one) by `reading`. Without a reading
    the verdict is the compiler's, which guesses nothing; where it refuses, the nodes are still told of, read by NIR's equations.

    Raises InputError where the file cannot be read, UnsupportedNode for a foreign dialect."""
    file, chip = read_nir_file(path), chip or load_chip("loihi2")
    flat = flatten(file.graph)
    report = support(file.graph, reading, chip, file.repairs)
    if reading is None and report.problem:
        told_anyway = support(file.graph, NIR, chip, file.repairs)
        report = replace(told_anyway, problem=report.problem, refused="")
    nodes = tuple(_node(name, flat, report) for name in _dataflow_order(flat))
    lif = tuple(_lif(n.name, flat.nodes[n.name], flat.entries[n.name]) for n in nodes if n.type == "LIF")
    gates = [_gate(n.name, e) for n in nodes if (e := flat.entries[n.name]) is not None and "retention" in e.attributes]
    facts = next((e.attributes for n in flat.named(nir.Input) if (e := flat.entries[n])), {})
    return NirContents(
        path=str(path),
        bytes=path.stat().st_size,
        edges=len(file.graph.edges),
        parameters=sum(node.parameters for node in nodes),
        facts=facts,
        problem=report.problem,
        nodes=nodes,
        lif=lif,
        gates=tuple(gates),
        chip=f"on {chip.name}",
        log=_general_log(report, nodes),
        refused=report.refused,
        later=() if report.problem or report.refused else unknown_before_calibration(chip),
    )


def _general_log(report: Support, nodes: tuple[NirNode, ...]) -> tuple[str, ...]:
    """The lines of the import's log that stand at no node."""
    at_nodes = {note for node in nodes for note in node.notes}
    return tuple(line for line in report.log[1:] if not any(line.endswith(note) for note in at_nodes))


def _dataflow_order(flat: FlatGraph) -> list[str]:
    """Inputs first; by name among nodes that are ready together, and throughout where the graph has a cycle."""
    graph = wiring(dict(sorted(flat.sources.items())))
    if not nx.is_directed_acyclic_graph(graph):
        return sorted(flat.nodes)
    return list(nx.lexicographical_topological_sort(graph))


def _node(name: str, flat: FlatGraph, report: Support) -> NirNode:
    node, entry, said = flat.nodes[name], flat.entries[name], report.nodes[name]
    made = [n for n in report.graph.nodes.values() if n.source == name] if report.graph else []
    shape = made[-1].out.shape if made else _declared_shape(node)
    inputs = entry.operands if entry and entry.operands else flat.sources[name]
    size = _parameters(node, entry)
    return NirNode(name, said.type, tuple(inputs), shape, size, said.floats, said.lowered, said.notes, said.problem)


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
