"""How good a placement is: what its messages travel, and how evenly they load the mesh."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.mesh import LinkLoads, Places, link_loads
from pumice.compiler.mapping.traffic import Traffic


@dataclass(frozen=True)
class Score:
    """Per sample. spike_hops: messages times the links that they cross, those between chips among them. crossings: times links
    between chips. max_link_load: messages over the busiest link. messages: between different cores."""

    spike_hops: float
    crossings: float
    max_link_load: float
    messages: float

    @property
    def cost(self) -> tuple[float, float]:
        """What Pumice minimises: the way of all messages, a link between chips counted twice; then the busiest link."""
        return self.spike_hops + self.crossings, self.max_link_load


def score(traffic: Traffic, places: Places, site: NDArray[np.int64]) -> Score:
    """The score of a placement. site: of each core, an index into `places`."""
    away = traffic.source != traffic.target
    a, b, messages = site[traffic.source[away]], site[traffic.target[away]], traffic.messages[away]
    across, down, between = places.hops(a, b)
    hops = float(((across + down + between) * messages).sum())
    return Score(
        hops, float((between * messages).sum()), link_loads(places, a, b, messages).largest, float(messages.sum())
    )


def loads(traffic: Traffic, places: Places, site: NDArray[np.int64]) -> LinkLoads:
    """The load of every link of a placement."""
    return link_loads(places, site[traffic.source], site[traffic.target], traffic.messages)
