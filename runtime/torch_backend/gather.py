"""What a walk leaves behind: what a result records, and the sums that are counted, made on the device."""

from __future__ import annotations

from collections.abc import Callable
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
from pumice.runtime.torch_backend.values import over_samples, span
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
        """The sums of a whole batch; those that are one on the device are one array."""
        arrays: dict[int, NDArray[Any]] = {}
        for x in (x for sums in self.sums.values() for x in sums.values()):
            arrays[id(x)] = arrays[id(x)] if id(x) in arrays else _whole(x)
        kinds = ("events", "payloads", "active", "coincidences", "products", "masks", "silent")
        return Tally(samples, *({n: arrays[id(x)] for n, x in self.sums.get(kind, {}).items()} for kind in kinds))

    def _tally(self, names: Wanted, node: Node, walk: Walk, value: Tensor) -> None:
        if node.name in names.events:
            self._keep("events", node, self._of_source("events", node, lambda: over_samples(value != 0, 1)))
        if node.name in names.payloads:
            self._keep("payloads", node, self._of_source("payloads", node, lambda: self._payload(node, value)))
        if node.name in names.active:
            self._keep("active", node, walk.active[node.name])
        if isinstance(node, i.SpikeMatmul) and node.name in names.matmuls:
            self._tally_product(node, walk)
        if node.name in names.masks:
            self.sums.setdefault("masks", {})[node.name] = value != 0
        if node.name in names.silent:
            self.sums.setdefault("silent", {})[node.name] = (value == 0).flatten(3)

    def _of_source(self, kind: str, node: Node, total: Callable[[], Tensor]) -> Tensor:
        """A delayed stream's sums are those of the stream itself, where these were made."""
        found = self.sums.get(kind, {}).get(node.inputs[0]) if isinstance(node, i.Delay) else None
        return total() if found is None else found

    def _payload(self, node: Node, value: Tensor) -> Tensor:
        events, (low, high) = self.sums.get("events", {}).get(node.name), span(node.name, self.graph)
        if events is not None and (low, high) == (0, 1):
            return events
        return over_samples(value, 1, max(-low, high))

    def _tally_product(self, node: i.SpikeMatmul, walk: Walk) -> None:
        left, right = head_operands(node, *(walk.values[name] for name in node.inputs))
        met = summed_product(left != 0, right != 0, left.shape[-1])
        weighted = met if of_spikes(node, self.graph) else summed_product(left, right, largest_sum(node, self.graph))
        self._keep("coincidences", node, met)
        self._keep("products", node, weighted)

    def _keep(self, kind: str, node: Node, total: Tensor) -> None:
        """Sums over samples [T, C, …] as int64 [T, C, P]; such as are so already stay the same tensor."""
        total = total if total.ndim == 3 else total.flatten(2) if total.ndim > 3 else total[:, :, None]
        self.sums.setdefault(kind, {})[node.name] = total.to(torch.int64)


def _whole(x: Tensor) -> NDArray[Any]:
    """A tensor as an array of bools, of narrow integers as they are held, or of int64."""
    x = x.to(torch.int64) if x.is_floating_point() else x
    return np.ascontiguousarray(x.cpu().numpy())
