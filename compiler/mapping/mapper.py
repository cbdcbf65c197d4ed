"""From a balanced graph and its spike rates to a mapping: partition, place, choose."""

from __future__ import annotations

from collections.abc import Iterator

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.axons import checked_axons
from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.mapped import Mapped, best, placed
from pumice.compiler.mapping.partitions import packed
from pumice.compiler.mapping.traffic import Rates, traffic_of
from pumice.compiler.mapping.usage import Network, network_of
from pumice.hwsim.spec import ChipSpec


def map_network(graph: Graph, chip: ChipSpec, rates: Rates) -> Mapped:
    """Pumice's mapping of a balanced graph: the partition and placement whose messages travel least. rates: per stream the
    messages of each neuron [C, P] per sample. Raises DoesNotFit where the network does not fit the chips allowed."""
    network = network_of(graph, chip)
    return checked_axons(network, lambda caps: best(_candidates(network, rates, caps)))


def _candidates(network: Network, rates: Rates, caps: Caps) -> Iterator[Mapped]:
    for cores in packed(network, caps):
        yield placed(network, cores, traffic_of(cores, network, rates), "exchange")
