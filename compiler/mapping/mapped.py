"""A mapping with what it was chosen for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pumice.compiler.mapping.mesh import LinkLoads, places_of
from pumice.compiler.mapping.partitions import Cores
from pumice.compiler.mapping.placing.methods import Placement, place
from pumice.compiler.mapping.score import Score, loads, score
from pumice.compiler.mapping.traffic import Traffic
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import CoreMapping
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True, eq=False)
class Mapped:
    """A mapping with the traffic that it was chosen for."""

    mapping: CoreMapping
    traffic: Traffic
    score: Score

    def link_loads(self, chip: ChipSpec) -> LinkLoads:
        """Messages per sample over each link."""
        return loads(self.traffic, places_of(self.mapping.sites, chip))


def best(candidates: Iterable[Mapped]) -> Mapped:
    """The mapping that costs least; the first of equals."""
    return min(candidates, key=lambda mapped: mapped.score.cost)


def placed(network: Network, cores: Cores, traffic: Traffic, method: Placement, seed: int = 0) -> Mapped:
    """A partition at the sites that a placement chooses."""
    synapses = [sum(part.synapses for part in core) for core in cores]
    sites = place(method, traffic, synapses, network.chip, seed)
    return Mapped(CoreMapping(cores, sites, network.layouts), traffic, score(traffic, places_of(sites, network.chip)))
