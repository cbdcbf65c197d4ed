"""QKFormer (Zhou et al., NeurIPS 2024), CIFAR and ImageNet forms, and its token-pruned form (TP-Spikformer's official code).

Official state-dict keys and LIF shapes: zhouchenlin2096/QKFormer (cifar10/model.py, imagenet/qkformer.py);
xlzhou126/TP-Spikformer-Token-Pruned-Spiking-Transformer (qk_drop/qkformer.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.conv_layers import (
    BatchSemantics,
    ConvBlock,
    ConvMLP,
    ConvSSA,
    add_conv_bn_lif,
    currents,
    gate,
    spikes_of,
)
from pumice.models.gathered_tokens import best_by_space_and_time, gather_tokens, routing_mask, scatter_tokens
from pumice.models.network import Masks, SpikingNetwork, Trace, check_images
from pumice.models.neuron import LIF, GateState, Surrogate
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer_config import QKFormerConfig, QKFormerTpConfig
from pumice.models.qkformer_embed import ImageEmbed, ResidualEmbed
from pumice.models.spikformer_layers import ATTENTION_SCALE, ATTENTION_THRESHOLD

SPATIAL_WINDOW = 7  # of the token-pruned form's score


class TokenQK(nn.Module):
    """Token attention: a LIF (θ 0.5) counts q's spikes per head and token, and its spike lets the token's k pass."""

    def __init__(self, dim: int, heads: int, surrogate: Surrogate) -> None:
        super().__init__()
        self.heads = heads
        add_conv_bn_lif(self, "q", nn.Conv1d(dim, dim, 1, bias=False), surrogate)
        add_conv_bn_lif(self, "k", nn.Conv1d(dim, dim, 1, bias=False), surrogate)
        self.attn_lif = LIF(ATTENTION_THRESHOLD, surrogate=surrogate)
        add_conv_bn_lif(self, "proj", nn.Conv1d(dim, dim, 1), surrogate)

    def forward(self, x: Tensor, keep: Tensor | None, state: GateState) -> Tensor:
        """x: spike counts `[T, B, C, H', W']`; keep: bool `[T, B, N]` or None. Returns spikes of x's shape."""
        tokens = x.flatten(3)
        q, k = (
            spikes_of(self, name, tokens, keep, state).view(*x.shape[:2], self.heads, -1, tokens.shape[3])
            for name in ("q", "k")
        )
        passing = self.attn_lif(q.sum(3, keepdim=True), None if keep is None else keep[:, :, None, None], state)
        current = currents(self, "proj", (passing * k).flatten(2, 3)).view(x.shape)
        spikes: Tensor = self.get_submodule("proj_lif")(current, gate(keep, current), state)
        return spikes


class QKFormer(SpikingNetwork):
    """The network. Its config says which form; the blocks of all stages are counted in one order for schedules and masks.

    batch_semantics: see `ConvSSA`; "independent" is the sane one, "official" reproduces the published models on batches.
    """

    def __init__(
        self,
        config: QKFormerConfig,
        pruning: TokenPruning | None = None,
        surrogate: Surrogate | None = None,
        batch_semantics: BatchSemantics = "independent",
    ) -> None:
        if batch_semantics not in get_args(BatchSemantics):
            raise InputError(f"unknown batch semantics {batch_semantics!r}", "use 'independent' or 'official'")
        super().__init__(config.depths, pruning)
        surrogate = surrogate or Surrogate()
        self.config = config
        dims = (config.embed_dims // 4, config.embed_dims // 2, config.embed_dims)
        self.patch_embed1 = ImageEmbed(config.in_channels, dims[0], config.stem, config.first, surrogate)
        self.patch_embed2 = ResidualEmbed(dims[0], dims[1], config.later, surrogate)
        self.patch_embed3 = ResidualEmbed(dims[1], dims[2], config.later, surrogate)
        one, two, three = config.stage_blocks
        self.stage1 = nn.ModuleList(_token_block(config, dims[0], surrogate) for _ in range(one))
        self.stage2 = nn.ModuleList(_token_block(config, dims[1], surrogate) for _ in range(two))
        self.stage3 = nn.ModuleList(_block(config, dims[2], surrogate, batch_semantics) for _ in range(three))
        self.head = nn.Linear(config.embed_dims, config.num_classes)

    def _run(self, x: Tensor, given: Masks | None) -> Trace:
        """x: static images `[B, C, H, W]`, each shown for T timesteps."""
        config = self.config
        check_images(config.who, x, (config.in_channels, config.img_size_h, config.img_size_w))
        if given is not None and len(given) != self.depth:
            raise InputError(f"given {len(given)} routing masks for {self.depth} blocks", "give one per block")
        if self.pruning is not None and isinstance(config, QKFormerTpConfig):
            raise InputError(f"{config.who}: k_values and a pruning at once", "prune a QKFormer without k_values")
        kept = Kept([], [])
        stream = self.patch_embed1(x, config.T)
        index = 0
        for stage, embed in ((self.stage1, self.patch_embed2), (self.stage2, self.patch_embed3), (self.stage3, None)):
            for block in stage:
                stream = self._block(block, index, stream, given, kept)
                index += 1
            stream = stream if embed is None else embed(stream)
        logits = self.head(stream.flatten(3).mean(3).mean(0))
        return Trace(logits, {}, tuple(kept.masks), tuple(kept.slots))

    def _block(self, block: nn.Module, index: int, stream: Tensor, given: Masks | None, kept: Kept) -> Tensor:
        """One block on its routed tokens. stream: spike counts `[T, B, C, H', W']`."""
        mask = self._mask(stream.flatten(3).transpose(2, 3), index, self.config.grids[index], given)
        out: Tensor
        if mask is None and isinstance(self.config, QKFormerTpConfig):
            slots = best_by_space_and_time(stream, self.config.side(index), SPATIAL_WINDOW)
            kept.slots.append(slots)
            kept.masks.append(routing_mask(slots, stream.shape[0], stream.shape[3] * stream.shape[4]))
            return scatter_tokens(stream, slots, block(gather_tokens(stream, slots)))
        if mask is not None:
            kept.masks.append(mask)
        out = block(stream, mask, self.pruning.state if self.pruning else "hold")
        return out


@dataclass(frozen=True)
class Kept:
    """What a pass has pruned so far, block by block; see `Trace`."""

    masks: list[Tensor]
    slots: list[Tensor]


def _token_block(config: QKFormerConfig, dim: int, surrogate: Surrogate) -> ConvBlock:
    return ConvBlock("tssa", TokenQK(dim, config.heads, surrogate), _mlp(config, dim, surrogate))


def _block(config: QKFormerConfig, dim: int, surrogate: Surrogate, batch_semantics: BatchSemantics) -> ConvBlock:
    attention = ConvSSA(dim, config.heads, ATTENTION_SCALE, surrogate, batch_semantics)
    return ConvBlock(config.attention, attention, _mlp(config, dim, surrogate))


def _mlp(config: QKFormerConfig, dim: int, surrogate: Surrogate) -> ConvMLP:
    return ConvMLP(dim, dim * config.mlp_ratios, nn.Conv2d, surrogate, config.mlp)
