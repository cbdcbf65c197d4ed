"""Output axons: how many entries a core's neurons need for all cores that they reach, known once everything has its place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.mapped import Mapped
from pumice.compiler.mapping.traffic import Traffic, arrivals, owners_of
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import CoreMapping, Site, Slice
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import ChipSpec

Ints = NDArray[np.int64]
ROUNDS = 12
RESOURCE = "output axons per core"


def output_axons(traffic: Traffic, sites: tuple[Site, ...], chip: ChipSpec) -> Ints:
    """Output axon entries of each core [cores]: for each neuron and destination core one, two where it shares its channel's
    synapses there, and one more where the destination is on another chip; one each where the chip's costs are not published."""
    own, shared, crossing = costs(chip)
    number = np.array([site.chip for site in sites], np.int64)
    entries = (traffic.senders - traffic.shared) * own + traffic.shared * shared
    entries = entries + traffic.senders * (number[traffic.source] != number[traffic.target]) * crossing
    return np.bincount(traffic.source, entries, traffic.cores).astype(np.int64)


def costs(chip: ChipSpec) -> tuple[int, int, int]:
    """Entries of a neuron for a destination core: with synapses of its own, with shared ones, and added between chips."""
    own, shared = chip.discrete_axon_entries, chip.shared_axon_entries
    return 1 if own is None else own, 1 if shared is None else shared, chip.crossing_axon_entries or 0


def entries_of_groups(mapping: CoreMapping, network: Network) -> dict[str, Ints]:
    """The same by group: of the neurons of each group, on each core [cores]."""
    own, shared, crossing = costs(network.chip)
    owners, number = owners_of(mapping.cores, network), np.array([site.chip for site in mapping.sites], np.int64)
    found = {name: np.zeros(len(mapping.cores), np.int64) for name in network.groups}
    for target, core in enumerate(mapping.cores):
        for arrival in arrivals(core, network):
            if arrival.sender in owners:
                owner = owners[arrival.sender].reshape(-1)[arrival.neurons]
                sent = np.bincount(owner[owner >= 0], minlength=len(number))
                each = (shared if arrival.format.startswith("shared") else own) + (number != number[target]) * crossing
                found[arrival.sender] += sent * each
    return found


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
        entries = entries_of_groups(found.mapping, network)
        for core in np.flatnonzero(used > limit):
            own = {part.group: int(entries[part.group][core]) for part in found.mapping.cores[core]}
            for name, fewer in _fewer(found.mapping.cores[core], own, limit * 9 // 10).items():
                caps[name] = min(caps.get(name, fewer), fewer)
        found = mapped(caps)
    core = int(np.argmax(used))
    names = ", ".join(sorted({part.group for part in found.mapping.cores[core]}))
    raise DoesNotFit(
        RESOURCE, int(used[core]), limit, f"core {core} ({names})", "use fewer, larger cores or pruned weights"
    )


def _fewer(core: Sequence[Slice], entries: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many neurons of which groups may stay on a core. entries: of each group there. Those with most entries leave first: a
    group with few of them would only take more cores to reach."""
    over, fewer = sum(entries.values()) - limit, dict[str, int]()
    for name, own in sorted(entries.items(), key=lambda item: -item[1]):
        if over <= 0:
            break
        neurons = sum(part.neurons for part in core if part.group == name)
        fewer[name] = max(1, neurons * max(0, own - over) // own)
        over -= own
    return fewer
