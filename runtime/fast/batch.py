"""Samples on their way through a program, on one thread."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import mask_input, origin
from pumice.compiler.ir import Node
from pumice.hwsim.kernels.neurons import unpack_rows
from pumice.hwsim.kernels.synapses import Lanes
from pumice.runtime.fast.lanes import Held, Layout, Packing, packing_of, rows_of, storage
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.plan import Plan
from pumice.runtime.tally import mask_of

Array = NDArray[Any]
Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Batch:
    """Samples on their way through a program, on one thread. values: by node; active: by layer, [T, C, P], where counted."""

    plan: Plan
    samples: int
    schedule: Bools | None
    memory: Memory
    counted: bool
    values: dict[str, Held] = field(default_factory=dict)
    active: dict[str, Ints] = field(default_factory=dict)
    layouts: dict[tuple[int, ...], Layout] = field(default_factory=dict)
    packings: dict[str, Packing | None] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        return self.plan.graph.timesteps

    def layout(self, node: Node) -> Layout:
        """Where a node's values are."""
        shape = (1, *node.out.shape) if node.out.dtype == "mask" else node.out.shape
        if shape not in self.layouts:
            self.layouts[shape] = Layout(self.samples, shape, self.plan.border if len(shape) == 3 else 0)
        return self.layouts[shape]

    def dense(self, name: str) -> Ints:
        """A node's values as `compiler.walk` has them, [T, B, …]."""
        value = self.full(name).dense(self.steps)
        return value[:, :, 0] if self.plan.graph.nodes[name].out.dtype == "mask" else value

    def full(self, name: str) -> Held:
        """A node's values with all tokens."""
        value = self.values[name]
        return value if value.packing is None else unpacked(self, value, self.layout(self.plan.graph.nodes[name]))

    def packing(self, node: Node) -> Packing | None:
        """How the tokens of gated neurons, or of a gate, are packed; None where they are not. Counts need every neuron in its
        place."""
        graph = self.plan.graph
        mask = origin(node.inputs[-1], graph).name if isinstance(node, i.TokenGate) else mask_of(node, graph)
        if self.counted or not mask or len(node.out.shape) != 2:
            return None
        if mask not in self.packings:
            on = self.values[node.inputs[-1]].rows[:, 0]
            self.packings[mask] = packing_of(on, self.layout(node), self.steps)
        return self.packings[mask]

    def room(self, node: Node, dtype: type[Any] | None = None, clear: bool = False) -> Array:
        """Rows [T, C, lanes] for a node's values."""
        return rows_of(self.layout(node), self.steps, dtype or storage(node.out), self.memory, clear)


def lanes_of(rows: Array) -> Lanes:
    """Rows [T or 1, C, lanes] as the kernels take them; whoever calls keeps them alive."""
    return Lanes(rows.ctypes.data, rows.strides[0] if len(rows) > 1 else 0, rows.strides[1])


def gate_of(on: Array) -> Lanes:
    """Which lanes are routed, [T or 1, lanes], as the kernels take it."""
    return Lanes(on.ctypes.data, on.strides[0] if len(on) > 1 else 0, 0)


def routed_lanes(batch: Batch, node: Node) -> Array:
    """Lanes that hold a neuron whose token is routed, [T or 1, lanes]."""
    mask = mask_input(node)
    return batch.values[mask].rows[:, 0] if mask else batch.layout(node).valid


def unpacked(batch: Batch, x: Held, layout: Layout, base: Held | None = None) -> Held:
    """Packed values with all tokens: 0 where a token is not routed. base: bytes that they are added to."""
    assert x.packing is not None
    rows = rows_of(layout, batch.steps, x.rows.dtype.type, batch.memory, clear=x.rows.itemsize > 1)
    if x.rows.itemsize == 1:
        skips = batch.memory.array((layout.lanes // 16,), np.int64)
        sizes = (batch.steps, layout.shape[0], layout.lanes)
        added = lanes_of(base.rows) if base else Lanes(0, 0, 0)
        unpack_rows(lanes_of(x.rows), gate_of(x.packing.on), skips.ctypes.data, added, lanes_of(rows), *sizes)
        return Held(rows, layout)
    for t in range(batch.steps):
        rows[t][:, x.packing.on[t % len(x.packing.on)] != 0] = x.rows[t, :, : x.layout.used]
    return Held(rows, layout)


def as_words(batch: Batch, x: Held) -> Array:
    """Rows in int32."""
    return x.rows if x.rows.dtype == np.int32 else _copied(batch, x, len(x.rows), np.int32)


def all_steps(batch: Batch, x: Held) -> Array:
    """Rows [T, C, lanes] also where all timesteps are alike."""
    return x.rows if len(x.rows) == batch.steps else _copied(batch, x, batch.steps, x.rows.dtype.type)


def _copied(batch: Batch, x: Held, steps: int, dtype: type[Any]) -> Array:
    rows = rows_of(x.layout, steps, dtype, batch.memory)
    rows[...] = x.rows
    return rows
