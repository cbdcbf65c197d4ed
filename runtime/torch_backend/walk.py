"""A walk over the integer graph on torch: `compiler.walk` on a device. Values are freed after their last reader."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.loops import parts, runs_at_once
from pumice.compiler.walk import last_readers
from pumice.runtime.torch_backend.network import Loaded
from pumice.runtime.torch_backend.neurons import State, run
from pumice.runtime.torch_backend.operations import static_mask
from pumice.runtime.torch_backend.values import new_values


@dataclass(frozen=True, eq=False)
class Walk:
    """frames: [T, B, …]; schedule: [T, B, blocks, N] where masks come with the samples. counts: whether active neurons are
    counted. values [T, B, …]: of the nodes that are still to be read; active [T, C, …]: as `compiler.walk.walk` returns them."""

    network: Loaded
    frames: Tensor
    schedule: Tensor | None = None
    counts: bool = False
    values: dict[str, Tensor] = field(default_factory=dict)
    active: dict[str, Tensor] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)

    def through(self, see: Callable[[Node, Walk], None]) -> None:
        """All nodes, each shown once, while its value and those that it read are there."""
        order = parts(self.network.graph)
        last = last_readers(order)
        for at, part in enumerate(order):
            self._run_part(part)
            for node in part:
                see(node, self)
            for name in [name for name in self.values if last[name] == at]:
                del self.values[name]
                self.states.pop(name, None)

    def _run_part(self, part: list[Node]) -> None:
        if runs_at_once(part):
            self._run(part[0], slice(None))
            return
        for t in range(self.network.graph.timesteps):
            for node in part:
                self._run(node, slice(t, t + 1))

    def _run(self, node: Node, when: slice) -> None:
        """One node over the timesteps `when`: all of them, or the next one of a cycle."""
        inputs = [self.values[name][when] for name in node.inputs]
        if isinstance(node, i.IntLif | i.Programmable):
            self._run_neurons(node, inputs, when)
            return
        self._store(node, when, self._value(node, inputs, when))
        if self.counts and node.name in self.network.active:
            found = self.network.active[node.name](inputs, self.values[node.name][when])
            self._room(self.active, node, (), torch.int64)[when] = found

    def _value(self, node: Node, inputs: list[Tensor], when: slice) -> Tensor:
        match node:
            case i.GradedInput():
                return self.frames[when]
            case i.StaticMask():
                return static_mask(node, self.frames.shape[1], self.network.device)[when]
            case i.GivenMask():
                assert self.schedule is not None
                return self.schedule[when, :, node.block, : node.out.shape[0]]
            case i.Past() | i.Feedback():
                return self._past(node, when)
            case _:
                return self.network.operations[node.name](inputs)

    def _run_neurons(self, node: i.IntLif | i.Programmable, inputs: list[Tensor], when: slice) -> None:
        cell, dtype = self.network.cells[node.name], self.network.types[node.name]
        if node.name not in self.states:
            self.states[node.name] = cell.begin(inputs[0][0])
        sent = self._room(self.values, node, (self.frames.shape[1],), dtype)
        active = self._room(self.active, node, (), torch.int64) if self.counts else None
        active = None if active is None else active[when]
        self.states[node.name] = run(cell, inputs, self.states[node.name], sent[when], active)

    def _past(self, node: i.Past | i.Feedback, when: slice) -> Tensor:
        """As `loops.past` of every timestep."""
        of = self.values.get(node.of if isinstance(node, i.Feedback) else node.inputs[0])
        steps = range(self.network.graph.timesteps)[when]
        out = self._new(node, (len(steps), self.frames.shape[1]), self.network.types[node.name]).zero_()
        for place, t in enumerate(steps):
            for delay, which in self.network.late[node.name]:
                if of is not None and delay <= t:
                    out[place] = torch.where(which, of[t - delay].to(out.dtype), out[place])
        return out

    def _store(self, node: Node, when: slice, value: Tensor) -> None:
        value = value.to(self.network.types[node.name])
        if when == slice(None):
            self.values[node.name] = value
        else:
            self._room(self.values, node, (self.frames.shape[1],), value.dtype)[when] = value

    def _room(self, kept: dict[str, Tensor], node: Node, samples: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """What is kept of a node over all timesteps, new where it has nothing yet."""
        if node.name not in kept:
            kept[node.name] = self._new(node, (self.network.graph.timesteps, *samples), dtype)
        return kept[node.name]

    def _new(self, node: Node, lead: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        return new_values(lead, node.out.shape, dtype, self.network.device)
