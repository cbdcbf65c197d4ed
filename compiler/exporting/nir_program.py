"""A compiled program as a NIR graph of integers: standard nodes, with what NIR leaves open said in the Pumice dialect."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.float_exactness import rounding
from pumice.compiler.exporting.neurons import counted_end, neuron_problem, refusal
from pumice.compiler.exporting.nir_biases import synapse_biases
from pumice.compiler.exporting.nir_building import HINT, Building, add, free
from pumice.compiler.exporting.nir_nodes import current_bias, neuron_node
from pumice.compiler.exporting.nir_programs import RESETS, Form, program_form, stream_form
from pumice.compiler.exporting.pools import sum_pool
from pumice.compiler.exporting.undelayed import undelayed
from pumice.compiler.ir import Graph, Node
from pumice.compiler.program import Program
from pumice.errors import InputError

DT = 1e-4  # seconds: what snnTorch and SpikingJelly take for a timestep
PLAIN = ("reset",)  # the words of a reading that other tools have too


@dataclass(frozen=True, eq=False)
class NirProgram:
    """rounded: for each layer that float arithmetic cannot follow exactly, why. beyond: for each layer that plain NIR does not
    describe in full, the options of a reading that do; the file says them in the dialect."""

    graph: nir.NIRGraph
    rounded: Mapping[str, str]
    beyond: Mapping[str, str]


def nir_program(program: Program, dt: float = DT) -> NirProgram:
    """`program` as NIR, in current units; inputs are the payloads of the program's input, outputs its spikes. dt: seconds a step.

    Raises UnsupportedNode, naming the node, for what a NIR file cannot say, InputError for a dt that is no timestep.
    """
    if not 0 < dt < float("inf"):
        raise InputError(f"dt {dt} is no timestep", "give seconds above 0, e.g. 1e-4")
    graph = undelayed(program.graph)
    end = counted_end(graph)
    wanted = _upstream(graph, end)
    nodes = [node for node in graph.nodes.values() if node.name in wanted]
    forms = {node.name: form for node in nodes if (form := _form(node, graph, dt))}
    biases = synapse_biases(graph, {name: form.bias for name, form in forms.items()})
    made = {name: form.node for name, form in forms.items()}
    built = Building(replace(program, graph=graph), dt, made, biases, {}, [], {})
    for node in nodes:
        add(node, built)
    for node in nodes:
        if isinstance(node, i.Feedback):
            built.edges.append((built.ends[node.of][0], built.ends[node.name][0]))
    last, shape = built.ends[end.name]
    output = free("output", built.nodes)
    built.nodes[output] = nir.Output(np.array(shape))
    built.edges.append((last, output))
    rounded = {name: rounding(graph.nodes[name], graph) for name in forms}
    beyond = {name: _options(form) for name, form in forms.items()}
    return NirProgram(nir.NIRGraph(built.nodes, built.edges), _told(rounded), _told(beyond))


def nir_bytes(graph: nir.NIRGraph) -> bytes:
    """The `.nir` file. Equal graphs give equal bytes."""
    content = io.BytesIO()
    nir.write(content, graph, compression=None)
    return content.getvalue()


def _upstream(graph: Graph, end: Node) -> set[str]:
    """`end` and all it depends on. The counters after it, and pools' synapses within it, are not nodes of the file."""
    found, waiting = set(), [end.name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            node = graph.nodes[name]
            waiting += [*node.inputs, *([node.of] if isinstance(node, i.Feedback) else [])]
    return found


def _form(node: Node, graph: Graph, dt: float) -> Form | None:
    """What neurons become; None of all that are no neurons in NIR, or none at all."""
    if isinstance(node, i.Programmable):
        return program_form(node, dt)
    if isinstance(node, i.Membrane) and not node.gated and sum_pool(node, graph) is None:
        return stream_form(node)
    return _lif_form(node, dt) if isinstance(node, i.IntLif) else None


def _lif_form(node: i.IntLif, dt: float) -> Form:
    if problem := neuron_problem(node):
        raise refusal(node, problem, HINT)
    if node.vth < 1:
        raise refusal(node, f"threshold {node.vth}", "a NIR threshold is above 0")
    made = neuron_node(node, dt, RESETS[node.reset] | {"unit": "current"})
    shape = made.v_threshold.shape
    bias = np.broadcast_to(current_bias(node).reshape(-1, *[1] * (len(shape) - 1)), shape)
    return Form(made, bias, RESETS[node.reset])


def _options(form: Form) -> str:
    """The words for the command line."""
    said: dict[str, Any] = {key: value for key, value in form.also.items() if key not in PLAIN}
    return " ".join(f"--{key.replace('_', '-')} {value}" for key, value in said.items())


def _told(lines: Mapping[str, str]) -> dict[str, str]:
    return {name: line for name, line in lines.items() if line}
