"""One quantized node alone: run in integers on what the float network gives it, beside the float node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import attention
from pumice.compiler.ir import Graph, Node
from pumice.compiler.quantizers.context import Grid
from pumice.compiler.quantizers.streams import stream_grids
from pumice.compiler.streams import scale_of
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Look:
    """floats: the folded network; integers: the quantized one. values: per float node [T, B, …] on calibration data."""

    floats: Graph
    integers: Graph
    values: Mapping[str, Floats]
    chip: ChipSpec
    weight_bits: int

    @cached_property
    def grids(self) -> Mapping[str, Grid]:
        """Of every stream of real values, as quantization chose them."""
        return stream_grids(self.floats, self.values, self.chip)

    def scale(self, name: str) -> float:
        """Payload units of a stream per float unit."""
        return scale_of(name, self.integers.nodes)

    def payload(self, name: str) -> Ints:
        """The integers of a stream on calibration data, [T, B, …], as the float network makes them."""
        out = self.integers.nodes[name].out
        values = np.clip(np.rint(self.values[name] * self.scale(name)), out.low, out.high).astype(np.int64)
        return np.asarray(values.reshape(*values.shape[:2], *out.shape))

    def synapses(self, feed: Node) -> tuple[i.Synapse, ...]:
        """The synapses whose currents neurons receive from `feed`; none where it is no sum of such."""
        if isinstance(feed, i.Synapse):
            return (feed,)
        parts = [self.integers.nodes[name] for name in feed.inputs] if isinstance(feed, i.Currents) else []
        return tuple(part for part in parts if isinstance(part, i.Synapse))

    def convs(self, feed: Node) -> tuple[f.Conv, ...]:
        """The float layers that became `synapses` together with the neurons that read them."""
        found = (self.floats.nodes.get(part.name) for part in self.synapses(feed))
        return tuple(conv for conv in found if isinstance(conv, f.Conv))

    def current(self, node: Node) -> Ints:
        """The integer currents that a synapse, stream or product gives to its neurons, [T, B, …]."""
        inputs = [] if isinstance(node, i.Currents) else [self.payload(name) for name in node.inputs]
        match node:
            case i.Synapse():
                source = self.integers.nodes[node.inputs[0]].out
                x_max, rank = max(abs(source.low), source.high), len(node.out.shape)
                return arith.synaptic_currents(
                    inputs[0], node.weight, node.stride, node.padding, x_max, rank, node.groups
                )
            case i.Currents():
                return np.asarray(sum(self.current(part) for part in self.synapses(node)))
            case i.OneToOne():
                return inputs[0]
            case i.IntAttention():
                q, k, v = (x.astype(np.float64) for x in inputs)
                return attention(q, k, v, node.heads).astype(np.int64) << node.shift
            case i.SpikeMatmul():
                a, b = inputs
                bound = i.largest_sum(node, *(self.integers.nodes[name].out for name in node.inputs))
                return arith.spike_matmul(node.pattern, a, b, node.heads, node.shift, bound, node.out.high)
            case _:
                raise TypeError(f"no current of {type(node).__name__}")

    def current_scale(self, node: Node) -> float:
        """Current units per float unit of what the neurons after `node` receive."""
        match node:
            case i.Synapse():
                return node.scale
            case i.Currents():
                return self.synapses(node)[0].scale
            case i.OneToOne():
                return self.scale(node.inputs[0])
            case i.IntAttention():
                product = self.floats.nodes[node.name]
                assert isinstance(product, f.Attention)
                return float(prod(self.scale(name) for name in node.inputs) / product.scale * (1 << node.shift))
            case i.SpikeMatmul():
                return float(1 << node.shift)
            case _:
                raise TypeError(f"no current of {type(node).__name__}")


def same_so_far(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.bool_]:
    """Per neuron and step of [T, B, …], whether both have sent the same at every earlier step."""
    equal = np.logical_and.accumulate(first == second, axis=0)
    return np.concatenate([np.ones_like(equal[:1]), equal[:-1]])
