"""What a walk leaves behind: what a result records, and the sums that are counted, made on the device."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.runtime.recording import needed
from pumice.runtime.tally import Tally, Wanted
from pumice.runtime.torch_backend.products import head_operands, largest_sum, of_spikes, summed_product
from pumice.runtime.torch_backend.values import magnitude, over_samples
from pumice.runtime.torch_backend.walk import Walk


@dataclass(frozen=True, eq=False)
class Gathered:
    """names: what is to be tallied, None for nothing. arrays: values [T, B, …] of read-outs, masks and, where recorded, layers.
    sums: on the device, by kind and name."""

    graph: Graph
    names: Wanted | None
    record: bool
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    sums: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @cached_property
    def kept(self) -> frozenset[str]:
        """The nodes whose values make up a result."""
        return frozenset(needed(self.graph, self.record))

    def see(self, node: Node, walk: Walk) -> None:
        """One node of a walk, while its inputs are there."""
        value = walk.values[node.name]
        if isinstance(node, i.MaskSource) or node.name in self.kept:
            self.arrays[node.name] = _whole(value)
        if self.names is not None:
            self._tally(self.names, node, walk, value)

    def tally(self, samples: int) -> Tally:
        """The sums of a whole batch."""
        kinds = ("events", "payloads", "active", "coincidences", "products", "masks", "silent")
        return Tally(samples, *({n: _whole(x) for n, x in self.sums.get(kind, {}).items()} for kind in kinds))

    def _tally(self, names: Wanted, node: Node, walk: Walk, value: Tensor) -> None:
        if node.name in names.events:
            self._keep("events", node, over_samples(value != 0, 1))
        if node.name in names.payloads:
            spikes = node.name in names.events and magnitude(node.name, self.graph) <= 1 and node.out.low >= 0
            total = (
                self.sums["events"][node.name] if spikes else over_samples(value, 1, magnitude(node.name, self.graph))
            )
            self._keep("payloads", node, total)
        if node.name in names.active:
            self._keep("active", node, walk.active[node.name])
        if isinstance(node, i.SpikeMatmul) and node.name in names.matmuls:
            self._tally_product(node, walk)
        if node.name in names.masks:
            self.sums.setdefault("masks", {})[node.name] = value != 0
        if node.name in names.silent:
            self.sums.setdefault("silent", {})[node.name] = (value == 0).flatten(3)

    def _tally_product(self, node: i.SpikeMatmul, walk: Walk) -> None:
        left, right = head_operands(node, *(walk.values[name] for name in node.inputs))
        met = summed_product(left != 0, right != 0, left.shape[-1])
        weighted = met if of_spikes(node, self.graph) else summed_product(left, right, largest_sum(node, self.graph))
        self._keep("coincidences", node, met)
        self._keep("products", node, weighted)

    def _keep(self, kind: str, node: Node, total: Tensor) -> None:
        """Sums over samples [T, C, …] as [T, C, P]."""
        shape = (total.shape[0], node.out.shape[0], -1)
        self.sums.setdefault(kind, {})[node.name] = total.to(torch.int64).reshape(shape)


def _whole(x: Tensor) -> NDArray[Any]:
    """A tensor as an array of bools, of narrow integers as they are held, or of int64."""
    x = x.to(torch.int64) if x.is_floating_point() else x
    return np.ascontiguousarray(x.cpu().numpy())
