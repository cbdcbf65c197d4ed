"""Output axons: how many entries a core's neurons need for all cores that they reach, known once everything has its place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.mapped import Mapped
from pumice.compiler.mapping.traffic import Traffic
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Site
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import ChipSpec

ROUNDS = 12
RESOURCE = "output axons per core"


def output_axons(traffic: Traffic, sites: tuple[Site, ...], chip: ChipSpec) -> NDArray[np.int64]:
    """Output axon entries of each core [cores]: for each neuron and destination core one, two where it shares its channel's
    synapses there, and one more where the destination is on another chip; one each where the chip's costs are not published."""
    one, two, more = chip.discrete_axon_entries, chip.shared_axon_entries, chip.crossing_axon_entries
    entries = (traffic.senders - traffic.shared) * (1 if one is None else one) + traffic.shared * (
        1 if two is None else two
    )
    number = np.array([site.chip for site in sites], np.int64)
    entries = entries + traffic.senders * (number[traffic.source] != number[traffic.target]) * (more or 0)
    return np.bincount(traffic.source, entries, traffic.cores).astype(np.int64)


def checked_axons(network: Network, mapped: Callable[[Caps], Mapped]) -> Mapped:
    """The mapping under caps on the neurons of a core, lowered until every core has the output axons that it needs. Raises
    DoesNotFit where that does not end."""
    limit, caps = network.chip.output_axons_per_core, dict[str, int]()
    found = mapped(caps)
    if limit is None:
        return found
    for _ in range(ROUNDS):
        used = output_axons(found.traffic, found.mapping.sites, network.chip)
        if used.max(initial=0) <= limit:
            return found
        for core in np.flatnonzero(used > limit):
            for part in found.mapping.cores[core]:
                fewer = max(1, part.neurons * limit * 9 // (int(used[core]) * 10))
                caps[part.group] = min(caps.get(part.group, fewer), fewer)
        found = mapped(caps)
    core = int(np.argmax(used))
    names = ", ".join(sorted({part.group for part in found.mapping.cores[core]}))
    raise DoesNotFit(
        RESOURCE, int(used[core]), limit, f"core {core} ({names})", "use fewer, larger cores or pruned weights"
    )
