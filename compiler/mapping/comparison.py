"""Every mapping method on the same network, side by side: what its messages travel, what it takes, how long it needs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import get_args

from pumice.compiler.ir import Graph
from pumice.compiler.mapping.axons import checked_axons
from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.fit import check_fit
from pumice.compiler.mapping.mapped import Mapped, best, placed
from pumice.compiler.mapping.mapper import candidates
from pumice.compiler.mapping.placing.methods import Placement
from pumice.compiler.mapping.shares import mean_shares
from pumice.compiler.mapping.usage import Network, network_of
from pumice.compiler.options import MappingMethod
from pumice.compiler.spike_rates import Rates
from pumice.errors import DoesNotFit, PumiceError
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress

METHODS: tuple[MappingMethod, ...] = get_args(MappingMethod)
OF_THE_FIELD: tuple[Placement, ...] = ("sequential", "random", "greedy", "hilbert", "hilbert+force")
ABLATED: tuple[Placement, ...] = ("sequential", "hilbert", "hilbert+force", "greedy")
STEPS = len(METHODS) + len(ABLATED)


@dataclass(frozen=True, eq=False)
class Row:
    """One method. seconds: from the balanced graph and its rates to the mapping. shares: see `shares.mean_shares`. refused: why
    there is no mapping, None where there is one."""

    method: str
    seconds: float
    mapped: Mapped | None = None
    shares: Mapping[str, float] = field(default_factory=dict)
    refused: PumiceError | None = None


@dataclass(frozen=True, eq=False)
class Comparison:
    """rows: every method. ablation: placements of the field on the partition of Pumice, so that what differs from `rows` comes
    from the partition alone; their seconds hold Pumice's own mapping."""

    rows: tuple[Row, ...]
    ablation: tuple[Row, ...]


def compare(graph: Graph, chip: ChipSpec, rates: Rates, progress: Progress = no_progress) -> Comparison:
    """All methods on a balanced graph. rates: per stream the messages of each neuron [C, P] per sample. What several methods
    share is computed once, and counts in the seconds of each. Raises DoesNotFit where no method can succeed."""
    bases = {"mtkahypar": _base(graph, chip, rates, "mtkahypar"), "pumice": _base(graph, chip, rates, "pumice")}
    bases |= dict.fromkeys(OF_THE_FIELD, _base(graph, chip, rates, "sequential"))
    rows, ablation = [], []
    for method in METHODS:
        rows.append(_row(method, bases[method], method if method in OF_THE_FIELD else None))
        progress(len(rows), STEPS)
    for placement in ABLATED:
        ablation.append(_row(placement, bases["pumice"], placement))
        progress(len(rows) + len(ablation), STEPS)
    return Comparison(tuple(rows), tuple(ablation))


def map_by(method: MappingMethod, graph: Graph, chip: ChipSpec, rates: Rates) -> Row:
    """One method alone, as `compare` has it. Raises DoesNotFit where no method can succeed."""
    return _row(method, _base(graph, chip, rates, method), None)


Made = tuple[Mapped | DoesNotFit, float]


@dataclass(frozen=True, eq=False)
class Base:
    """Mappings that several methods start from, made once for the same caps. begun: seconds to get the network ready and to
    check that it can fit at all."""

    network: Network
    begun: float
    make: Callable[[Caps], Mapped]
    made: dict[tuple[tuple[str, int], ...], Made] = field(default_factory=dict)

    def under(self, caps: Caps) -> tuple[Mapped, float]:
        """The mapping under caps, and the seconds saved because it was there. Raises DoesNotFit, again where it did before."""
        key = tuple(sorted(caps.items()))
        saved = self.made[key][1] if key in self.made else 0.0
        if key not in self.made:
            self.made[key] = _timed(self.make, caps)
        found = self.made[key][0]
        if isinstance(found, DoesNotFit):
            raise found
        return found, saved


def _timed(make: Callable[[Caps], Mapped], caps: Caps) -> Made:
    started = time.perf_counter()
    try:
        found: Mapped | DoesNotFit = make(caps)
    except DoesNotFit as refused:
        found = refused
    return found, time.perf_counter() - started


def _base(graph: Graph, chip: ChipSpec, rates: Rates, method: MappingMethod) -> Base:
    started = time.perf_counter()
    network = network_of(graph, chip)
    check_fit(network)
    begun = time.perf_counter() - started
    return Base(network, begun, lambda caps: best(candidates(network, rates, method, caps)))


def _row(method: str, base: Base, placement: Placement | None) -> Row:
    """A method's mapping: its base, or the base's partition placed anew."""
    saved = [base.begun]

    def mapped(caps: Caps) -> Mapped:
        found, seconds = base.under(caps)
        saved.append(seconds)
        return found if placement is None else placed(base.network, found.mapping.cores, found.traffic, placement)

    started = time.perf_counter()
    try:
        found = checked_axons(base.network, mapped)
    except PumiceError as refused:
        return Row(method, time.perf_counter() - started + sum(saved), refused=refused)
    seconds = time.perf_counter() - started + sum(saved)
    return Row(method, seconds, found, mean_shares(found.mapping, base.network, found.traffic))
