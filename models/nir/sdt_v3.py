"""SDT-V3 as a NIR graph, of one timestep: MultiSpike levels along the synapses, membranes along the residual path.

Convolutional halves run on maps `[C, H, W]`, the token-wise half of a transformer block on tokens `[C, N]`.
"""

from __future__ import annotations

import nir

from pumice.models.nir import nodes as nir_nodes
from pumice.models.nir.builder import Builder, Gate
from pumice.models.nir.gates import following_gate, scoring_gate
from pumice.models.sdt_v3 import BLOCKS, SdtV3
from pumice.models.sdt_v3_layers import Attention

ATTENTION_NEURONS = ("head_spike", "q_spike", "k_spike", "v_spike", "attn_spike", "residual")
MLP_NEURONS = ("fc1_spike", "fc2_spike", "residual")
EMBEDDING = (
    ("downsample1_1", ("ConvBlock1_1",)),
    ("downsample1_2", ("ConvBlock1_2",)),
    ("downsample2", ("ConvBlock2_1", "ConvBlock2_2")),
    ("downsample3", ()),
)


def sdt_v3_graph(model: SdtV3, build: Builder, last: str) -> nir.NIRGraph:
    """The network after its input node `last`."""
    for down, blocks in EMBEDDING:
        last = _downsample(build, down, last)
        for block in blocks:
            last = _conv_block(build, f"{block}.0", last)
    last = _stage(model, build, "block3", last, 0)
    last = _downsample(build, "downsample4", build.map("block3.map", last, model.config.grid))
    last = _stage(model, build, "block4", last, BLOCKS[0])
    return build.read_out(last, neuron="spike")


def _downsample(build: Builder, name: str, last: str) -> str:
    return build.through(last, f"{name}.encode_spike", f"{name}.encode_conv", f"{name}.encode_bn")


def _conv_block(build: Builder, name: str, last: str) -> str:
    """x + SepConv(x), then x + two 3×3 MultiSpike-conv-BN layers."""
    last = _sep_conv(build, f"{name}.Conv", last)
    layers = ("spike1", "conv1", "bn1", "spike2", "conv2", "bn2")
    return build.residual(f"{name}.residual", last, build.through(last, *(f"{name}.{layer}" for layer in layers)))


def _sep_conv(build: Builder, name: str, last: str) -> str:
    """x + SepConv(x) on a map."""
    layers = ("spike1", "pwconv1", "spike2", "dwconv", "spike3", "pwconv2")
    return build.residual(f"{name}.residual", last, build.through(last, *(f"{name}.{layer}" for layer in layers)))


def _stage(model: SdtV3, build: Builder, stage: str, last: str, first: int) -> str:
    """The transformer blocks of a stage. last: a map; returns tokens. first: the number of the stage's first block."""
    grid = model.config.grid
    for block in range(BLOCKS[0] if stage == "block3" else BLOCKS[1]):
        name = f"{stage}.{block}"
        scored = ""
        if len(build.shapes[last]) == 2:
            scored, last = last, build.map(f"{name}.map", last, grid)
        elif model.pruning is not None:
            scored = build.tokens(f"{name}.input_flatten", last)
        mixed = build.tokens(f"{name}.flatten", _sep_conv(build, f"{name}.conv", last))
        gated = [f"{name}.attn.{part}" for part in ATTENTION_NEURONS] + [f"{name}.mlp.{part}" for part in MLP_NEURONS]
        gate = scoring_gate(model, first + block, grid, gated)
        last = _attention(build, name, mixed, scored, gate)
        last = _mlp(build, name, last, following_gate(gate, f"{name}.gate"))
    return last


def _attention(build: Builder, name: str, last: str, scored: str, gate: Gate | None) -> str:
    """x + Attention(x) on tokens; tokens are scored where the block begins, before its convolution."""
    prefix = f"{name}.attn"
    attention = build.model.get_submodule(prefix)
    assert isinstance(attention, Attention)
    levels = build.through(build.gate(f"{name}.gate", last, gate, scored), f"{prefix}.head_spike")
    operands = [build.through(levels, f"{prefix}.{part}_conv", f"{prefix}.{part}_spike") for part in ("q", "k", "v")]
    inside, shape = build.shapes[operands[0]], build.shapes[operands[2]]
    operands[2] = build.operand(operands[2], inside)
    ssa = nir_nodes.attention(inside, shape, operands, attention.heads, attention.scale)
    product = build.add(f"{prefix}.ssa", ssa, shape, *operands)
    current = build.through(product, f"{prefix}.attn_spike", f"{prefix}.proj_conv")
    return build.residual(f"{prefix}.residual", last, current)


def _mlp(build: Builder, name: str, last: str, gate: Gate | None) -> str:
    prefix = f"{name}.mlp"
    routed = build.gate(f"{prefix}.gate", last, gate)
    layers = ("fc1_spike", "fc1_conv", "fc1_bn", "fc2_spike", "fc2_conv", "fc2_bn")
    return build.residual(f"{prefix}.residual", last, build.through(routed, *(f"{prefix}.{layer}" for layer in layers)))
