"""Neurons that do nothing because their token is not routed, and cores that do nothing at all, sample by sample."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.mapping.taps import indicator
from pumice.compiler.mapping.usage import Network
from pumice.compiler.program import Program, Slice
from pumice.hwsim.arith import exact_matmul
from pumice.runtime.tally import Tally, mask_of

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Off:
    """Neurons of each slice, core after core, whose token is not routed while their core works (gated), and those of cores that
    do nothing (asleep), [T, S], summed over samples."""

    gated: Ints
    asleep: Ints

    def __add__(self, other: Off) -> Off:
        return Off(self.gated + other.gated, self.asleep + other.asleep)


@dataclass(frozen=True, eq=False)
class Gates:
    """What gates the slices of a program. held: of each mask and gated membrane, the slices that it rules. core, neurons: of each
    slice, [S]. waits: whether a slice does nothing at all while none of its tokens is routed, [S]: state that decays goes on."""

    held: tuple[Held, ...]
    core: Ints
    neurons: Ints
    waits: NDArray[np.bool_]

    def off(self, tally: Tally, timesteps: int) -> Off:
        """The neurons of a batch that are off."""
        off = np.zeros((timesteps, tally.samples, len(self.core)), np.int64)
        for held in self.held:
            off[:, :, held.slices] = held.off(tally)
        first = np.flatnonzero(np.diff(self.core, prepend=-1))  # slice of each core
        idle = np.logical_and.reduceat(self.waits & (off == self.neurons), first, axis=2)  # [T, B, cores]
        of_slice = np.cumsum(np.isin(np.arange(len(self.core)), first)) - 1
        asleep = idle.sum(axis=1)[:, of_slice] * self.neurons
        return Off(off.sum(axis=1) - asleep, asleep)


@dataclass(frozen=True, eq=False)
class Held:
    """The slices that a mask rules [S'], by index, or those of one membrane: it works on what passes it, routed or not.

    channels [X, C], positions [Y, P]: the different sets of them that the slices hold, 1 where held. at: which of them each slice
    has, two of [S']. weight: neurons for each one that is counted, [S']: those of a mask's token are all off at once, so C is 1.
    """

    mask: str
    membrane: str
    slices: Ints
    channels: Ints
    positions: Ints
    at: tuple[Ints, Ints]
    weight: Ints

    def off(self, tally: Tally) -> Ints:
        """How many neurons of each slice have nothing to do, [T, B, S']."""
        off = ~tally.masks[self.mask][:, :, None]
        if self.membrane:
            off = off & tally.silent[self.membrane]
        channels, positions = self.channels.shape[1], self.positions.shape[1]
        by_position = exact_matmul(off, self.positions.T, positions)
        counted = exact_matmul(self.channels, by_position, channels * positions)  # [T, B, X, Y]
        return np.asarray(counted[:, :, self.at[0], self.at[1]] * self.weight)


def gates_of(program: Program, network: Network) -> Gates:
    """What gates the slices of a program's cores."""
    slices = [part for core in program.mapping.cores for part in core]
    nodes = [network.groups[part.group].neurons for part in slices]
    ruled: dict[tuple[str, str], list[int]] = {}
    for index, node in enumerate(nodes):
        if mask := mask_of(node, program.graph):
            ruled.setdefault((mask, node.name if isinstance(node, i.Membrane) else ""), []).append(index)
    return Gates(
        tuple(_held(program, *by, slices, np.array(found)) for by, found in ruled.items()),
        np.repeat(np.arange(len(program.mapping.cores)), [len(core) for core in program.mapping.cores]),
        np.array([part.neurons for part in slices], np.int64),
        np.array([_waits(node) for node in nodes], np.bool_),
    )


def _waits(node: Node) -> bool:
    return not (isinstance(node, i.IntLif) and node.gate_state == "decay")


def _held(program: Program, mask: str, membrane: str, slices: Sequence[Slice], found: Ints) -> Held:
    parts = [slices[index] for index in found]
    held = [program.mapping.channels_of(part) for part in parts]
    size = program.graph.nodes[membrane].out.shape[0] if membrane else 1
    channels, row = _different(indicator(of if membrane else np.zeros(1, np.int64), size) for of in held)
    tokens = program.graph.nodes[mask].out.shape[0]
    positions, column = _different(indicator(program.mapping.positions_of(part), tokens) for part in parts)
    weight = [1 if membrane else len(of) for of in held]
    return Held(mask, membrane, found, channels, positions, (row, column), np.array(weight, np.int64))


def _different(sets: Iterable[Ints]) -> tuple[Ints, Ints]:
    """Each set once, and which one every entry was."""
    rows, at = np.unique(np.stack(list(sets)), axis=0, return_inverse=True)
    return rows, at.reshape(-1)
