"""The wires of a flat NIR graph: what feeds what, with one step of delay in every cycle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import nir
import numpy as np

from pumice.compiler.importing.cycles import Edge, cut_cycles, loops
from pumice.compiler.importing.nested import FlatGraph
from pumice.compiler.importing.neurons import NEURONS
from pumice.compiler.importing.nodes import Site
from pumice.compiler.importing.readings import Reading
from pumice.compiler.importing.said import own_reading, reading_of
from pumice.compiler.ir import Change
from pumice.errors import UnsupportedNode


@dataclass(frozen=True, eq=False)
class Wires:
    """sources: for each node what feeds it; where a cycle was cut, the name of the value one step late. late: for each such name
    the node whose value it is. held: Delays that close a cycle by themselves. changes: what was put in, for the log."""

    sources: Mapping[str, tuple[str, ...]]
    late: Mapping[str, str]
    held: frozenset[str]
    changes: tuple[Change, ...]


def lay_wires(flat: FlatGraph, reading: Reading | None) -> Wires:
    """The wires of `flat`. Raises UnsupportedNode for a cycle without a delay where the reading has no step for it."""
    held = _held(flat, reading)
    open_ends = {name: () if name in held else found for name, found in flat.sources.items()}
    left = loops(open_ends)
    if not left or reading is None:  # without a reading, sorting the nodes finds the cycle
        return Wires(flat.sources, {}, held, ())
    if reading.recurrence == "none":
        names = " → ".join(repr(n) for n in sorted(left[0])[:4])
        raise UnsupportedNode(
            f"node {min(left[0])!r} lies on a cycle without a delay ({names})",
            f"the reading {reading.name!r} has none; give --recurrence zero or bias, or put a Delay in the cycle",
        )
    bias = reading.recurrence == "bias"
    cut = cut_cycles(open_ends, flat.named(nir.Input), lambda n: isinstance(flat.nodes[n], NEURONS), bias)
    late = {_late_name(source, flat): source for source, _ in sorted(cut)}
    sources = {
        name: tuple(_late_name(s, flat) if (s, name) in cut else s for s in found)
        for name, found in flat.sources.items()
    }
    return Wires(sources, late, held, tuple(_change(edge, reading) for edge in sorted(cut)))


def reading_here(flat: FlatGraph, site: Site, reading: Reading | None) -> Reading | None:
    """What a node means: `reading` with the node's own words; without one, the node's own words where they are enough."""
    node, entry = flat.nodes[site.name], flat.entries[site.name]
    meaning = reading or own_reading(node, entry)
    return meaning and reading_of(entry.attributes if entry else {}, meaning, site)


def _held(flat: FlatGraph, reading: Reading | None) -> frozenset[str]:
    """The Delays of a step or more on cycles."""
    looping = frozenset().union(*loops(flat.sources))
    return frozenset(n for n in flat.named(nir.Delay) if n in looping and _holds(n, flat, reading))


def _holds(name: str, flat: FlatGraph, reading: Reading | None) -> bool:
    meaning = reading_here(flat, Site(name, (), ()), reading)
    return meaning is not None and bool(np.all(np.rint(np.asarray(flat.nodes[name].delay) / meaning.dt) >= 1))


def _late_name(source: str, flat: FlatGraph) -> str:
    name = f"{source}.previous"
    while name in flat.nodes:
        name += "_step"
    return name


def _change(edge: Edge, reading: Reading) -> Change:
    source, target = edge
    text = f"{target}: {source!r} reaches it one timestep late, 0 in the first step (recurrence {reading.recurrence!r})"
    return Change("import-nir", target, text, {"from": source, "to": target, "steps": 1})
