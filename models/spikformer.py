"""Spikformer (Zhou et al., ICLR 2023; CIFAR form), with TP-Spikformer's token pruning. Official state-dict keys."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.neuron import LIF, Surrogate
from pumice.models.spikformer_layers import Block, PatchEmbed
from pumice.models.token_pruning import TokenPruning, check_masks


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
        _check_channels(self)

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


@dataclass(frozen=True)
class Trace:
    """A forward pass, opened: logits `[B, K]`; spikes by official LIF name, `[T, B, ...]`; per block a bool routing mask
    `[T, B, N]`, no entry at all without pruning."""

    logits: Tensor
    spikes: dict[str, Tensor]
    masks: tuple[Tensor, ...]


class Spikformer(nn.Module):
    """The network. `pruning` may be set and cleared at any time; it needs no training."""

    def __init__(
        self, config: SpikformerConfig, pruning: TokenPruning | None = None, surrogate: Surrogate | None = None
    ) -> None:
        super().__init__()
        surrogate = surrogate or Surrogate()
        self.config = config
        self.pruning = pruning
        self.patch_embed = PatchEmbed(config.in_channels, config.embed_dims, config.pool_stages, surrogate)
        blocks = [
            Block(config.embed_dims, config.num_heads, config.mlp_ratios, surrogate) for _ in range(config.depths)
        ]
        self.block = nn.ModuleList(blocks)
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    @property
    def pruning(self) -> TokenPruning | None:
        """The token pruning in force, or None. Setting a schedule of the wrong length raises InputError."""
        return self._pruning

    @pruning.setter
    def pruning(self, pruning: TokenPruning | None) -> None:
        if pruning is not None:
            pruning.check_depth(self.config.depths)
        self._pruning = pruning

    def forward(self, x: Tensor, masks: tuple[Tensor, ...] | None = None) -> Tensor:
        """Class logits `[B, K]` of static images x `[B, C, H, W]`, each shown for T timesteps. `masks`: as in `trace`."""
        return self._run(x, masks)[0]

    def trace(self, x: Tensor, masks: tuple[Tensor, ...] | None = None) -> Trace:
        """`forward`, with every LIF's spikes and the routing masks. `masks` (one bool `[T, B, N]` per block) replaces
        scoring by a given schedule; InputError if they do not fit."""
        spikes: dict[str, Tensor] = {}
        with ExitStack() as hooks:
            for name, module in self.named_modules():
                if isinstance(module, LIF):
                    handle = module.register_forward_hook(_recorder(spikes, name))
                    hooks.enter_context(cast(AbstractContextManager[None], handle))
            logits, used = self._run(x, masks)
        return Trace(logits, spikes, used)

    def _run(self, x: Tensor, given: tuple[Tensor, ...] | None) -> tuple[Tensor, tuple[Tensor, ...]]:
        _check_image(x, self.config)
        if given is not None:
            check_masks(given, self.config.depths, (self.config.T, x.shape[0], self.config.tokens))
        state = self.pruning.state if self.pruning else "hold"
        tokens = self.patch_embed(x, self.config.T).flatten(3).transpose(2, 3)
        masks: list[Tensor] = []
        for index, block in enumerate(self.block):
            mask = self._mask(tokens, index, given)
            masks += [] if mask is None else [mask]
            tokens = block(tokens, mask, state)
        logits: Tensor = self.head(tokens.mean(2).mean(0))
        return logits, tuple(masks)

    def _mask(self, tokens: Tensor, block: int, given: tuple[Tensor, ...] | None) -> Tensor | None:
        if given is not None:
            return given[block]
        if self.pruning is None:
            return None
        return self.pruning.block_mask(tokens, block, *self.config.grid)


def _recorder(spikes: dict[str, Tensor], name: str) -> Callable[[nn.Module, Any, Tensor], None]:
    def record(module: nn.Module, inputs: Any, output: Tensor) -> None:
        spikes[name] = output.detach()

    return record


def _check_image(x: Tensor, config: SpikformerConfig) -> None:
    expected = (config.in_channels, config.img_size_h, config.img_size_w)
    if x.ndim == 4 and tuple(x.shape[1:]) == expected and torch.is_floating_point(x):
        return
    raise InputError(
        f"Spikformer input is {x.dtype} {tuple(x.shape)}, not float [B, {expected[0]}, {expected[1]}, {expected[2]}]",
        "give images [B, C, H, W] of the size the model was built for",
    )


def _check_sizes(config: SpikformerConfig) -> None:
    sizes = {
        name: getattr(config, name)
        for name in ("img_size_h", "img_size_w", "in_channels", "num_classes", "mlp_ratios", "depths", "T")
    }
    for name, value in sizes.items():
        if value < 1:
            raise InputError(f"Spikformer: {name} is {value}, but must be at least 1", "give a positive size")
    if any(stage not in range(4) for stage in config.pool_stages) or len(set(config.pool_stages)) < len(
        config.pool_stages
    ):
        raise InputError(f"Spikformer: pool_stages {config.pool_stages} must be distinct, 0 to 3", "official: (2, 3)")


def _check_channels(config: SpikformerConfig) -> None:
    if config.embed_dims < 8 or config.embed_dims % 8:
        raise InputError(f"Spikformer: embed_dims {config.embed_dims} is no multiple of 8", "e.g. 48, 64, 384")
    if config.num_heads < 1 or config.embed_dims % config.num_heads:
        raise InputError(
            f"Spikformer: embed_dims {config.embed_dims} does not divide into {config.num_heads} heads",
            "choose a number of heads that divides embed_dims",
        )
