"""The token pruning that a program carries, as the float model takes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.runtime.report import mask_nodes

if TYPE_CHECKING:
    from pumice.models.token_pruning import TokenPruning


def scoring_gates(program: Program) -> list[i.TokenGate]:
    """The gates at which blocks are masked, by block."""
    gates = [n for n in program.graph.nodes.values() if isinstance(n, i.TokenGate) and not n.mask_of]
    return sorted(gates, key=lambda gate: gate.block)


def pruning_of(program: Program) -> TokenPruning | None:
    """The pruning that the float model must apply to be compared with `program`; None for an unpruned program."""
    from pumice.models.token_pruning import TokenPruning

    gates = scoring_gates(program)
    if not gates or gates[0].criterion is None:
        return None
    if len({(gate.criterion, gate.state) for gate in gates}) > 1:
        raise InputError(
            "the program's blocks differ in criterion or state", "the float model has one of each for all blocks"
        )
    retention = [1.0] * blocks_of(program)
    for gate in gates:
        retention[gate.block] = gate.retention
    return TokenPruning(tuple(retention), gates[0].criterion, gates[0].state)


def static_schedule(program: Program, samples: int) -> NDArray[np.bool_] | None:
    """A program's static masks as a schedule [samples, blocks, T, N]; None where masks are not static."""
    static = [n for n in mask_nodes(program) if isinstance(n, i.StaticMask)]
    if not static:
        return None
    masks = np.ones((samples, blocks_of(program), *static[0].masks.shape), np.bool_)
    for node in static:
        masks[:, node.block] = node.masks
    return masks


def blocks_of(program: Program) -> int:
    """How many attention blocks a program has."""
    firsts = [n for n in program.graph.nodes.values() if isinstance(n, i.SpikeMatmul) and n.out.dtype == "graded"]
    return len(firsts)
