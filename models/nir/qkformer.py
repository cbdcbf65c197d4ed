"""QKFormer as a NIR graph: token attention in stages 1 and 2, Spikformer's attention in stage 3.

The graph means one sample at a time, that is, independent batch semantics.
"""

from __future__ import annotations

import nir

from pumice.models.nir import nodes as nir_nodes
from pumice.models.nir.builder import Builder, Gate
from pumice.models.nir.gates import scoring_gate
from pumice.models.nir.spikformer import BlockForm, attention_block, mlp
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.qkformer_embed import ImageEmbed, ResidualEmbed, Stage

TOKEN_PARTS = ("q", "k", "attn", "proj")


def qkformer_graph(model: QKFormer, build: Builder, last: str) -> nir.NIRGraph:
    """The network after its input node `last`."""
    config = model.config
    index = 0
    for stage, blocks in enumerate(config.stage_blocks, start=1):
        last = _embed(model, build, stage, last)
        grid = (build.shapes[last][1], build.shapes[last][2])
        last = build.tokens(f"stage{stage}.flatten", last)
        for block in range(blocks):
            last = _block(model, build, f"stage{stage}.{block}", last, index, grid)
            index += 1
        last = last if stage == 3 else build.map(f"stage{stage}.map", last, grid)
    return build.read_out(last)


def _embed(model: QKFormer, build: Builder, number: int, last: str) -> str:
    """One patch embedding: a stem in the first, conv-BN-[max-pool]-LIF stages, and a residual branch."""
    prefix = f"patch_embed{number}"
    embed = model.get_submodule(prefix)
    assert isinstance(embed, ResidualEmbed)
    if isinstance(embed, ImageEmbed):
        last = _stage(build, prefix, embed.stem, last)
    main = last
    for stage in embed.stages:
        main = _stage(build, prefix, stage, main)
    branch = build.through(last, *(f"{prefix}.proj_res_{part}" for part in ("conv", "bn", "lif")))
    return build.residual(f"{prefix}.sum", main, branch)


def _stage(build: Builder, prefix: str, stage: Stage, last: str) -> str:
    name = f"{prefix}.{stage.name}"
    last = build.through(last, f"{name}_conv", f"{name}_bn")
    if stage.pool:
        last = build.current_pool(f"{name}_maxpool", last)
    return build.through(last, f"{name}_lif")


def _block(model: QKFormer, build: Builder, name: str, last: str, index: int, grid: tuple[int, int]) -> str:
    config = model.config
    if name.startswith("stage3"):
        form = _form(config, config.attention)
        return attention_block(build, name, last, form, scoring_gate(model, index, grid, form.neurons(name)))
    form = _form(config, "tssa")
    gate = scoring_gate(model, index, grid, form.neurons(name, TOKEN_PARTS))
    return mlp(build, name, _token_attention(build, name, last, form, gate), form, gate)


def _form(config: QKFormerConfig, attention: str) -> BlockForm:
    return BlockForm("conv", config.heads, attention=attention, mlp=config.mlp)


def _token_attention(build: Builder, name: str, last: str, form: BlockForm, gate: Gate | None) -> str:
    """x + proj(k where LIF(Σ over the head's channels of q) spikes)."""
    prefix = f"{name}.tssa"
    routed = build.gate(f"{name}.gate", last, gate)
    q, k = (build.through(routed, *form.names(prefix, part)) for part in ("q", "k"))
    channels, tokens = build.shapes[q]
    sums = nir_nodes.head_sums(channels, form.heads, tokens)
    counts = build.add(f"{prefix}.qk_sum", sums, (form.heads, tokens), q)
    shape = build.shapes[k]
    operands = (build.operand(build.through(counts, f"{prefix}.attn_lif"), shape), k)
    passing = build.add(f"{prefix}.qk_gate", nir_nodes.spike_gate(shape, operands), shape, *operands)
    attended = build.through(passing, *form.names(prefix, "proj"))
    return build.residual(f"{prefix}.residual", last, attended)
