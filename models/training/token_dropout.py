"""Token dropout: random routing masks in training, so that a network later bears token pruning without fine-tuning."""

from __future__ import annotations

import torch
from torch import Tensor

from pumice.errors import InputError
from pumice.models.network import Masks, SpikingNetwork
from pumice.models.qkformer import QKFormer
from pumice.models.sdt_v1 import SdtV1
from pumice.models.sdt_v3 import SdtV3
from pumice.models.spikformer import Spikformer
from pumice.models.spikformer_conv import SpikformerImagenet

MaskShape = tuple[int, int]


def mask_shapes(model: SpikingNetwork, images: Tensor) -> tuple[MaskShape, ...]:
    """Per block the timesteps and tokens (T, N) of its routing mask. images: `[B, C, H, W]`, or event frames
    `[B, T, C, H, W]`, whose T then counts. Raises InputError for a network that takes no masks.
    """
    frames = images.shape[1] if images.ndim == 5 else 0
    if isinstance(model, Spikformer | SdtV1):
        return ((frames or model.config.T, model.config.tokens),) * model.depth
    if isinstance(model, SpikformerImagenet):
        height, width = model.config.grid
        return ((frames or model.config.T, height * width),) * model.depth
    if isinstance(model, QKFormer):
        return tuple((model.config.T, height * width) for height, width in model.config.grids)
    if isinstance(model, SdtV3):
        return ((1, model.config.tokens),) * model.depth
    raise InputError(f"{type(model).__name__} takes no routing masks", "set token_dropout to 0")


def random_masks(model: SpikingNetwork, images: Tensor, share: float, retention: tuple[float, float]) -> Masks | None:
    """Token dropout of one batch, by torch's global random numbers: None in 1 - `share` of the cases, else per block a bool
    mask `[T, B, N]`. Each image keeps one fraction, drawn evenly from `retention`, of the tokens of every block and step.
    Raises InputError as `mask_shapes`.
    """
    if torch.rand(()).item() >= share:
        return None
    low, high = retention
    keep = low + (high - low) * torch.rand(1, len(images), 1)
    return tuple(torch.rand(steps, len(images), tokens) < keep for steps, tokens in mask_shapes(model, images))
