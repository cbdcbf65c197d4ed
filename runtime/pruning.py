"""The token pruning that a program carries, as the float model takes it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.runtime.float_model import FloatRun, run_float
from pumice.runtime.report import mask_nodes

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork
    from pumice.models.pruning.token_pruning import TokenPruning


def scoring_gates(program: Program) -> list[i.TokenGate]:
    """The gates at which blocks are masked, by block."""
    gates = [n for n in program.graph.nodes.values() if isinstance(n, i.TokenGate) and not n.mask_of]
    return sorted(gates, key=lambda gate: gate.block)


def pruning_of(program: Program, blocks: int) -> TokenPruning | None:
    """The pruning that a float model of so many blocks must apply to be compared with `program`; None for an unpruned program,
    and for a network that selects its tokens itself."""
    from pumice.models.pruning.token_pruning import TokenPruning

    gates = scoring_gates(program)
    if not gates or gates[0].criterion is None:
        return None
    if len({(gate.criterion, gate.state) for gate in gates}) > 1:
        raise InputError(
            "the program's blocks differ in criterion or state", "the float model has one of each for all blocks"
        )
    retention = [1.0] * blocks
    for gate in gates:
        retention[gate.block] = gate.retention
    return TokenPruning(tuple(retention), gates[0].criterion, gates[0].state)


def static_schedule(
    program: Program, shapes: Sequence[tuple[int, int]], samples: int
) -> list[NDArray[np.bool_]] | None:
    """A program's static masks as a schedule for a float model, [samples, T, N] per block; None where masks are not static.
    shapes: timesteps and tokens (T, N) of every block."""
    static = [n for n in mask_nodes(program) if isinstance(n, i.StaticMask)]
    if not static:
        return None
    masks = [np.ones((samples, *shape), np.bool_) for shape in shapes]
    for node in static:
        masks[node.block][:] = node.masks
    return masks


def float_run_as(network: SpikingNetwork, program: Program, inputs: NDArray[Any]) -> FloatRun:
    """The torch model on samples [B, …] with its tokens pruned as the program's are, and left so; a network that selects tokens
    itself does so."""
    import torch

    from pumice.models.sparse_spikformer import SparseSpikformer
    from pumice.models.training.token_dropout import mask_shapes

    if isinstance(network, SparseSpikformer):
        return run_float(network, inputs)
    network.pruning = pruning_of(program, network.depth)
    shapes = mask_shapes(network, torch.from_numpy(inputs[:1]))
    return run_float(network, inputs, static_schedule(program, shapes, len(inputs)))


def given_schedule(program: Program, masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_] | None:
    """A float model's masks, [T, B, N] per block, as the schedule [B, blocks, T, N] that `program` takes with its samples;
    None where it takes none."""
    given = [n for n in mask_nodes(program) if isinstance(n, i.GivenMask)]
    if not given:
        return None
    steps, samples = masks[0].shape[:2]
    widest = max(node.out.shape[0] for node in given)
    schedule = np.ones((samples, max(node.block for node in given) + 1, steps, widest), np.bool_)
    for node in given:
        schedule[:, node.block, :, : node.out.shape[0]] = np.moveaxis(masks[node.block], 0, 1)
    return schedule
