"""A zoo model for the demo: with every token, and with its tokens pruned in the way that it was made for."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.options import MaskMode
from pumice.hwsim.scoring import Criterion

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class DemoModels:
    """unpruned: every token routed. pruned: the same weights, tokens pruned. masks: how a program routes as `pruned` does:
    "live" where a chip can score each step as it comes, "given" with each sample where the rule looks at all timesteps."""

    unpruned: SpikingNetwork
    pruned: SpikingNetwork
    masks: MaskMode


def demo_models(model: SpikingNetwork, retention: tuple[float, ...], criterion: Criterion) -> DemoModels:
    """Both forms of a zoo model. retention: one share for all blocks, or one per block; a network that selects its tokens
    itself ignores retention and criterion. Raises InputError for a schedule that does not fit the model."""
    from pumice.models.pruning.token_pruning import TokenPruning
    from pumice.models.sparse_spikformer import SparseSpikformer

    if isinstance(model, SparseSpikformer):
        return DemoModels(keeping_all(model), model, "given")
    pruned = deepcopy(model)
    pruned.pruning = TokenPruning(retention * model.depth if len(retention) == 1 else retention, criterion)
    return DemoModels(model, pruned, "live" if criterion.causal else "given")


def keeping_all(model: SpikingNetwork) -> SpikingNetwork:
    """A SparseSpikformer with the same weights whose selectors keep every token."""
    from pumice.models.sparse_spikformer import SparseSpikformer

    assert isinstance(model, SparseSpikformer)
    ratios = (1.0,) * len(model.config.token_ratio)
    full = SparseSpikformer(replace(model.config, token_ratio=ratios))
    full.load_state_dict(model.state_dict())
    return full.eval()


def as_images(inputs: NDArray[np.floating]) -> NDArray[np.floating]:  # type: ignore[type-arg]
    """Samples as pictures [samples, H, W]: the first channel of images [samples, C, H, W]; of event frames
    [samples, T, 2, H, W] the events of both polarities at all timesteps."""
    return inputs[:, 0] if inputs.ndim == 4 else inputs.sum(axis=(1, 2))
