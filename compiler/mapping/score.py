"""How good a placement is: what its messages travel, and how evenly they load the mesh."""

from __future__ import annotations

from dataclasses import dataclass

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


def score(traffic: Traffic, places: Places) -> Score:
    """The score of a placement. places: of the cores."""
    away = traffic.source != traffic.target
    a, b, messages = traffic.source[away], traffic.target[away], traffic.messages[away]
    across, down, between = places.hops(a, b)
    hops = float(((across + down + between) * messages).sum())
    return Score(
        hops, float((between * messages).sum()), link_loads(places, a, b, messages).largest, float(messages.sum())
    )


def loads(traffic: Traffic, places: Places) -> LinkLoads:
    """The load of every link of a placement. places: of the cores."""
    return link_loads(places, traffic.source, traffic.target, traffic.messages)
