"""Spikformer's ImageNet and DVS forms (Zhou et al., ICLR 2023): 1 x 1 convolutions where the CIFAR form has Linear layers.

Official state-dict keys and LIF shapes (ZK-Zhou/spikformer, imagenet/model.py and cifar10dvs/model.py).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.conv_layers import ConvBlock, ConvMLP, ConvSSA
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images, check_positive, check_width
from pumice.models.neuron import Surrogate
from pumice.models.pruning.token_pruning import TokenPruning, check_masks
from pumice.models.spikformer_layers import ATTENTION_SCALE, PatchEmbed

DVS_SCALE = 0.25
POOLED_STAGES = (0, 1, 2, 3)


@dataclass(frozen=True)
class SpikformerImagenetConfig:
    """The official constructor's arguments, and T, which the official forward pass fixes at 4.

    `patch_size`, `qkv_bias` and `sr_ratios` stand in the official constructor without effect on what is computed.
    """

    who: ClassVar[str] = "Spikformer (ImageNet)"

    img_size_h: int = 224
    img_size_w: int = 224
    patch_size: int = 16
    in_channels: int = 3
    num_classes: int = 1000
    embed_dims: int = 512
    num_heads: int = 8
    mlp_ratios: int = 4
    qkv_bias: bool = False
    depths: int = 8
    sr_ratios: int = 1
    T: int = 4

    def __post_init__(self) -> None:
        names = ("img_size_h", "img_size_w", "patch_size", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
        check_positive(self.who, {name: getattr(self, name) for name in names})
        check_width(self.who, self.embed_dims, self.num_heads)

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns (H', W') after the patch embedding's four max-pools."""
        height, width = self.img_size_h, self.img_size_w
        for _ in POOLED_STAGES:
            height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
        return height, width

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; the same class reads them back."""
        return asdict(self)


@dataclass(frozen=True)
class SpikformerDvsConfig(SpikformerImagenetConfig):
    """The official constructor's arguments; T is whatever number of frames the input has, and the default 16 a note."""

    who: ClassVar[str] = "Spikformer (DVS)"

    img_size_h: int = 128
    img_size_w: int = 128
    in_channels: int = 2
    num_classes: int = 10
    embed_dims: int = 256
    num_heads: int = 16
    depths: int = 2
    T: int = 16

    @property
    def positions(self) -> int:
        """Rows of the unused position embedding: the official code counts patches of `patch_size`, not pooled tokens."""
        return (self.img_size_h // self.patch_size) * (self.img_size_w // self.patch_size)


class SpikformerImagenet(SpikingNetwork):
    """The ImageNet form, on still images `[B, C, H, W]`."""

    def __init__(
        self,
        config: SpikformerImagenetConfig,
        pruning: TokenPruning | None = None,
        surrogate: Surrogate | None = None,
    ) -> None:
        super().__init__(config.depths, pruning)
        surrogate = surrogate or Surrogate()
        self.config = config
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dims, POOLED_STAGES, surrogate)
        self.block = nn.ModuleList(self._block(config, surrogate) for _ in range(config.depths))
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    def _block(self, config: SpikformerImagenetConfig, surrogate: Surrogate) -> ConvBlock:
        dim = config.embed_dims
        attention = ConvSSA(dim, config.num_heads, ATTENTION_SCALE, surrogate)
        return ConvBlock("attn", attention, ConvMLP(dim, dim * config.mlp_ratios, nn.Conv2d, surrogate), dim)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        """x: static images `[B, C, H, W]`, each shown for T timesteps."""
        config = self.config
        check_images(config.who, x, (config.in_channels, config.img_size_h, config.img_size_w))
        return self._blocks(self.patch_embed(x, config.T), given)

    def _blocks(self, stream: Tensor, given: Masks | None) -> Trace:
        """All blocks and the head. stream: spike counts `[T, B, C, H', W']` or `[T, B, C, N]`."""
        grid = self.config.grid
        if given is not None:
            check_masks(given, self.depth, (stream.shape[0], stream.shape[1], grid[0] * grid[1]))
        state = self.pruning.state if self.pruning else "hold"
        masks: list[Tensor] = []
        for index, block in enumerate(self.block):
            mask = self._mask(stream.flatten(3).transpose(2, 3), index, grid, given)
            masks += [] if mask is None else [mask]
            stream = block(stream, mask, state)
        return Trace(self.head(stream.flatten(3).mean(3).mean(0)), {}, tuple(masks))


class SpikformerDvs(SpikformerImagenet):
    """The DVS form, on event frames `[B, T, C, H, W]`: Conv1d throughout the blocks, attention scale 0.25."""

    config: SpikformerDvsConfig

    def __init__(
        self, config: SpikformerDvsConfig, pruning: TokenPruning | None = None, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__(config, pruning, surrogate)
        # Both are in the official state dict and never applied.
        self.pos_embed = nn.Parameter(torch.zeros(1, config.positions, config.embed_dims))
        self.norm = nn.LayerNorm(config.embed_dims)

    def _block(self, config: SpikformerImagenetConfig, surrogate: Surrogate) -> ConvBlock:
        dim = config.embed_dims
        attention = ConvSSA(dim, config.num_heads, DVS_SCALE, surrogate)
        return ConvBlock("attn", attention, ConvMLP(dim, dim * config.mlp_ratios, nn.Conv1d, surrogate), dim)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        """x: event frames `[B, T, C, H, W]`, T of them."""
        config = self.config
        expected = (config.in_channels, config.img_size_h, config.img_size_w)
        if x.ndim != 5 or tuple(x.shape[2:]) != expected or not torch.is_floating_point(x) or not x.shape[1]:
            raise InputError(
                f"{config.who} input is {x.dtype} {tuple(x.shape)}, not float [B, T, {', '.join(map(str, expected))}]",
                "give event frames [B, T, C, H, W] of the size the model was built for",
            )
        frames = x.transpose(0, 1)
        return self._blocks(self.patch_embed(frames, frames.shape[0]).flatten(3), given)
