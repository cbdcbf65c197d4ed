"""How much of its limits a mapping uses: of each published one, and of each core's binding one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pumice.compiler.mapping.axons import RESOURCE, output_axons
from pumice.compiler.mapping.traffic import Traffic, traffic_of
from pumice.compiler.mapping.usage import Network, utilisation
from pumice.compiler.program import CoreMapping, Slice

Shares = dict[str, float]


def mean_shares(mapping: CoreMapping, network: Network, traffic: Traffic | None = None) -> Shares:
    """Mean share of each published limit of a core that is used; `binding`: of the limit of which each core uses most.

    `binding_mean` is the latter without the cores that are not full only because nothing was left to put there: where no core
    holds two layers, the last core of each layer, as NxTF counts (arXiv 2101.04261); else the network's last core alone. Where
    no core is left, it is `binding`. Fractions. traffic: the mapping's; counted again where it is not given and needed.
    """
    found = core_shares(mapping, network, traffic)
    means = {resource: float(np.mean([shares[resource] for shares in found])) for resource in found[0]}
    binding = [max(shares.values()) for shares in found]
    left_out = last_cores(mapping.cores)
    full = [share for core, share in enumerate(binding) if core not in left_out]
    return means | {"binding": float(np.mean(binding)), "binding_mean": float(np.mean(full or binding))}


def core_shares(mapping: CoreMapping, network: Network, traffic: Traffic | None = None) -> list[Shares]:
    """Of each core, the share of each published limit that it uses."""
    found = [{name: used / limit for name, used, limit in utilisation(core, network)} for core in mapping.cores]
    limit = network.chip.output_axons_per_core
    if limit is None:
        return found
    sent = output_axons(traffic or traffic_of(mapping.cores, network, {}), mapping.sites, network.chip)
    return [shares | {RESOURCE: int(used) / limit} for shares, used in zip(found, sent, strict=True)]


def last_cores(cores: Sequence[Sequence[Slice]]) -> set[int]:
    """The cores that are last of their layer, where every core holds one layer only; else the last one."""
    layers = [{part.group for part in core} for core in cores]
    if any(len(held) > 1 for held in layers):
        return {len(cores) - 1}
    return set({name: index for index, held in enumerate(layers) for name in held}.values())
