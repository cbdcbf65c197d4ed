"""The nodes and edges of a NIR file, one program node after the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any

import nir
import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import annotation, extension
from pumice.compiler.exporting.neurons import refusal
from pumice.compiler.exporting.nir_nodes import (
    Floats,
    delay_node,
    diagonal_node,
    nir_shape,
    pool_node,
    synapse_node,
)
from pumice.compiler.exporting.pools import sum_pool
from pumice.compiler.ir import Graph, Node, Shape
from pumice.compiler.program import Program

HINT = "what NIR can say: convolutions, linear layers, sum pools, its six neurons, thresholds, delays, cycles, sums, reshapes"


@dataclass(frozen=True, eq=False)
class Building:
    """neurons: the NIR nodes of the program's layers of neurons. biases: of their synapses, [C] in current units. nodes, edges:
    those so far. ends: for each program node, the NIR node that gives its value, and its NIR shape."""

    program: Program
    dt: float
    neurons: Mapping[str, nir.NIRNode]
    biases: Mapping[str, Floats]
    nodes: dict[str, nir.NIRNode]
    edges: list[tuple[str, str]]
    ends: dict[str, tuple[str, Shape]]

    @property
    def graph(self) -> Graph:
        """The program's."""
        return self.program.graph


def add(node: Node, built: Building) -> None:
    """One node of the program, as the NIR nodes it needs."""
    match node:
        case i.GradedInput():
            name, shape = free(node.source, built.nodes), nir_shape(node.out.shape)
            built.nodes[name] = nir.Input(np.array(shape), metadata=annotation(_facts(node, built.program)))
            built.ends[node.name] = (name, shape)
        case i.Synapse() if _is_pools(node, built.graph):
            _pass(node, built)
        case i.Synapse():
            said = {"scale": node.scale, "weight_bits": built.program.options.weight_bits}
            before = built.ends[node.inputs[0]][1]
            _append(built, node, synapse_node(node, _bias(node, built), before, said))
        case i.OneToOne():
            _add_one_to_one(node, built)
        case i.Currents():
            pass  # edges: see `_ends`
        case i.Membrane() if pool := sum_pool(node, built.graph):
            _append(built, node, pool_node(pool, {"scale": node.scale}), _typed(node, built))
        case i.OrPool():
            _add_or_pool(node, built)
        case i.IntLif() | i.Programmable():
            _append(built, node, built.neurons[node.name])
        case i.Membrane() if node.name in built.neurons:
            _add_stream(node, built)
        case i.Past():
            _append(built, node, delay_node(node, built.dt))
        case i.Feedback():
            _append(built, node, delay_node(node, built.dt), ())  # what it reads comes later
        case i.Sum():
            _append(built, node, nir.Scale(np.ones(nir_shape(node.out.shape), np.float32)))
        case i.Reshape():
            _add_reshape(node, built)
        case _:
            raise refusal(node, "has no form in NIR", HINT)


def free(name: str, taken: Mapping[str, object]) -> str:
    """`name`, with a number where it is taken."""
    return next(free for k in count() if (free := f"{name}.{k}" if k else name) not in taken)


def _pass(node: Node, built: Building) -> None:
    """A node that is none in NIR."""
    built.ends[node.name] = built.ends[node.inputs[0]]


def _append(built: Building, node: Node, made: nir.NIRNode, inputs: tuple[str, ...] | None = None) -> None:
    """`made` as the program's `node`, behind what feeds that; inputs: other NIR nodes instead."""
    sources = _ends(node.inputs, built) if inputs is None else inputs
    if len(set(sources)) < len(sources):
        raise refusal(node, f"takes {sources[0]!r} twice", "NIR has one edge between two nodes")
    name = free(node.name, built.nodes)
    built.nodes[name] = made
    built.edges.extend((source, name) for source in sources)
    built.ends[node.name] = (name, nir_shape(node.out.shape))


def _ends(names: Sequence[str], built: Building) -> tuple[str, ...]:
    """The NIR nodes that give these values; currents that meet are several."""
    nodes = [built.graph.nodes[name] for name in names]
    parts = [part for n in nodes for part in (n.inputs if isinstance(n, i.Currents) else (n.name,))]
    return tuple(built.ends[name][0] for name in parts)


def _typed(node: Node, built: Building) -> tuple[str, ...]:
    """What feeds a pool: behind an operation of the dialect an identity, for NIR 1.0.8 cannot tell a pool's shape there."""
    (source,), shape = _ends(node.inputs, built), built.ends[node.inputs[0]][1]
    if not isinstance(built.nodes[source], nir.NIRGraph):
        return (source,)
    name = free(f"{source}.same", built.nodes)
    built.nodes[name] = nir.Scale(np.ones(shape, np.float32))
    built.edges.append((source, name))
    return (name,)


def _add_one_to_one(node: i.OneToOne, built: Building) -> None:
    """Payloads are currents: no node, but where a bias needs one."""
    bias = _bias(node, built)
    if not np.any(bias):
        _pass(node, built)
        return
    shape = nir_shape(node.out.shape)
    if len(shape) > 1:
        raise refusal(node, "its neurons have a bias and no synapses to carry it", HINT)
    _append(built, node, diagonal_node(shape[0], bias, {"scale": 1.0}))


def _add_stream(node: i.Membrane, built: Building) -> None:
    """The current in payload units and, where streams are added to it, a sum."""
    if not node.streams:
        return _append(built, node, built.neurons[node.name])
    inner = free(f"{node.name}.current", built.nodes)
    built.nodes[inner] = built.neurons[node.name]
    built.edges.extend((source, inner) for source in _ends(node.inputs[:1], built))
    total = nir.Scale(np.ones(nir_shape(node.out.shape), np.float32))
    return _append(built, node, total, (inner, *_ends(node.streams, built)))


def _add_or_pool(node: i.OrPool, built: Building) -> None:
    """An OR of spikes is a sum of them beyond one half."""
    sizes = (np.array([size, size]) for size in (node.kernel, node.stride, node.padding))
    inner = free(f"{node.name}.sum", built.nodes)
    built.nodes[inner] = nir.SumPool2d(*sizes)
    built.edges.extend((source, inner) for source in _typed(node, built))
    said = annotation({"dt": built.dt, "comparator": ">", "reset": "hard"})
    _append(built, node, nir.Threshold(np.full(node.out.shape, 0.5), metadata=said), (inner,))


def _add_reshape(node: i.Reshape, built: Building) -> None:
    before, after = built.ends[node.inputs[0]][1], nir_shape(node.out.shape)
    if before == after:
        _pass(node, built)
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


def _bias(node: Node, built: Building) -> Floats:
    """The bias that a synapse carries. Raises UnsupportedNode where what it feeds are not neurons."""
    readers, n = built.graph.consumers(), node.name
    currents = [reader for reader in readers[n] if isinstance(reader, i.Currents)]
    others = [reader for reader in readers[n] if reader not in currents]
    for reader in (*others, *(last for current in currents for last in readers[current.name])):
        if reader.name not in built.neurons:
            raise refusal(reader, "has no form in NIR", HINT)
    return built.biases[n]


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
