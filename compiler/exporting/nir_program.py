"""A compiled program as a NIR graph of integers: standard nodes, with what NIR leaves open said in the Pumice dialect."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

import nir
import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import annotation, extension
from pumice.compiler.exporting.float_exactness import rounding
from pumice.compiler.exporting.neurons import neuron_problem, refusal, spiking_end
from pumice.compiler.exporting.nir_nodes import (
    Floats,
    current_bias,
    diagonal_node,
    neuron_node,
    nir_shape,
    pool_node,
    synapse_node,
)
from pumice.compiler.exporting.pools import sum_pool
from pumice.compiler.ir import Graph, Node, Shape
from pumice.compiler.program import Program
from pumice.errors import InputError

DT = 1e-4  # seconds: what snnTorch and SpikingJelly take for a timestep
HINT = "what NIR can say: convolutions, linear layers, sum pools, LIF and IF neurons, sums, reshapes"
RESETS = ("hard", "soft")

Nodes = dict[str, nir.NIRNode]
Edges = list[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class NirProgram:
    """rounded: for each layer that float arithmetic cannot follow exactly, why."""

    graph: nir.NIRGraph
    rounded: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class _Built:
    """NIR nodes and edges so far. ends: for each program node, the NIR node that gives its value, and its NIR shape."""

    nodes: Nodes
    edges: Edges
    ends: dict[str, tuple[str, Shape]]


def nir_program(program: Program, dt: float = DT) -> NirProgram:
    """`program` as NIR, in current units; inputs are the payloads of the program's input, outputs its spikes. dt: seconds a step.

    Raises UnsupportedNode, naming the node, for what a NIR file cannot say, InputError for a dt that is no timestep.
    """
    if not 0 < dt < float("inf"):
        raise InputError(f"dt {dt} is no timestep", "give seconds above 0, e.g. 1e-4")
    graph, built = program.graph, _Built({}, [], {})
    end = spiking_end(graph)
    wanted = _upstream(graph, end)
    rounded = {}
    for node in (node for node in graph.nodes.values() if node.name in wanted):
        _add(node, program, built, dt)
        if isinstance(node, i.IntLif) and (why := _rounding(node, graph)):
            rounded[node.name] = why
    last, shape = built.ends[end.name]
    built.nodes[_free("output", built.nodes)] = nir.Output(np.array(shape))
    built.edges.append((last, next(reversed(built.nodes))))
    return NirProgram(nir.NIRGraph(built.nodes, built.edges), rounded)


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
            waiting += graph.nodes[name].inputs
    return found


def _add(node: Node, program: Program, built: _Built, dt: float) -> None:
    """One node of the program, as the NIR nodes it needs."""
    graph = program.graph
    match node:
        case i.GradedInput():
            name, shape = _free(node.source, built.nodes), nir_shape(node.out.shape)
            built.nodes[name] = nir.Input(np.array(shape), metadata=annotation(_facts(node, program)))
            built.ends[node.name] = (name, shape)
        case i.Synapse() if _is_pools(node, graph):
            built.ends[node.name] = built.ends[node.inputs[0]]
        case i.Synapse():
            said = {"scale": node.scale, "weight_bits": program.options.weight_bits}
            before = built.ends[node.inputs[0]][1]
            _append(built, node, synapse_node(node, _bias(node, graph), before, said))
        case i.OneToOne():
            _add_one_to_one(node, graph, built)
        case i.Membrane() if pool := sum_pool(node, graph):
            _append(built, node, pool_node(pool, {"scale": node.scale}))
        case i.OrPool():
            _add_or_pool(node, built)
        case i.IntLif():
            _append(built, node, neuron_node(_checked(node), dt, {"unit": "current"}))
        case i.Sum():
            _append(built, node, nir.Scale(np.ones(nir_shape(node.out.shape), np.float32)))
        case i.Reshape():
            _add_reshape(node, built)
        case i.Delay():
            built.ends[node.name] = built.ends[node.inputs[0]]  # balances a pipeline, which NIR has not
        case _:
            raise refusal(node, "has no form in NIR", HINT)


def _append(built: _Built, node: Node, made: nir.NIRNode, inputs: tuple[str, ...] | None = None) -> None:
    """`made` as the program's `node`, behind what feeds that; inputs: other NIR nodes instead."""
    sources = inputs or tuple(built.ends[name][0] for name in node.inputs)
    if len(set(sources)) < len(sources):
        raise refusal(node, f"takes {sources[0]!r} twice", "NIR has one edge between two nodes")
    name = _free(node.name, built.nodes)
    built.nodes[name] = made
    built.edges.extend((source, name) for source in sources)
    built.ends[node.name] = (name, nir_shape(node.out.shape))


