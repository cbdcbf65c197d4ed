"""SDT-V1 as a NIR graph: membranes run along the residual path, and every convolution but the first sees spikes."""

from __future__ import annotations

import nir

from pumice.errors import InputError
from pumice.models.nir import nodes as nir_nodes
from pumice.models.nir.builder import Builder, Gate
from pumice.models.nir.gates import following_gate, scoring_gate
from pumice.models.sdt_v1 import FAMILY, SdtV1
from pumice.models.sdt_v1_layers import MLP
from pumice.models.spikformer_layers import stage_suffix

ATTENTION_NEURONS = ("shortcut_lif", "q_lif", "k_lif", "v_lif", "residual")


def sdt_v1_graph(model: SdtV1, build: Builder, last: str) -> nir.NIRGraph:
    """The network after its input node `last`. Raises InputError for the form that keeps time (TET)."""
    if model.config.TET:
        raise InputError(f"{FAMILY}: with TET the output is one set of logits per timestep", "build it with TET=False")
    last = _patch_embed(model, build, last)
    for block in range(model.depth):
        last = _block(model, build, block, last)
    return build.read_out(last, neuron="head_lif")


def _patch_embed(model: SdtV1, build: Builder, last: str) -> str:
    """Stages 0 to 2 pool spikes, stage 3 currents; its membrane and the position embedding's add up."""
    prefix, pooled = "patch_embed.", model.config.pooled
    for stage in range(3):
        suffix = stage_suffix(stage)
        last = build.through(last, *(f"{prefix}proj_{part}{suffix}" for part in ("conv", "bn", "lif")))
        last = build.spike_pool(f"{prefix}maxpool{suffix}", last) if pooled[stage] else last
    membrane = build.through(last, f"{prefix}proj_conv3", f"{prefix}proj_bn3")
    membrane = build.current_pool(f"{prefix}maxpool3", membrane) if pooled[3] else membrane
    positions = build.through(membrane, *(f"{prefix}{name}" for name in ("proj_lif3", "rpe_conv", "rpe_bn")))
    return build.tokens(f"{prefix}flatten", build.residual(f"{prefix}sum", membrane, positions))


def _block(model: SdtV1, build: Builder, block: int, last: str) -> str:
    """Attention, then MLP, each with a membrane shortcut. Gated: the neurons, and what the block adds to the membrane."""
    name = f"block.{block}"
    mlp = model.get_submodule(f"{name}.mlp")
    assert isinstance(mlp, MLP)
    inner = ["inner_residual"] if mlp.inner_shortcut else []
    gated = [f"{name}.attn.{part}" for part in ATTENTION_NEURONS]
    gated += [f"{name}.mlp.{part}" for part in ("fc1_lif", *inner, "fc2_lif", "residual")]
    gate = scoring_gate(model, block, model.config.grid, gated)
    last = _attention(build, name, last, gate)
    return _mlp(build, name, last, following_gate(gate, f"{name}.gate"), mlp.inner_shortcut)


def _attention(build: Builder, name: str, last: str, gate: Gate | None) -> str:
    """x + proj(q where LIF(Σ over tokens of k ⊙ v) spikes)."""
    prefix = f"{name}.attn"
    spikes = build.through(build.gate(f"{name}.gate", last, gate), f"{prefix}.shortcut_lif")
    q, k, v = (
        build.through(spikes, *(f"{prefix}.{part}_{layer}" for layer in ("conv", "bn", "lif"))) for part in "qkv"
    )
    shape = build.shapes[q]
    counts = build.add(f"{prefix}.kv", nir_nodes.coincidences(shape, (k, v)), (shape[0], 1), k, v)
    operands = (build.operand(build.through(counts, f"{prefix}.talking_heads_lif"), shape), q)
    passing = build.add(f"{prefix}.q_gate", nir_nodes.spike_gate(shape, operands), shape, *operands)
    current = build.through(passing, f"{prefix}.proj_conv", f"{prefix}.proj_bn")
    return build.residual(f"{prefix}.residual", last, current)


def _mlp(build: Builder, name: str, last: str, gate: Gate | None, inner_shortcut: bool) -> str:
    prefix = f"{name}.mlp"
    routed = build.gate(f"{prefix}.gate", last, gate)
    hidden = build.through(routed, f"{prefix}.fc1_lif", f"{prefix}.fc1_conv", f"{prefix}.fc1_bn")
    if inner_shortcut:
        last = build.residual(f"{prefix}.inner_residual", last, hidden)
        hidden = build.gate(f"{prefix}.inner_gate", last, gate)
    current = build.through(hidden, f"{prefix}.fc2_lif", f"{prefix}.fc2_conv", f"{prefix}.fc2_bn")
    return build.residual(f"{prefix}.residual", last, current)
