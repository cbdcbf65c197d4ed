"""Spikformer in all its forms as a NIR graph: CIFAR, ImageNet, DVS. Its patch embedding and blocks serve other families."""

from __future__ import annotations

from dataclasses import dataclass

import nir

from pumice.models.nir import nodes as nir_nodes
from pumice.models.nir.builder import Builder, Gate
from pumice.models.nir.gates import following_gate, scoring_gate
from pumice.models.spikformer import Spikformer
from pumice.models.spikformer_conv import DVS_SCALE, SpikformerDvs, SpikformerImagenet
from pumice.models.spikformer_layers import ATTENTION_SCALE, PatchEmbed, stage_suffix


@dataclass(frozen=True)
class BlockForm:
    """How a family names the layers of a post-activation block, and its attention's heads and scale."""

    layer: str  # `q_linear` or `q_conv`
    heads: int
    scale: float = ATTENTION_SCALE
    attention: str = "attn"
    mlp: tuple[str, str] = ("fc1", "fc2")

    def names(self, prefix: str, part: str) -> tuple[str, str, str]:
        """The layers of one part: convolution, BatchNorm, LIF."""
        return f"{prefix}.{part}_{self.layer}", f"{prefix}.{part}_bn", f"{prefix}.{part}_lif"

    def neurons(self, block: str, parts: tuple[str, ...] = ("q", "k", "v", "attn", "proj")) -> list[str]:
        """The LIF layers of the block, in the order in which they fire. `parts`: the attention's."""
        attention = [f"{block}.{self.attention}.{part}_lif" for part in parts]
        return attention + [f"{block}.mlp.{part}_lif" for part in self.mlp]


def spikformer_graph(model: Spikformer | SpikformerImagenet, build: Builder, last: str) -> nir.NIRGraph:
    """The network after its input node `last`."""
    last = patch_embed(model.patch_embed, build, last)
    form = _form(model)
    for block in range(model.depth):
        name = f"block.{block}"
        gate = scoring_gate(model, block, model.config.grid, form.neurons(name))
        last = attention_block(build, name, last, form, gate)
    return build.read_out(last)


def _form(model: Spikformer | SpikformerImagenet) -> BlockForm:
    heads = model.config.num_heads
    match model:
        case Spikformer():
            return BlockForm("linear", heads)
        case SpikformerDvs():
            return BlockForm("conv", heads, DVS_SCALE)
        case _:
            return BlockForm("conv", heads)


def patch_embed(embed: PatchEmbed, build: Builder, last: str) -> str:
    """Four conv stages, the position embedding, their sum, and the map flattened to tokens `[C, N]`."""
    prefix = "patch_embed."
    for stage in range(4):
        suffix = stage_suffix(stage)
        last = build.through(last, *(f"{prefix}proj_{part}{suffix}" for part in ("conv", "bn", "lif")))
        if stage in embed.pool_stages:
            last = build.spike_pool(f"{prefix}maxpool{suffix}", last)
    positions = build.through(last, *(f"{prefix}rpe_{part}" for part in ("conv", "bn", "lif")))
    return build.tokens(f"{prefix}flatten", build.residual(f"{prefix}sum", last, positions))


def attention_block(build: Builder, name: str, last: str, form: BlockForm, gate: Gate | None) -> str:
    """x + SSA(x), x + MLP(x). Gates stand before the layers; the residual edges pass them by."""
    prefix = f"{name}.{form.attention}"
    routed = build.gate(f"{name}.gate", last, gate)
    operands = [build.through(routed, *form.names(prefix, part)) for part in ("q", "k", "v")]
    shape = build.shapes[operands[2]]
    ssa = nir_nodes.attention(shape, shape, operands, form.heads, form.scale)
    product = build.add(f"{prefix}.ssa", ssa, shape, *operands)
    attended = build.through(product, f"{prefix}.attn_lif", *form.names(prefix, "proj"))
    last = build.residual(f"{prefix}.residual", last, attended)
    return mlp(build, name, last, form, gate)


def mlp(build: Builder, name: str, last: str, form: BlockForm, gate: Gate | None) -> str:
    """x + MLP(x)."""
    prefix = f"{name}.mlp"
    routed = build.gate(f"{prefix}.gate", last, following_gate(gate, f"{name}.gate"))
    hidden = build.through(routed, *form.names(prefix, form.mlp[0]), *form.names(prefix, form.mlp[1]))
    return build.residual(f"{prefix}.residual", last, hidden)
