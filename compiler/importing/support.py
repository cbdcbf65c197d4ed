"""What Pumice makes of each node of a NIR graph: in float, on the chip, mended how, or why not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import nir
import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nested import FlatGraph, flatten
from pumice.compiler.importing.readings import Reading
from pumice.compiler.ir import Change, Graph, Node
from pumice.compiler.passes.lowering.lower_general import problem_of
from pumice.compiler.passes.lowering.neurons import is_lif, lif_of
from pumice.compiler.passes.lowering.time_constants import check_time_constants
from pumice.compiler.quantization import neuron_integers
from pumice.compiler.rehearsal import refusal
from pumice.errors import DoesNotFit, PumiceError, VerifyError
from pumice.hwsim.spec import ChipSpec

LOWERED = {
    "Input": "graded input",
    "Conv": "synapses",
    "GeneralConv": "synapses",
    "LinearMap": "synapses",
    "Scale": "synapses",
    "BatchNorm": "folded away",
    "MultiSpike": "level neurons",
    "MaxPool": "OR neurons, or maxima of currents",
    "Add": "sum neurons, or currents that add up",
    "Pool": "synapses, or neurons that count",
    "Delay": "delayed axons",
    "Reshape": "nothing: same spikes",
    "Attention": "two spike products",
    "Coincidences": "a spike product",
    "SpikeGate": "AND neurons",
    "TokenGate": "routing point",
    "TokenMean": "folded into read-out, or token sums",
    "Linear": "synapses",
    "TimeMean": "read-out",
}
LIF, PROGRAMMABLE, SENDERS = "LIF neurons", "programmable neurons", "neurons that send their membrane"
DEPTH = 3  # timesteps that the network before a node can take, for each of its nodes, at most
UNSUPPORTED = "unsupported: "


@dataclass(frozen=True)
class NodeSupport:
    """floats: the float IR nodes it becomes. lowered: what each of them becomes on the chip, or "unsupported: " and why the
    compiler refuses it. notes: what was mended, and what of the file the reading passes over. problem: why it cannot be read at
    all, "" if it can."""

    name: str
    type: str
    floats: tuple[str, ...]
    lowered: tuple[str, ...]
    notes: tuple[str, ...]
    problem: str

    @property
    def supported(self) -> bool:
        """Whether nothing is known against this node."""
        return not self.problem and not any(what.startswith(UNSUPPORTED) for what in self.lowered)


@dataclass(frozen=True, eq=False)
class Support:
    """graph: the float graph, with `general_nodes.Unknown` for nodes that cannot be read; None where the file as a whole has a
    problem. nodes: by name, all of them, inner ones dotted. problem: the first there is, "" where all of it can be read. refused:
    why the compiler refuses what can be read, "" where it does not. log: the import's report, line by line."""

    graph: Graph | None
    nodes: dict[str, NodeSupport]
    problem: str
    refused: str
    log: tuple[str, ...]


def support(network: nir.NIRGraph, reading: Reading | None, chip: ChipSpec, repairs: Sequence[Change] = ()) -> Support:
    """The report, node by node. A node that cannot be read does not stop it, where there is a reading."""
    flat = flatten(network)
    problems: dict[str, str] = {}
    graph, problem = None, ""
    collect = (lambda name, error: problems.update({name: told(error)})) if reading else None
    try:
        graph = import_nir(network, reading, repairs, collect)
    except PumiceError as error:
        problem = told(error)
    problem = problem or next(iter(problems.values()), "")
    refused = None if graph is None or problem else refusal(graph, chip)
    log = graph.log if graph else tuple(repairs)
    found = nodes_refused(refused, list(flat.nodes)) if refused else {}
    nodes = {name: _node(name, flat, graph, chip, problems, found, log) for name in flat.nodes}
    return Support(graph, nodes, problem, told(refused) if refused else "", tuple(c.text for c in log))


