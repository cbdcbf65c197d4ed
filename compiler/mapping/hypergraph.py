"""The field's hypergraph partitioning, to compare with: Mt-KaHyPar cuts as few messages between cores as it can.

Atoms of neurons are vertices. Each atom has a hyperedge to all atoms that its spikes reach, as heavy as its messages; the sum
over hyperedges of (cores reached - 1) times weight is then what the cores send each other. Source: Gottesbüren et al., "Scalable
High-Quality Hypergraph Partitioning", ACM TALG 2024. Its blocks may exceed a core a little, and it knows of neurons alone: what
a core cannot hold moves to one that has room.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.mapping.atoms import Room, atoms_of, slices_of
from pumice.compiler.mapping.fill import Caps
from pumice.compiler.mapping.partitions import Cores
from pumice.compiler.mapping.pieces import Item, check_fits
from pumice.compiler.mapping.traffic import Traffic, traffic_of
from pumice.compiler.mapping.usage import Network
from pumice.compiler.spike_rates import Rates
from pumice.errors import BackendUnavailable

IMBALANCE = 0.03  # how far the partitioner's blocks may exceed the mean, before the repair
SEED = 0
Ints = NDArray[np.int64]


def hypergraph_cores(network: Network, rates: Rates, caps: Caps) -> Cores:
    """A partition by Mt-KaHyPar, repaired to the chip's limits; the same on every run. Cores stand in the order of the layers
    that they hold. More cores than neurons ask for are opened only where the other limits leave no room.

    Raises BackendUnavailable without the package mtkahypar, DoesNotFit for a neuron that exceeds a core alone.
    """
    atoms = atoms_of(network, caps)
    traffic = traffic_of([slices_of([atom], network) for atom in atoms], network, rates)
    blocks = -(-sum(item.neurons for item in atoms) // network.chip.neurons_per_core)
    block = partitioned(atoms, traffic, blocks)
    cores = repaired(atoms, block, traffic, Room(network, caps))
    return tuple(slices_of(core, network) for core in cores)


def partitioned(atoms: Sequence[Item], traffic: Traffic, blocks: int) -> Ints:
    """The block of each atom, as Mt-KaHyPar cuts them into so many of about equal neurons."""
    if blocks == 1:
        return np.zeros(len(atoms), np.int64)
    try:
        import mtkahypar
    except ImportError as error:
        hint = "pip install 'pumice[mapping]', or choose another mapping"
        raise BackendUnavailable("the mapping 'mtkahypar' needs the package mtkahypar", hint) from error
    pins, weights = hyperedges(traffic)
    library = mtkahypar.initialize(1, False)
    mtkahypar.set_seed(SEED)
    context = library.context_from_preset(mtkahypar.PresetType.DETERMINISTIC)
    context.logging = False
    context.set_partitioning_parameters(blocks, IMBALANCE, mtkahypar.Objective.KM1)
    neurons = [atom.neurons for atom in atoms]
    graph = library.create_hypergraph(context, len(atoms), len(pins), pins, neurons, weights)
    return np.array(graph.partition(context).get_partition(), np.int64)


def hyperedges(traffic: Traffic) -> tuple[list[list[int]], list[int]]:
    """(atoms of each hyperedge, its weight): a source with all others that it sends to, and the most messages that it sends to
    one of them, in whole ones; none for atoms that send to nobody else, or hardly ever."""
    away = np.flatnonzero(traffic.source != traffic.target)
    order = away[np.lexsort((traffic.target[away], traffic.source[away]))]
    source, target, messages = (column[order] for column in (traffic.source, traffic.target, traffic.messages))
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    pins, weights = [], []
    for start, end in zip(starts, [*starts[1:], len(source)], strict=True):
        weight = int(np.rint(messages[start:end].max()))
        if weight:
            pins.append(sorted([int(source[start]), *target[start:end].tolist()]))
            weights.append(weight)
    return pins, weights


def repaired(atoms: Sequence[Item], block: Ints, traffic: Traffic, room: Room) -> list[list[Item]]:
    """Cores that hold all atoms within the limits: each block's atoms in program order as far as they fit; each of the others on
    the core that it exchanges most messages with among those with room for it, or cut up to fill what room is left."""
    cores: list[list[Item]] = [[] for _ in range(int(block.max()) + 1)]
    left = [index for index, atom in enumerate(atoms) if not _put(cores[block[index]], atom, room)]
    held = block.copy()
    held[left] = -1
    for index in left:
        _put_anywhere(cores, atoms[index], _pull(index, held, traffic, len(cores)), room)
    rank = {atom.group: place for place, atom in reversed(list(enumerate(atoms)))}
    return sorted(filter(None, cores), key=lambda core: _middle(core, rank))


def _put(core: list[Item], atom: Item, room: Room) -> bool:
    if not room.holds([*core, atom]):
        return False
    core.append(atom)
    return True


def _pull(index: int, held: Ints, traffic: Traffic, cores: int) -> NDArray[np.float64]:
    """Messages between an atom and the atoms of each core, [cores]."""
    sent, got = traffic.source == index, traffic.target == index
    others = np.concatenate([traffic.target[sent], traffic.source[got]])
    messages = np.concatenate([traffic.messages[sent], traffic.messages[got]])
    kept = held[others] >= 0
    return np.asarray(np.bincount(held[others[kept]], messages[kept], cores), np.float64)


def _put_anywhere(cores: list[list[Item]], atom: Item, pull: NDArray[np.float64], room: Room) -> None:
    """Put an atom on a core; new ones come last."""
    order = [*np.argsort(-pull, kind="stable"), *range(len(pull), len(cores))]
    if any(_put(cores[k], atom, room) for k in order):
        return
    for k in order:
        taken = atom.along[0] + room.fitting(cores[k], atom)
        if taken > atom.along[0]:
            cores[k].append(atom.part(atom.along[0], taken))
            atom = atom.part(taken, atom.along[1])
        if taken == atom.along[1]:
            return
    check_fits(room.network, atom.part(atom.along[0], atom.along[0] + 1))
    cores.append([])
    _put_anywhere(cores, atom, pull, room)


def _middle(core: Iterable[Item], rank: dict[str, int]) -> float:
    """Where a core's neurons lie in the program, on average."""
    total = [(atom.neurons, rank[atom.group]) for atom in core]
    return sum(n * place for n, place in total) / sum(n for n, _ in total)