def _add_one_to_one(node: i.OneToOne, graph: Graph, built: _Built) -> None:
    """Payloads are currents: no node, but where a bias needs one."""
    bias = _bias(node, graph)
    if not np.any(bias):
        built.ends[node.name] = built.ends[node.inputs[0]]
        return
    shape = nir_shape(node.out.shape)
    if len(shape) > 1:
        raise refusal(node, "its neurons have a bias and no synapses to carry it", HINT)
    _append(built, node, diagonal_node(shape[0], bias, {"scale": 1.0}))


def _add_or_pool(node: i.OrPool, built: _Built) -> None:
    """An OR of spikes is a sum of them beyond one half."""
    sizes = (np.array([size, size]) for size in (node.kernel, node.stride, node.padding))
    inner = _free(f"{node.name}.sum", built.nodes)
    built.nodes[inner] = nir.SumPool2d(*sizes)
    built.edges.append((built.ends[node.inputs[0]][0], inner))
    _append(built, node, nir.Threshold(np.full(node.out.shape, 0.5)), (inner,))


def _add_reshape(node: i.Reshape, built: _Built) -> None:
    before, after = built.ends[node.inputs[0]][1], nir_shape(node.out.shape)
    if before == after:
        built.ends[node.name] = built.ends[node.inputs[0]]
    elif len(after) == 1:
        _append(built, node, nir.Flatten(np.array(before), 0, len(before) - 1))
    elif len(before) == 3 and after == (before[0], before[1] * before[2]):
        _append(built, node, nir.Flatten(np.array(before), 1, 2))
    else:
        _append(built, node, extension("Reshape", before, after, {"shape": list(after)}))


def _is_pools(node: i.Synapse, graph: Graph) -> bool:
    """Whether a synapse is the first half of a sum pool."""
    readers = graph.consumers()[node.name]
    return bool(readers) and all(sum_pool(reader, graph) for reader in readers)


def _bias(node: Node, graph: Graph) -> Floats:
    """The bias of the neurons that a synapse feeds. Raises UnsupportedNode where several differ, or none are LIF."""
    readers = graph.consumers()[node.name]
    for reader in readers:
        if not isinstance(reader, i.IntLif):
            raise refusal(reader, "has no form in NIR", HINT)
    found = [current_bias(_checked(reader)) for reader in readers if isinstance(reader, i.IntLif)]
    if any(not np.array_equal(found[0], bias) for bias in found):
        raise refusal(node, "feeds neurons of different biases", HINT)
    return found[0]


def _checked(node: i.IntLif) -> i.IntLif:
    if problem := neuron_problem(node):
        raise refusal(node, problem, HINT)
    if node.reset not in RESETS:
        raise refusal(
            node, f"reset {node.reset!r}", "the dialect says 'hard', to 0, and 'soft', by subtraction at the spike"
        )
    if node.vth < 1:
        raise refusal(node, f"threshold {node.vth}", "a NIR threshold is above 0")
    return node


def _rounding(node: i.IntLif, graph: Graph) -> str:
    current = graph.nodes[node.inputs[0]]
    weight = current.weight if isinstance(current, i.Synapse) else np.ones(1, np.int64)
    return rounding(node, weight, max(current.out.high, -current.out.low), graph.timesteps)


def _facts(node: i.GradedInput, program: Program) -> dict[str, Any]:
    """What the input says: the sample's time, what to feed, and where the integers come from."""
    return {
        "timesteps": program.graph.timesteps,
        "encoding": program.graph.encoding,
        "input": {"scale": node.scale, "low": node.out.low, "high": node.out.high},
        "weight_bits": program.options.weight_bits,
        "chip": program.chip.name,
        "source_hash": program.source_hash,
    }


def _free(name: str, taken: Mapping[str, object]) -> str:
    """`name`, with a number where it is taken."""
    return next(free for k in count() if (free := f"{name}.{k}" if k else name) not in taken)