def _node(
    name: str,
    flat: FlatGraph,
    graph: Graph | None,
    chip: ChipSpec,
    problems: Mapping[str, str],
    refused: Mapping[str, str],
    log: Sequence[Change],
) -> NodeSupport:
    entry = flat.entries[name]
    kind = f"pumice:{entry.op}" if entry and entry.op else type(flat.nodes[name]).__name__
    made = [n for n in graph.nodes.values() if n.source == name] if graph else []
    found = [n for n in made if not isinstance(n, g.Unknown)]
    lowered = tuple(lowering(n, graph, chip) for n in found) if graph else ()
    if name in refused and not any(what.startswith(UNSUPPORTED) for what in lowered):
        lowered = (f"{UNSUPPORTED}{refused[name]}",)
    notes = tuple(c.text.removeprefix(f"{name}: ") for c in log if c.node == name and "repaired" in c.data)
    return NodeSupport(name, kind, tuple(type(n).__name__ for n in found), lowered, notes, problems.get(name, ""))


def nodes_refused(error: PumiceError, names: Sequence[str]) -> dict[str, str]:
    """The nodes of the file that an error of the compiler names, and what it says of each."""
    if not isinstance(error, VerifyError | DoesNotFit):
        named = max((name for name in names if f"node {name!r}" in str(error)), key=len, default=None)
        return {} if named is None else {named: told(error).removeprefix(f"node {named!r}: ")}
    said: dict[str, str] = {}
    listed = map(str, error.violations) if isinstance(error, DoesNotFit) else str(error).partition(": ")[2].split("; ")
    for text in listed:
        for name in names:
            if f"(from {name!r})" in text or text.startswith((f"{name} ", f"{name}:")):
                said[name] = f"{said[name]}; {text}" if name in said else text
    return said


def told(error: PumiceError) -> str:
    """An error in one line, with what to do about it."""
    return f"{error}{f' — {error.hint}' if error.hint else ''}"


def lowering(node: Node, graph: Graph, chip: ChipSpec) -> str:
    """What a float node becomes on the chip, as far as the node itself says."""
    if problem := _problem(node, graph, chip):
        return f"{UNSUPPORTED}{problem}"
    match node:
        case g.Feedback():
            return f"{_steps(node)} around a cycle"
        case f.Lif() | g.Neuron() | g.Threshold():
            return neuron_kind(node)
        case _:
            return LOWERED[type(node).__name__]


def _steps(node: g.Feedback) -> str:
    """How long a feedback takes, in words."""
    some = sorted({int(steps) for steps in node.steps.flat} or {1})
    return "one step" if some == [1] else f"{' to '.join(str(n) for n in dict.fromkeys((some[0], some[-1])))} steps"


def neuron_kind(node: f.Lif | g.Neuron | g.Threshold) -> str:
    """Which of the chip's neurons a float node becomes."""
    if isinstance(node, g.Neuron) and node.firing is None:
        return SENDERS
    return PROGRAMMABLE if isinstance(node, g.Threshold) or (isinstance(node, g.Neuron) and not is_lif(node)) else LIF


def _problem(node: Node, graph: Graph, chip: ChipSpec) -> str:
    """Why a node cannot be compiled, whatever stands around it; "" where nothing is known against it."""
    if problem := problem_of(node):
        return problem
    try:
        check_time_constants(Graph({node.name: node}, node.name, "imported", 1, "frames"))
    except PumiceError as error:
        return told(error).removeprefix(f"node {node.source!r}: ")
    if isinstance(node, g.Delay | g.Feedback):
        most = int(node.steps.max(initial=0))
        return f"delay {most}/{chip.max_delay} steps" if most > chip.max_delay + DEPTH * len(graph.nodes) else ""
    if isinstance(node, f.Lif | g.Neuron | g.Threshold) and chip.graded_bits == 0 and not _is_fixed(node, chip):
        return f"needs {PROGRAMMABLE}, which {chip.name} does not have"
    return ""


def _is_fixed(node: f.Lif | g.Neuron | g.Threshold, chip: ChipSpec) -> bool:
    """Whether neurons are those of a chip that has no others: v > threshold, then v = 0."""
    if neuron_kind(node) != LIF:
        return False
    lif = lif_of(node) if isinstance(node, g.Neuron) else node
    assert isinstance(lif, f.Lif)
    made = neuron_integers(lif, np.zeros(1), 1 / lif.limit, chip)
    return made is not None and made.params(1).stock
