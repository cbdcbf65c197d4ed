"""A Spikformer as a NIR graph. Node names are the official module names; see `pumice.compiler.dialect` for the rest."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nir
import numpy as np
from torch import nn

from pumice.compiler.dialect import annotation, extension
from pumice.files import write_atomically
from pumice.models import nir_nodes
from pumice.models.neuron import LIF
from pumice.models.nir_nodes import Shape
from pumice.models.spikformer import Spikformer
from pumice.models.spikformer_layers import ATTENTION_SCALE, POOL, stage_suffix

FAMILY = "spikformer"
ATTENTION_LIFS = ("q_lif", "k_lif", "v_lif", "attn_lif", "proj_lif")
MLP_LIFS = ("fc1_lif", "fc2_lif")


@dataclass(frozen=True)
class _Builder:
    """The graph so far, and the model it is read from."""

    model: Spikformer
    nodes: dict[str, nir.NIRNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)

    def add(self, name: str, node: nir.NIRNode, *sources: str) -> str:
        """Puts in a node with an edge from each source; returns its name."""
        self.nodes[name] = node
        self.edges.extend((source, name) for source in sources)
        return name

    def layer(self, name: str) -> Any:
        return self.model.get_submodule(name)


def to_nir(model: Spikformer) -> nir.NIRGraph:
    """The model, with its token pruning, as a NIR graph: input `[C, H, W]`, output `[K]`, one sample, one timestep.

    The weights are copied. Any `nir.read` loads the written graph; a consumer that does not know the dialect refuses it.
    """
    config, build = model.config, _Builder(model)
    facts = {"timesteps": config.T, "encoding": "repeat", "family": FAMILY, "config": config.as_dict()}
    shape = np.array([config.in_channels, config.img_size_h, config.img_size_w])
    build.add("input", nir.Input(shape, metadata=annotation(facts)))
    last = _patch_embed(build, "input")
    for block in range(config.depths):
        last = _block(build, block, last)
    _head(build, last)
    return nir.NIRGraph(build.nodes, build.edges)


def write_nir(graph: nir.NIRGraph, path: str | Path) -> None:
    """Writes `graph` as a `.nir` file, uncompressed: faster both ways, and float weights hardly compress.

    The file appears whole or not at all. Raises InputError where it cannot be written.
    """
    content = io.BytesIO()
    nir.write(content, graph, compression=None)
    write_atomically(Path(path), content.getvalue())


def _patch_embed(build: _Builder, last: str) -> str:
    """Four conv stages, the position embedding, their sum, and the map flattened to tokens `[C, N]`."""
    config, prefix = build.model.config, "patch_embed."
    size = (config.img_size_h, config.img_size_w)
    for stage in range(4):
        suffix = stage_suffix(stage)
        last, shape = _conv_bn_lif(build, last, prefix, f"proj_conv{suffix}", f"proj_bn{suffix}", size)
        if stage in config.pool_stages:
            last = build.add(f"{prefix}maxpool{suffix}", nir_nodes.spike_max_pool(shape, *POOL), last)
            _, *size_list = nir_nodes.pooled_shape(shape, *POOL)
            size = (size_list[0], size_list[1])
    positions, shape = _conv_bn_lif(build, last, prefix, "rpe_conv", "rpe_bn", size)
    total = build.add(f"{prefix}sum", nir_nodes.residual(shape), last, positions)
    flatten = nir.Flatten(input_type={"input": np.array(shape)}, start_dim=1, end_dim=-1)
    return build.add(f"{prefix}flatten", flatten, total)


def _conv_bn_lif(
    build: _Builder, last: str, prefix: str, conv: str, norm: str, size: tuple[int, int]
) -> tuple[str, Shape]:
    layer: nn.Conv2d = build.layer(prefix + conv)
    shape = (layer.out_channels, *size)
    last = build.add(prefix + conv, nir_nodes.conv2d(layer, size), last)
    last = build.add(prefix + norm, nir_nodes.batch_norm(build.layer(prefix + norm), shape), last)
    name = prefix + norm.replace("bn", "lif")
    return build.add(name, nir_nodes.lif(build.layer(name), shape), last), shape


def _block(build: _Builder, block: int, last: str) -> str:
    """x + SSA(x), x + MLP(x). Gates stand before the layers; the residual edges pass them by."""
    config, attn, mlp = build.model.config, f"block.{block}.attn", f"block.{block}.mlp"
    shape = (config.embed_dims, config.tokens)
    routed = _gate(build, f"block.{block}.gate", last, _scoring(build, block))
    operands = [_linear_bn_lif(build, routed, f"{attn}.{part}") for part in ("q", "k", "v")]
    ssa = nir_nodes.attention(shape, operands, config.num_heads, ATTENTION_SCALE)
    product = build.add(f"{attn}.ssa", ssa, *operands)
    lif: LIF = build.layer(f"{attn}.attn_lif")
    spikes = build.add(f"{attn}.attn_lif", nir_nodes.lif(lif, shape), product)
    attended = _linear_bn_lif(build, spikes, f"{attn}.proj")
    last = build.add(f"{attn}.residual", nir_nodes.residual(shape), last, attended)
    routed = _gate(build, f"{mlp}.gate", last, {"mask_of": f"block.{block}.gate"})
    hidden = _linear_bn_lif(build, routed, f"{mlp}.fc1")
    return build.add(f"{mlp}.residual", nir_nodes.residual(shape), last, _linear_bn_lif(build, hidden, f"{mlp}.fc2"))


def _linear_bn_lif(build: _Builder, last: str, prefix: str) -> str:
    layer: nn.Linear = build.layer(f"{prefix}_linear")
    tokens = build.model.config.tokens
    shape = (layer.out_features, tokens)
    last = build.add(f"{prefix}_linear", nir_nodes.token_linear(layer, tokens), last)
    last = build.add(f"{prefix}_bn", nir_nodes.batch_norm(build.layer(f"{prefix}_bn"), shape), last)
    return build.add(f"{prefix}_lif", nir_nodes.lif(build.layer(f"{prefix}_lif"), shape), last)


def _gate(build: _Builder, name: str, last: str, attributes: dict[str, Any]) -> str:
    if build.model.pruning is None:
        return last
    shape = (build.model.config.embed_dims, build.model.config.tokens)
    return build.add(name, extension("TokenGate", shape, shape, attributes), last)


def _scoring(build: _Builder, block: int) -> dict[str, Any]:
    """How a block scores and gates its tokens: the attributes of its first gate."""
    if build.model.pruning is None:
        return {}
    pruning, (height, width) = build.model.pruning, build.model.config.grid
    gated = [f"block.{block}.attn.{lif}" for lif in ATTENTION_LIFS] + [f"block.{block}.mlp.{lif}" for lif in MLP_LIFS]
    return {
        "block": block,
        "height": height,
        "width": width,
        "retention": pruning.retention[block],
        "criterion": pruning.criterion.as_dict(),
        "state": pruning.state,
        "neurons": gated,
    }


def _head(build: _Builder, last: str) -> None:
    """Token mean, Linear, time mean. The Linear commutes with the time mean, so it may run at every step."""
    config = build.model.config
    channels, classes = (config.embed_dims,), (config.num_classes,)
    last = build.add("token_mean", extension("TokenMean", (config.embed_dims, config.tokens), channels, {}), last)
    head = build.model.head
    last = build.add("head", nir.Affine(nir_nodes.array(head.weight), nir_nodes.array(head.bias)), last)
    last = build.add("time_mean", extension("TimeMean", classes, classes, {}), last)
    build.add("output", nir.Output(np.array(classes)), last)
