"""What the token gates of a pruned model say in NIR."""

from __future__ import annotations

from collections.abc import Sequence

from pumice.models.network import SpikingNetwork
from pumice.models.nir.builder import Gate


def scoring_gate(model: SpikingNetwork, block: int, grid: tuple[int, int], neurons: Sequence[str]) -> Gate | None:
    """How a block scores its tokens and which nodes its mask gates; None for an unpruned model.

    block: counted over the whole model; neurons: names of the gated nodes, in order.
    """
    pruning = model.pruning
    if pruning is None:
        return None
    return Gate(
        {
            "block": block,
            "height": grid[0],
            "width": grid[1],
            "retention": pruning.retention[block],
            "criterion": pruning.criterion.as_dict(),
            "state": pruning.state,
            "neurons": list(neurons),
        }
    )


def following_gate(gate: Gate | None, name: str) -> Gate | None:
    """A gate that drops the tokens that `gate`, the node `name`, has dropped before."""
    return None if gate is None else Gate({"mask_of": gate.attributes.get("mask_of", name)})
