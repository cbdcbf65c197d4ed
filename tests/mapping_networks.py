"""Programs for tests of the mapping, each compiled once; and what is true of their synapses, found neuron by neuron."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from convert_networks import mixed, residual
from cycle_networks import NETWORKS, meaning_of
from cycle_networks import compiled as compiled_cycle
from networks import TinySpikformer, images, tiny_spikformer
from numpy.typing import NDArray
from stream_networks import every_node

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group
from pumice.compiler.ir import Graph, Node
from pumice.compiler.options import CompileOptions, MaskMode
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim import arith
from pumice.hwsim.spec import load_chip

Ints = NDArray[np.int64]
Reach = tuple[str, Ints]  # a stream, and how many synapses join each of its neurons to each neuron of a group, [S, N]


def spikformer(masks: MaskMode) -> Program:
    """A Spikformer, whose static masks silence half of its tokens for good."""
    config = TinySpikformer(size=6, pool=True, retention=0.4, timesteps=2)
    return compile_nir(tiny_spikformer(config), images(config, 8), load_chip("loihi2"), CompileOptions(masks=masks))


NETS: dict[str, Callable[[], Program]] = {
    "static masks": lambda: spikformer("static"),
    "live masks": lambda: spikformer("live"),
    "every operation": every_node,
    "convolutions": lambda: mixed(1).program,
    "other convolutions": lambda: mixed(4).program,
    "a residual edge": lambda: residual().program,
    "a cycle": lambda: compiled_cycle(NETWORKS["a convolution around a cycle"], meaning_of()),
}


@cache
def network(name: str) -> Program:
    return NETS[name]()


def synapses_of(group: Group, graph: Graph) -> Iterator[Reach]:
    """Every stream into a group: each synapse is found by what a spike of one neuron alone does."""
    for node in group.synapses:
        yield from _of_node(node, graph, isinstance(group.neurons, i.Readout))
    for name in group.streams:
        yield name, np.eye(_size(name, graph), dtype=np.int64)


def _of_node(node: Node, graph: Graph, summed: bool) -> Iterator[Reach]:
    shapes = [graph.nodes[name].out.shape for name in node.inputs]
    match node:
        case i.Synapse():
            counts = arith.synapse_counts(node.weight, node.signs)
            found = arith.synaptic_currents(
                _each(shapes[0]), counts, node.stride, node.padding, 1, len(node.out.shape), node.groups
            )
            yield node.inputs[0], _rows(found, summed)
        case i.OrPool() | i.MaxPool():
            yield node.inputs[0], _rows(arith.or_pool(_each(shapes[0]), node.kernel, node.stride, node.padding), False)
        case i.SpikeMatmul():
            for index, name in enumerate(node.inputs):
                pair = [np.ones((1, *shape), np.int64) for shape in shapes]
                pair[index] = _each(shapes[index])
                yield name, _rows(arith.spike_matmul(node.pattern, pair[0], pair[1], node.heads, 0, 1 << 20), False)
        case i.SpikeAnd():
            ones = [np.ones((1, *shape), np.int64) for shape in shapes]
            yield node.inputs[0], _rows(np.stack([arith.spike_and(g, ones[1][0]) for g in _each(shapes[0])]), False)
            yield node.inputs[1], _rows(np.stack([arith.spike_and(ones[0][0], x) for x in _each(shapes[1])]), False)
        case _:
            at_one = summed or isinstance(node, i.TokenSum)
            yield from ((name, _rows(_each(shape), at_one)) for name, shape in zip(node.inputs, shapes, strict=True))


def _size(name: str, graph: Graph) -> int:
    return int(np.prod(graph.nodes[name].out.shape))


def _each(shape: tuple[int, ...]) -> Ints:
    """A frame for each neuron in which it alone spikes, [S, …]."""
    size = int(np.prod(shape))
    return np.eye(size, dtype=np.int64).reshape(size, *shape)


def _rows(found: Ints, summed: bool) -> Ints:
    """[S, N]; summed: one neuron of a channel takes all its positions."""
    rows = found.reshape(len(found), found.shape[1], -1)
    return rows.sum(axis=2) if summed else rows.reshape(len(found), -1)
