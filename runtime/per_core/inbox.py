"""What has reached a core, and the streams that it sees in it: masks gate, and delays hold back, where the spikes arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.runtime.per_core.paths import held_back

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Inbox:
    """neurons: per sender, which of its neurons [n] (flattened) reach this core; the others are silent here. kept: how many
    frames of each sender are held. frames: those that came, by sender and number, [B, n]."""

    graph: Graph
    neurons: Mapping[str, Ints]
    kept: Mapping[str, int]
    frames: dict[tuple[str, int], NDArray[np.int32]] = field(default_factory=dict)

    def put(self, sender: str, number: int, places: NDArray[Any], values: NDArray[Any]) -> None:
        """A part of a sender's frame: `values` [B, k] of its neurons at `places` among those that reach this core."""
        if (sender, number) not in self.frames:
            self.frames[sender, number] = np.zeros((len(values), len(self.neurons[sender])), np.int32)
            self.frames.pop((sender, number - self.kept[sender]), None)
        self.frames[sender, number][:, places] = values

    def stream(self, name: str, number: int, samples: int) -> Ints:
        """A stream's frame [B, …]. number: of the frame, counted through samples of T frames each that follow one another."""
        node, t = self.graph.nodes[name], number % self.graph.timesteps
        match node:
            case i.StaticMask():
                return np.broadcast_to(node.masks[t], (samples, *node.out.shape)).astype(np.int64)
            case i.Delay():  # hidden: a core waits for what it computes with
                return self.stream(node.inputs[0], number, samples)
            case i.Reshape():
                return self.stream(node.inputs[0], number, samples).reshape(samples, *node.out.shape)
            case i.TokenGate():
                x, mask = (self.stream(before, number, samples) for before in node.inputs)
                return x * mask[:, None, :]
            case i.Past() | i.Feedback():
                return self._past(node, number, t, samples)
            case _:
                return self._sent(name, number, samples)

    def _sent(self, sender: str, number: int, samples: int) -> Ints:
        shape = self.graph.nodes[sender].out.shape
        frame = np.zeros((samples, int(np.prod(shape))), np.int64)
        if (sender, number) in self.frames:  # none where a sender has no living neuron for this core
            frame[:, self.neurons[sender]] = self.frames[sender, number]
        return frame.reshape(samples, *shape)

    def _past(self, node: i.Past | i.Feedback, number: int, t: int, samples: int) -> Ints:
        before, steps = held_back(node)
        out = np.zeros((samples, *node.out.shape), np.int64)
        for step in steps:
            if step <= t:
                out = np.where(node.steps == step, self.stream(before, number - step, samples), out)
        return out
