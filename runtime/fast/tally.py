"""What counting needs of samples in lanes: sums over samples, taken before the values are freed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.hwsim.kernels.attention import LARGEST
from pumice.hwsim.kernels.sums import add_samples
from pumice.runtime.fast.attention import multiplied
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.lanes import Held, rows_of
from pumice.runtime.tally import Tally, Wanted, products_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Notes:
    """The sums of a batch while it runs, by node; see `runtime.tally.Tally`."""

    names: Wanted
    events: dict[str, Ints] = field(default_factory=dict)
    payloads: dict[str, Ints] = field(default_factory=dict)
    coincidences: dict[str, Ints] = field(default_factory=dict)
    products: dict[str, Ints] = field(default_factory=dict)
    masks: dict[str, NDArray[np.bool_]] = field(default_factory=dict)
    silent: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def see(self, batch: Batch, node: Node) -> None:
        """Notes what is wanted of a node that has just been computed."""
        name = node.name
        if name not in batch.values:
            return
        if name in self.names.events or name in self.names.payloads:
            self._sum(batch, node)
        if name in self.names.matmuls and isinstance(node, i.SpikeMatmul):
            self._multiply(batch, node)
        if name in self.names.masks:
            self.masks[name] = batch.dense(name) != 0
        if name in self.names.silent:
            value = batch.dense(name)
            self.silent[name] = (value == 0).reshape(*value.shape[:3], -1)

    def tally(self, batch: Batch) -> Tally:
        """All of them."""
        active = {name: batch.active[name] for name in self.names.active}
        sums = (self.events, self.payloads, active, self.coincidences, self.products)
        return Tally(batch.samples, *sums, self.masks, self.silent)

    def _sum(self, batch: Batch, node: Node) -> None:
        source = batch.plan.graph.nodes[node.inputs[0]] if isinstance(node, i.Delay) else node
        events, payloads = self.events.get(source.name), self.payloads.get(source.name)
        if events is None or payloads is None:  # else a delayed stream's are those of the stream itself
            events, payloads = summed(batch, batch.values[node.name])
        if node.name in self.names.events:
            self.events[node.name] = events
        if node.name in self.names.payloads:
            self.payloads[node.name] = payloads

    def _multiply(self, batch: Batch, node: i.SpikeMatmul) -> None:
        inputs, graph = [batch.values[name] for name in node.inputs], batch.plan.graph
        types = [graph.nodes[name].out for name in node.inputs]
        if all(out.high <= 1 for out in types):
            self.coincidences[node.name] = self.products[node.name] = _product_sums(batch, node, inputs)
            return
        met = _product_sums(batch, node, [_spikes(batch, x) for x in inputs])
        self.coincidences[node.name] = met
        if i.largest_sum(node, *types) <= LARGEST:
            self.products[node.name] = _product_sums(batch, node, inputs)
            return
        dense = {name: batch.dense(name) for name in node.inputs}
        self.products[node.name] = products_of(node, graph, dense, met, batch.samples)


def _product_sums(batch: Batch, node: i.SpikeMatmul, inputs: list[Held]) -> Ints:
    """A product's sums, within 32 bits, added up over samples, [T, C, P]."""
    layout = batch.layout(node)
    return summed(batch, Held(multiplied(batch, node, inputs, 0, LARGEST, np.int32, layout), layout))[1]


def summed(batch: Batch, value: Held) -> tuple[Ints, Ints]:
    """Over samples, how many values are not 0 and their sum, each [T, C, P]."""
    rows, columns, *_ = value.layout.size
    shape: tuple[Any, ...] = (len(value.rows), value.layout.shape[0], rows * columns)
    events, payloads = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    add_samples(value.rows, value.layout.size, batch.samples, events, payloads)
    whole = (batch.steps, *shape[1:])
    return np.broadcast_to(events, whole), np.broadcast_to(payloads, whole)


def _spikes(batch: Batch, value: Held) -> Held:
    """1 where a value is not 0."""
    rows = rows_of(value.layout, len(value.rows), np.uint8, batch.memory)
    np.not_equal(value.rows, 0, out=rows.view(np.bool_))
    return Held(rows, value.layout)
