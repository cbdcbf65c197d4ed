"""What training minimises: cross entropy, and for SparseSpikformer also how far its selectors are from their ratios."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from pumice.models.network import Masks, SpikingNetwork
from pumice.models.sparse_spikformer import SparseSpikformer

Loss = Callable[[SpikingNetwork, Tensor, Tensor, Masks | None], Tensor]


def smoothed_cross_entropy(label_smoothing: float) -> Loss:
    """Mean cross entropy of a batch against labels mixed with `label_smoothing` of the uniform distribution."""

    def loss(model: SpikingNetwork, images: Tensor, labels: Tensor, masks: Masks | None) -> Tensor:
        return nn.functional.cross_entropy(model(images, masks), labels, label_smoothing=label_smoothing)

    return loss


def selecting_cross_entropy(label_smoothing: float, ratio_weight: float) -> Loss:
    """The loss of a network that selects its tokens: cross entropy plus `ratio_weight` times `ratio_distance`.

    SparseSpikformer follows DynamicViT (Rao et al., NeurIPS 2021, Eq. 10-14) here, without its distillation.
    """

    def loss(model: SpikingNetwork, images: Tensor, labels: Tensor, masks: Masks | None) -> Tensor:
        assert isinstance(model, SparseSpikformer)
        logits, decisions = model.decide(images)
        error = nn.functional.cross_entropy(logits, labels, label_smoothing=label_smoothing)
        return error + ratio_weight * ratio_distance(decisions, model.config.token_ratio)

    return loss


def ratio_distance(decisions: Sequence[Tensor], ratios: Sequence[float]) -> Tensor:
    """Mean over selectors and samples of (share of tokens kept - its ratio)². decisions: 0 or 1, `[T·B, N]` per selector."""
    distances = [(kept.mean(1) - ratio) ** 2 for kept, ratio in zip(decisions, ratios, strict=True)]
    return torch.stack(distances).mean()
