"""What Pumice makes of each node of a NIR graph: in float, on the chip, mended how, or why not at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import nir

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nested import flatten
from pumice.compiler.importing.readings import Reading
from pumice.compiler.ir import Change, Graph, Node
from pumice.compiler.passes.lowering.lower_general import problem_of
from pumice.errors import PumiceError, UnsupportedNode
from pumice.hwsim.spec import ChipSpec

NOT_YET = "not lowered yet"
LOWERED = {
    "Input": "graded input",
    "Conv": "synapses",
    "BatchNorm": "folded away",
    "Lif": "LIF neurons",
    "MultiSpike": "level neurons",
    "MaxPool": "OR neurons, or maxima of currents",
    "Add": "sum neurons",
    "Pool": "synapses, or neurons that count",
    "Neuron": "LIF neurons",
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
class NodeSupport:
    """floats: the float IR nodes it becomes. lowered: what each of them becomes on the chip. notes: what was mended, and what of
    the file the reading passes over. problem: why it cannot be read at all, "" if it can."""

    name: str
    type: str
    floats: tuple[str, ...]
    lowered: tuple[str, ...]
    notes: tuple[str, ...]
    problem: str


@dataclass(frozen=True, eq=False)
class Support:
    """graph: the float graph, with `general_nodes.Unknown` for nodes that cannot be read; None where the file as a whole has a
    problem. nodes: by name, all of them, inner ones dotted. problem: the first there is, "" where all of it can be read. log: the
    import's report, line by line."""

    graph: Graph | None
    nodes: dict[str, NodeSupport]
    problem: str
    log: tuple[str, ...]


def support(network: nir.NIRGraph, reading: Reading, chip: ChipSpec, repairs: Sequence[Change] = ()) -> Support:
    """The report, node by node. A node that cannot be read does not stop it."""
    flat = flatten(network)
    problems: dict[str, str] = {}
    graph, problem = None, ""
    try:
        graph = import_nir(network, reading, repairs, lambda name, error: problems.update({name: told(error)}))
    except PumiceError as error:
        problem = told(error)
    log = graph.log if graph else tuple(repairs)
    nodes = {}
    for name, node in flat.nodes.items():
        entry = flat.entries[name]
        kind = f"pumice:{entry.op}" if entry and entry.op else type(node).__name__
        made = [n for n in graph.nodes.values() if n.source == name] if graph else []
        found = [n for n in made if not isinstance(n, g.Unknown)]
        floats = tuple(type(n).__name__ for n in found)
        lowered = tuple(lowering(n, graph, chip) for n in found) if graph else ()
        notes = tuple(c.text.removeprefix(f"{name}: ") for c in log if c.node == name and "repaired" in c.data)
        nodes[name] = NodeSupport(name, kind, floats, lowered, notes, problems.get(name, ""))
    first = next(iter(problems.values()), "")
    return Support(graph, nodes, problem or first, tuple(c.text for c in log))


def told(error: PumiceError) -> str:
    """An error in one line, with what to do about it."""
    return f"{error}{f' — {error.hint}' if error.hint else ''}"


def lowering(node: Node, graph: Graph, chip: ChipSpec) -> str:
    """What a float node becomes on the chip."""
    if isinstance(node, g.Delay | g.Feedback):
        most = int(node.steps.max(initial=0))
        return f"unsupported: delay {most}/{chip.max_delay} steps" if most > chip.max_delay else NOT_YET
    problem = problem_of(node)
    if problem:
        return NOT_YET if "not lowered" in problem else f"unsupported: {problem}"
    return LOWERED.get(type(node).__name__, NOT_YET)


def check_lowered(graph: Graph) -> None:
    """Raises UnsupportedNode for a graph that is not one network of one input and one output."""
    inputs = sum(isinstance(node, f.Input) for node in graph.nodes.values())
    if inputs != 1 or len(graph.outputs) != 1:
        raise UnsupportedNode(
            f"{inputs} inputs and {len(graph.outputs)} outputs", "Pumice compiles graphs with one input and one output"
        )
