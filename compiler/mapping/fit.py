"""The fit check: before anything is mapped, every limit that a network exceeds however it is cut, and what would make it fit.

A layer that exceeds a core as a whole is no violation: it is cut. `oversized` tells of those, and what became of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from pumice.compiler.ir import Change
from pumice.compiler.mapping.finest import finest
from pumice.compiler.mapping.needs import needs_of
from pumice.compiler.mapping.remedies import for_network, for_slice
from pumice.compiler.mapping.usage import Network, Use, violations
from pumice.compiler.program import CoreMapping
from pumice.errors import DoesNotFit, Violation


@dataclass(frozen=True)
class Oversized:
    """A layer that no core holds as a whole. exceeded: the limits, with used and limit, of which the first binds most. pieces: of
    channels that it was cut into; cores: that hold it."""

    layer: str
    source: str
    exceeded: tuple[Use, ...]
    pieces: int
    cores: int


def check_fit(network: Network) -> None:
    """Raises DoesNotFit with every limit that a layer's finest slice exceeds, and with the chips that the whole network needs at
    least where those are too many."""
    found = [*_layers(network), *_chips(network)]
    if not found:
        return
    first, *further = (violation for violation, _ in found)
    hint = "; ".join(dict.fromkeys(hint for _, hint in found))
    raise DoesNotFit(first.resource, first.used, first.limit, first.where, hint, tuple(further))


def _layers(network: Network) -> Iterator[tuple[Violation, str]]:
    for name, group in network.groups.items():
        item = finest(network, name)
        if item is None:
            continue
        part = network.slice_of(name, item.channels, item.positions)
        where = f"layer {name!r} (from {group.neurons.source!r}), one neuron alone"
        uses = list(violations([part], network))
        if network.chip.synapses_per_chip is not None and part.synapses > network.chip.synapses_per_chip:
            uses.append(("synapses per chip", part.synapses, network.chip.synapses_per_chip))
        yield from ((Violation(*use, where), for_slice(network, item, *use)) for use in uses)


def _chips(network: Network) -> Iterator[tuple[Violation, str]]:
    chip, needs = network.chip, needs_of(network)
    exceeded = {what: chips for what, chips in needs.chips(chip).items() if chips > chip.max_chips}
    where = f"the whole network (at least {needs.cores(chip):,} cores)"
    hint = ", or ".join(for_network(network, needs)) if exceeded else ""
    for what, chips in exceeded.items():
        yield Violation(f"chips for its {what}", chips, chip.max_chips, where), hint


def oversized(network: Network, mapping: CoreMapping) -> list[Oversized]:
    """The layers that no core holds as a whole, in program order, with what a mapping made of them."""
    found, slices = [], mapping.slices_of()
    for name, held in ((name, slices[name]) for name in network.groups if name in slices):
        channels, positions = network.layouts[name].extent
        whole = [network.slice_of(name, (0, channels), (0, positions))]
        exceeded = sorted(violations(whole, network), key=lambda use: -use[1] / use[2])
        if exceeded:
            pieces, cores = {part.channels for _, part in held}, {core for core, _ in held}
            source = network.groups[name].neurons.source
            found.append(Oversized(name, source, tuple(exceeded), len(pieces), len(cores)))
    return found


def fit_changes(network: Network, mapping: CoreMapping) -> list[Change]:
    """What the log says of layers that no core holds as a whole: one line, with the numbers of all of them."""
    found = oversized(network, mapping)
    if not found:
        return []
    most = max(found, key=lambda layer: layer.exceeded[0][1] / layer.exceeded[0][2])
    resource, used, limit = most.exceeded[0]
    text = (
        f"{len(found)} of {len(network.groups)} layers are larger than a core and were cut: most of all {most.layer}, "
        f"{resource} {used:,}/{limit:,}, on {most.cores:,} cores"
    )
    return [Change("fit", most.layer, text, {"layers": [asdict(layer) for layer in found]})]
