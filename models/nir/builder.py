"""A NIR graph in the making: the layers of a torch model, put in one after another, each node with its shape."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import nn

from pumice.compiler.dialect import annotation, extension
from pumice.models.multispike import MultiSpike
from pumice.models.neuron import LIF
from pumice.models.nir import nodes as nir_nodes
from pumice.models.nir.nodes import Shape
from pumice.models.spikformer_layers import POOL


@dataclass(frozen=True)
class Gate:
    """What a `TokenGate` node says. `arrays`: a learned selector's weights."""

    attributes: Mapping[str, Any]
    arrays: Mapping[str, NDArray[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Builder:
    """The graph so far, and the model it is read from. Nodes are named like the model's modules."""

    model: nn.Module
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)

    def add(self, name: str, node: nir.NIRNode, shape: Shape, *sources: str) -> str:
        """Puts in a node whose output is of `shape`, with an edge from each source; returns its name."""
        self.nodes[name], self.shapes[name] = node, tuple(int(size) for size in shape)
        self.edges.extend((source, name) for source in sources)
        return name

    def input(self, shape: Shape, facts: Mapping[str, Any]) -> str:
        """The input node, with the model's facts."""
        return self.add("input", nir.Input(np.array(shape), metadata=annotation(facts)), shape)

    def through(self, last: str, *names: str) -> str:
        """The model's layers `names` in sequence, the first one fed by the node `last`; returns the last node's name."""
        for name in names:
            last = self._layer(name, self.model.get_submodule(name), last)
        return last

    def _layer(self, name: str, layer: nn.Module, last: str) -> str:
        shape = self.shapes[last]
        match layer:
            case nn.Sequential():
                return self.through(last, *(f"{name}.{part}" for part, _ in layer.named_children()))
            case nn.Identity():
                return last
            case nn.BatchNorm1d() | nn.BatchNorm2d():
                return self.add(name, nir_nodes.batch_norm(layer, shape), shape, last)
            case LIF():
                return self.add(name, nir_nodes.lif(layer, shape), shape, last)
            case MultiSpike():
                return self.add(name, nir_nodes.multi_spike(layer, shape), shape, last)
            case nn.Conv2d() if layer.groups > 1:
                out = _convolved(layer, shape)
                return self.add(name, nir_nodes.grouped_conv2d(layer, shape, out), out, last)
            case nn.Conv2d() if len(shape) == 3:
                node = nir_nodes.conv2d(layer, (shape[1], shape[2]))
                return self.add(name, node, _convolved(layer, shape), last)
            case nn.Linear() if len(shape) == 1:
                return self.add(name, nir_nodes.affine(layer), (layer.out_features,), last)
            case nn.Linear() | nn.Conv1d() | nn.Conv2d():
                node = nir_nodes.token_linear(layer, shape[1])
                return self.add(name, node, (len(node.weight), shape[1]), last)
            case _:
                raise TypeError(f"layer {name!r}: no NIR node for a {type(layer).__name__}")

    def spike_pool(self, name: str, last: str) -> str:
        """The official 3 × 3, stride 2 max-pool, of spikes."""
        shape = self.shapes[last]
        return self.add(name, nir_nodes.spike_max_pool(shape, *POOL), nir_nodes.pooled_shape(shape, *POOL), last)

    def current_pool(self, name: str, last: str) -> str:
        """The same max-pool, of currents."""
        shape = self.shapes[last]
        return self.add(name, nir_nodes.max_pool(shape, *POOL), nir_nodes.pooled_shape(shape, *POOL), last)

    def residual(self, name: str, *sources: str) -> str:
        """The sum of `sources`."""
        shape = self.shapes[sources[0]]
        return self.add(name, nir_nodes.residual(shape), shape, *sources)

    def tokens(self, name: str, last: str) -> str:
        """A map `[C, H, W]` as tokens `[C, N]`."""
        channels, height, width = self.shapes[last]
        return self.add(name, nir_nodes.flatten(self.shapes[last]), (channels, height * width), last)

    def map(self, name: str, last: str, grid: tuple[int, int]) -> str:
        """Tokens `[C, N]` as a map `[C, H, W]`."""
        shape = self.shapes[last]
        return self.add(name, nir_nodes.reshape(shape, (shape[0], *grid)), (shape[0], *grid), last)

    def operand(self, source: str, shape: Shape) -> str:
        """`source` as one of several operands, under the `shape` of the first: NIR wants all inputs of a node to be alike."""
        if self.shapes[source] == shape:
            return source
        node = extension("Operand", self.shapes[source], shape, {})
        return self.add(f"{source}.operand", node, shape, source)

    def gate(self, name: str, last: str, gate: Gate | None, scored: str = "") -> str:
        """Drops the tokens that `gate` does not route; without a gate, `last` itself. `scored`: the tokens that are scored,
        where these are not the ones that are dropped."""
        if gate is None:
            return last
        shape = self.shapes[last]
        operands = (last, scored) if scored and scored != last else ()
        node = extension("TokenGate", shape, shape, gate.attributes, operands, gate.arrays)
        return self.add(name, node, shape, *(operands or (last,)))

    def read_out(self, last: str, neuron: str = "", tokens: int = 0) -> nir.NIRGraph:
        """Token mean, the layer `neuron` if named, Linear, time mean, and the finished graph. `tokens`: how many count.

        The Linear commutes with the time mean, so it may run at every step.
        """
        channels, count = self.shapes[last]
        mean = extension("TokenMean", (channels, count), (channels,), {"tokens": tokens or count})
        last = self.add("token_mean", mean, (channels,), last)
        last = self.through(last, *filter(None, (neuron, "head")))
        classes = self.shapes[last]
        last = self.add("time_mean", extension("TimeMean", classes, classes, {}), classes, last)
        self.add("output", nir.Output(np.array(classes)), classes, last)
        return nir.NIRGraph(self.nodes, self.edges)


def _convolved(layer: nn.Conv2d, shape: Shape) -> Shape:
    """`[C, H, W]` after `layer`."""
    if isinstance(layer.padding, str):
        raise TypeError(f"padding {layer.padding!r} is not a number")
    sizes = zip(shape[1:], layer.padding, layer.dilation, layer.kernel_size, layer.stride, strict=True)
    return (layer.out_channels, *((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in sizes))
