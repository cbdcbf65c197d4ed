"""A program as a chain of layers, synapse and neurons each, or a refusal that names the first node that is none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.neurons import refusal, spiking_end
from pumice.compiler.exporting.pools import SumPool, fold_problem, folded_dense, folded_kernel, sum_pool
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Graph, Node, Shape
from pumice.hwsim.arith import ungrouped

HINT = "a chain has an input, then convolutions or linear layers, each followed by LIF neurons"


@dataclass(frozen=True, eq=False)
class Layer:
    """Synapses and the neurons they feed. Maps are [C, H, W], vectors [K].

    kind: "conv" with weight [O, C / groups, kh, kw] from maps to maps, or "dense" with weight [O, I] from vectors to vectors, in
    row-by-row order where they were maps. flattens: whether maps come in. synapse, neurons: what it was made from.
    """

    kind: Literal["conv", "dense"]
    weight: Ints
    stride: tuple[int, int]
    padding: tuple[int, int]
    groups: int
    out: Shape
    flattens: bool
    synapse: i.Synapse
    neurons: i.IntLif | i.Programmable


@dataclass(frozen=True, eq=False)
class Chain:
    """shape: what goes in, maps [C, H, W] or a vector [K]."""

    entry: i.GradedInput
    shape: Shape
    layers: tuple[Layer, ...]


@dataclass(frozen=True, eq=False)
class _Place:
    """Where the walk is. shape: maps or a vector, as the layers see them. pool: one that waits for the next layer, and
    pooled: its maps. synapse: one that waits for its neurons."""

    shape: Shape
    flattened: bool = False
    pool: SumPool | None = None
    pooled: Shape = ()
    synapse: i.Synapse | None = None


def chain_of(graph: Graph) -> Chain:
    """The layers of `graph`, sum pools folded into the layer after them. Raises UnsupportedNode where it is no chain."""
    end = spiking_end(graph)
    entry, *nodes = _path(graph, end)
    if not isinstance(entry, i.GradedInput):
        raise refusal(entry, "is not the network's input", HINT)
    shape = _input_shape(entry.out.shape)
    place, layers = _Place(shape), []
    for node in nodes:
        if isinstance(node, i.IntLif | i.Programmable) and place.synapse is not None:
            layer = _layer(place, place.synapse, node)
            layers.append(layer)
            place = _Place(layer.out)
        else:
            place = _after(place, node, graph)
    return Chain(entry, shape, tuple(layers))


def _path(graph: Graph, end: Node) -> list[Node]:
    """The nodes from the input to `end`, each with one input and one reader."""
    readers, found = graph.consumers(), [end]
    while found[-1].inputs:
        node = found[-1]
        if len(node.inputs) > 1:
            raise refusal(node, f"has {len(node.inputs)} inputs, {', '.join(node.inputs)}", HINT)
        before = graph.nodes[node.inputs[0]]
        if len(readers[before.name]) > 1:
            several = ", ".join(reader.name for reader in readers[before.name])
            raise refusal(before, f"is read by {several}: a branch", HINT)
        found.append(before)
    return found[::-1]


def _input_shape(shape: Shape) -> Shape:
    """Tokens [C, N] stand in a map of one column; vectors may come as [K, 1]."""
    if len(shape) == 2:
        return (shape[0],) if shape[1] == 1 else (*shape, 1)
    return shape


def _after(place: _Place, node: Node, graph: Graph) -> _Place:
    """The place behind a node that is no layer's neurons."""
    pool = sum_pool(node, graph)
    if isinstance(node, i.Reshape) and place.synapse is None:
        return _reshaped(place, node)
    if isinstance(node, i.Synapse) and place.synapse is None:
        return replace(place, synapse=node)
    if pool is not None and place.synapse is not None and place.pool is None:
        return _Place(node.out.shape, pool=pool, pooled=node.out.shape)
    if isinstance(node, i.Past):
        raise refusal(node, "is a delay", "NetX's delayed axons carry spikes of one sample into the next")
    raise refusal(node, "is no layer of a chain", HINT)


def _reshaped(place: _Place, node: i.Reshape) -> _Place:
    """Maps stay maps where only their positions are counted through, and become a vector where all is."""
    wanted, shape = node.out.shape, place.shape
    size = int(np.prod(shape))
    if wanted in ((size,), (size, 1)):
        return replace(place, shape=(size,), flattened=place.flattened or len(shape) == 3)
    if len(shape) == 3 and wanted in (shape, (shape[0], size // shape[0])):
        return place
    raise refusal(node, f"makes {wanted} of {shape}", "the only reshape between layers is one that flattens")


def _layer(place: _Place, synapse: i.Synapse, neurons: i.IntLif | i.Programmable) -> Layer:
    if len(place.shape) == 1:
        return _dense(place, synapse, neurons)
    weight, stride, padding, kernel = synapse.weight, synapse.stride, synapse.padding, synapse.weight.shape[2:]
    sizes = zip(place.shape[1:], kernel, stride, padding, strict=True)
    out = (weight.shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in sizes))
    if place.pool is not None:
        _check_fold(place.pool, padding, synapse)
        rows, columns = place.pool.kernel
        weight = folded_kernel(weight, place.pool)
        stride = (stride[0] * rows, stride[1] * columns)
        padding = (padding[0] * rows, padding[1] * columns)
    return Layer("conv", weight, stride, padding, synapse.groups, out, False, synapse, neurons)


def _dense(place: _Place, synapse: i.Synapse, neurons: i.IntLif | i.Programmable) -> Layer:
    weight = ungrouped(synapse.weight, synapse.groups)[:, :, 0, 0]
    if place.pool is not None:
        _check_fold(place.pool, (0, 0), synapse)
        weight = folded_dense(weight, place.pool, place.pooled)
    shape = (int(weight.shape[0]),)
    return Layer("dense", weight, (1, 1), (0, 0), 1, shape, place.flattened, synapse, neurons)


def _check_fold(pool: SumPool, padding: tuple[int, int], synapse: i.Synapse) -> None:
    if problem := fold_problem(pool, padding):
        raise refusal(synapse, f"reads a pool that cannot be folded into it: {problem}", "pool with stride = window")
