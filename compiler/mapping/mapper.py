"""From a balanced graph and its spike rates to a mapping: partition, place, choose."""

from __future__ import annotations

from collections.abc import Iterator

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.axons import checked_axons
from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.fit import check_fit
from pumice.compiler.mapping.hypergraph import hypergraph_cores
from pumice.compiler.mapping.mapped import Mapped, best, placed
from pumice.compiler.mapping.partitions import layer_by_layer, packed
from pumice.compiler.mapping.traffic import traffic_of
from pumice.compiler.mapping.usage import Network, network_of
from pumice.compiler.options import MappingMethod
from pumice.compiler.spike_rates import Rates
from pumice.hwsim.spec import ChipSpec


def map_network(graph: Graph, chip: ChipSpec, rates: Rates, method: MappingMethod = "pumice") -> Mapped:
    """A mapping of a balanced graph. rates: per stream the messages of each neuron [C, P] per sample. Pumice's own is that of its
    partitions and placements whose messages travel least; the others put layer after layer on cores of its own, and place
    those as their names say. Raises DoesNotFit where the network does not fit the chips allowed, with every violation that is
    known before anything is cut."""
    network = network_of(graph, chip)
    check_fit(network)
    return checked_axons(network, lambda caps: best(candidates(network, rates, method, caps)))


def candidates(network: Network, rates: Rates, method: MappingMethod, caps: Caps) -> Iterator[Mapped]:
    """The mappings that a method chooses from."""
    if method == "pumice":
        for cores in packed(network, caps):
            yield placed(network, cores, traffic_of(cores, network, rates), "exchange")
        return
    if method == "mtkahypar":
        cores = hypergraph_cores(network, rates, caps)
        yield placed(network, cores, traffic_of(cores, network, rates), "hilbert+force")
        return
    cores = layer_by_layer(network, caps)
    yield placed(network, cores, traffic_of(cores, network, rates), method)
