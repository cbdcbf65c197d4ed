"""Who sent messages to whom in a run: messages of each timestep from core to core, by the layer that sent them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Flows:
    """layers[f]'s neurons on core source[f] sent messages[f] [F, T] to core target[f], summed over samples; source and target
    may be one core. Every pair that synapses join is there, also where nothing was sent."""

    layers: tuple[str, ...]
    source: Ints
    target: Ints
    messages: Floats

    def rolled(self, depth: Iterable[int]) -> Floats:
        """Messages [F, T] at the steps of a pipeline in which flow f's sender trails the input by depth[f] steps."""
        steps = self.messages.shape[1]
        order = (np.arange(steps) - np.fromiter(depth, np.int64, len(self.layers))[:, None]) % max(steps, 1)
        return np.take_along_axis(self.messages, order, axis=1)


def no_flows() -> Flows:
    """The flows of a run in which no core sends anything."""
    none = np.zeros(0, np.int64)
    return Flows((), none, none, np.zeros((0, 0)))


def flows_of(layers: Sequence[str], source: Ints, target: Ints, messages: Floats) -> Flows:
    """Flows from entries of which several may be of one layer and pair of cores: those are added up."""
    if not layers:
        return no_flows()
    names, layer = np.unique(np.array(layers), return_inverse=True)
    keys, entry = np.unique(np.stack([target, source, layer]), axis=1, return_inverse=True)
    total = np.zeros((keys.shape[1], messages.shape[1]))
    np.add.at(total, entry, messages)
    return Flows(tuple(str(names[k]) for k in keys[2]), keys[1], keys[0], total)
