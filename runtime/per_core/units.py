"""What works in each step: cores, and beside them the scorers of live masks. Each sends one vector a step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph
from pumice.hwsim.scoring import keep_top, step_scores, tokens_kept
from pumice.runtime.per_core.inbox import Inbox
from pumice.runtime.per_core.slices import Part

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pick:
    """What a unit takes of a vector that reaches it: the values at `index` are those of a sender's neurons, at `places` among the
    ones that the unit reads. lag: of the sender."""

    sender: str
    index: Ints
    places: Ints
    lag: int


@dataclass(frozen=True, eq=False)
class Link:
    """The vector of another unit, or of the unit itself."""

    source: str
    picks: tuple[Pick, ...]


@dataclass(frozen=True, eq=False)
class Segment:
    """The place of a layer's neurons (flattened) in a unit's vector, and the layer's lag: its frame t stands there in the vector
    that the unit sends in step lag + t."""

    node: str
    start: int
    neurons: Ints
    lag: int

    @property
    def end(self) -> int:
        return self.start + len(self.neurons)


@dataclass(frozen=True, eq=False)
class Unit:
    """links: what reaches it, in the order in which `step` takes it. parts: slices, one for each segment; or the one scorer."""

    name: str
    graph: Graph
    inbox: Inbox
    links: tuple[Link, ...]
    segments: tuple[Segment, ...]
    parts: tuple[Part, ...] | i.LiveMask
    states: dict[int, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Values in its vector."""
        return self.segments[-1].end

    def step(self, step: int, received: Sequence[NDArray[Any]], samples: int = 1) -> NDArray[np.int32]:
        """What the unit sends in the next step, [B, size], from what has reached it in this one, [B, …] for each link. samples:
        B, computed side by side; in each place others may follow one another, a frame a step."""
        for link, vector in zip(self.links, received, strict=True):
            for pick in link.picks:
                if step >= pick.lag:
                    self.inbox.put(pick.sender, step - pick.lag, pick.places, vector[:, pick.index])
        out = np.zeros((samples, self.size), np.int32)
        for index, segment in enumerate(self.segments):
            number = step - segment.lag + 1
            if number >= 0:
                out[:, segment.start : segment.end] = self._compute(index, number, samples).reshape(samples, -1)
        return out

    def _compute(self, index: int, number: int, samples: int) -> Ints:
        first = number % self.graph.timesteps == 0
        before = None if first else self.states.get(index)
        if isinstance(self.parts, i.LiveMask):
            return self._scored(self.parts, number, samples, before)
        value, self.states[index] = self.parts[index].compute(
            lambda name: self.inbox.stream(name, number, samples), before
        )
        return value

    def _scored(self, node: i.LiveMask, number: int, samples: int, before: Ints | None) -> Ints:
        x = self.inbox.stream(node.inputs[0], number, samples)
        x = x.reshape(*x.shape[:2], *node.grid)
        scores = step_scores(x, before, node.criterion, node.block, number % self.graph.timesteps)
        self.states[0] = x
        return keep_top(scores, tokens_kept(node.retention, *node.grid, node.criterion.rule)).astype(np.int64)
