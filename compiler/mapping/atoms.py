"""Atoms: the pieces that a hypergraph partitioner moves between cores, and which cores they can be on together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.pieces import Item, measured_limits, most_that, pieces_of, ranges
from pumice.compiler.mapping.usage import Network, violations
from pumice.compiler.program import Slice

ATOMS_A_CORE = 8  # at least, where one position of a layer is not larger
MOST_ATOMS = 20_000  # a partitioner's time grows with them


def atoms_of(network: Network, caps: Caps) -> list[Item]:
    """Each group, in program order, in pieces of up to an eighth of a core's neurons; larger where they would be too many."""
    groups = {name: pieces_of(network, name) for name in network.groups}
    neurons = sum(item.neurons for items in groups.values() for item in items)
    size = max(network.chip.neurons_per_core // ATOMS_A_CORE, -(-neurons // MOST_ATOMS))
    most = {name: min(size, caps.get(name, size)) for name in groups}
    return [atom for name, items in groups.items() for item in items for atom in _cut(item, most[name])]


def _cut(item: Item, size: int) -> Iterator[Item]:
    """An item in parts of about equal size, of up to `size` neurons where one row of it is not larger."""
    start, end = item.along
    rows = max(1, size * (end - start) // item.neurons)
    parts = -(-(end - start) // rows)
    yield from (item.part(start + a, start + b) for a, b in ranges(end - start, parts))


@dataclass(frozen=True, eq=False)
class Room:
    """What may be on a core: the chip's limits, and caps on the neurons of single groups."""

    network: Network
    caps: Mapping[str, int]

    def holds(self, atoms: Iterable[Item]) -> bool:
        """Whether a core can hold these atoms."""
        atoms = list(atoms)
        if sum(item.neurons for item in atoms) > self.network.chip.neurons_per_core or self._above_caps(atoms):
            return False
        if not measured_limits(self.network):
            return True
        return not any(True for _ in violations(slices_of(atoms, self.network), self.network))

    def fitting(self, atoms: Iterable[Item], item: Item) -> int:
        """How many rows of an item, from its start, a core with `atoms` can hold too."""
        held, (start, end) = list(atoms), item.along
        return most_that(lambda rows: self.holds([*held, item.part(start, start + rows)]), end - start)

    def _above_caps(self, atoms: Iterable[Item]) -> bool:
        """A cap leaves room for one row of a group at least."""
        held: dict[str, int] = {}
        row: dict[str, int] = {}
        for atom in atoms:
            if atom.group in self.caps:
                held[atom.group] = held.get(atom.group, 0) + atom.neurons
                row[atom.group] = max(row.get(atom.group, 0), atom.neurons // (atom.along[1] - atom.along[0]))
        return any(count > max(self.caps[name], row[name]) for name, count in held.items())


def slices_of(atoms: Iterable[Item], network: Network) -> tuple[Slice, ...]:
    """The slices that a core's atoms make, measured."""
    return tuple(item.slice_in(network) for item in merged(atoms))


def merged(atoms: Iterable[Item]) -> list[Item]:
    """Neighbouring atoms of a group as one item each, the rest as they are; groups in the order in which they come first."""
    atoms = list(atoms)
    rank = {atom.group: place for place, atom in reversed(list(enumerate(atoms)))}
    found: list[Item] = []
    for atom in sorted(atoms, key=lambda atom: (rank[atom.group], atom.fixed, atom.along)):
        if found and _follows(found[-1], atom):
            found[-1] = found[-1].part(found[-1].along[0], atom.along[1])
        else:
            found.append(atom)
    return found


def _follows(before: Item, atom: Item) -> bool:
    return before.along[1] == atom.along[0] and before.part(*atom.along) == atom
