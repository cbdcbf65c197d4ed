"""Spikformer (Zhou et al., ICLR 2023; CIFAR form), with TP-Spikformer's token pruning. Official state-dict keys."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images, check_positive, check_width
from pumice.models.neuron import Surrogate
from pumice.models.pruning.token_pruning import TokenPruning, check_masks
from pumice.models.spikformer_layers import Block, PatchEmbed

__all__ = ["Spikformer", "SpikformerConfig", "Trace"]


@dataclass(frozen=True)
class SpikformerConfig:
    """The official constructor's arguments, and `pool_stages`: the conv stages (0-3) with a max-pool after their LIF.

    `qkv_bias` and `sr_ratios` stand in the official constructor without effect: the Linear layers always have a bias.
    """

    img_size_h: int = 32
    img_size_w: int = 32
    patch_size: int = 4
    in_channels: int = 3
    num_classes: int = 10
    embed_dims: int = 384
    num_heads: int = 12
    mlp_ratios: int = 4
    qkv_bias: bool = False
    depths: int = 4
    sr_ratios: int = 1
    T: int = 4
    pool_stages: tuple[int, ...] = (2, 3)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pool_stages", tuple(self.pool_stages))
        _check_sizes(self)
        check_width("Spikformer", self.embed_dims, self.num_heads)

    @property
    def grid(self) -> tuple[int, int]:
        """Token rows and columns (H', W') after the patch embedding's max-pools."""
        height, width = self.img_size_h, self.img_size_w
        for _ in self.pool_stages:
            height, width = (height - 1) // 2 + 1, (width - 1) // 2 + 1
        return height, width

    @property
    def tokens(self) -> int:
        """N, the number of tokens."""
        height, width = self.grid
        return height * width

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values; `SpikformerConfig(**d)` reads them back."""
        return asdict(self) | {"pool_stages": list(self.pool_stages)}


class Spikformer(SpikingNetwork):
    """The network. `pruning` may be set and cleared at any time; it needs no training."""

    def __init__(
        self, config: SpikformerConfig, pruning: TokenPruning | None = None, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__(config.depths, pruning)
        surrogate = surrogate or Surrogate()
        self.config = config
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dims, config.pool_stages, surrogate)
        blocks = [
            Block(config.embed_dims, config.num_heads, config.mlp_ratios, surrogate) for _ in range(config.depths)
        ]
        self.block = nn.ModuleList(blocks)
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        """x: static images `[B, C, H, W]`, each shown for T timesteps."""
        config = self.config
        check_images("Spikformer", x, (config.in_channels, config.img_size_h, config.img_size_w))
        if given is not None:
            check_masks(given, config.depths, (config.T, x.shape[0], config.tokens))
        state = self.pruning.state if self.pruning else "hold"
        tokens = self.patch_embed(x, config.T).flatten(3).transpose(2, 3)
        masks: list[Tensor] = []
        for index, block in enumerate(self.block):
            mask = self._mask(tokens, index, config.grid, given)
            masks += [] if mask is None else [mask]
            tokens = block(tokens, mask, state)
        return Trace(self.head(tokens.mean(2).mean(0)), {}, tuple(masks))


def _check_sizes(config: SpikformerConfig) -> None:
    names = ("img_size_h", "img_size_w", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
    check_positive("Spikformer", {name: getattr(config, name) for name in names})
    if any(stage not in range(4) for stage in config.pool_stages) or len(set(config.pool_stages)) < len(
        config.pool_stages
    ):
        raise InputError(f"Spikformer: pool_stages {config.pool_stages} must be distinct, 0 to 3", "official: (2, 3)")
