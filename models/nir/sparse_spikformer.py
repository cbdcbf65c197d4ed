"""SparseSpikformer, as it runs in eval mode, as a NIR graph: token gates whose criterion is a learned selector.

A token that a selector drops stays dropped: it is left out of every later block and of the head's token mean.
"""

from __future__ import annotations

from typing import Any

import nir
from numpy.typing import NDArray
from torch import nn

from pumice.models.nir.builder import Builder, Gate
from pumice.models.nir.nodes import array
from pumice.models.nir.spikformer import BlockForm, attention_block, patch_embed
from pumice.models.sparse_spikformer import SparseSpikformer


def sparse_spikformer_graph(model: SparseSpikformer, build: Builder, last: str) -> nir.NIRGraph:
    """The network after its input node `last`. Blocks before the first selector have no gates."""
    config = model.config
    last = patch_embed(model.patch_embed, build, last)
    form = BlockForm("linear", config.num_heads)
    latest, kept = "", config.tokens
    for block in range(config.depths):
        name, gate = f"block.{block}", _mask_of(latest)
        if block in config.pruning_loc:
            selector = config.pruning_loc.index(block)
            gate = _selector_gate(model, build, selector, latest, form)
            latest, kept = f"{name}.gate", config.kept(selector)
        last = attention_block(build, name, last, form, gate)
    return build.read_out(build.gate("token_gate", last, _mask_of(latest)), tokens=kept)


def selector_layers(model: SparseSpikformer, selector: int) -> list[nn.Linear]:
    """The two Linear layers of a token selector."""
    return [layer for layer in model.predictor[selector].modules() if isinstance(layer, nn.Linear)]


def _mask_of(latest: str) -> Gate | None:
    return Gate({"mask_of": latest}) if latest else None


def _selector_gate(model: SparseSpikformer, build: Builder, selector: int, within: str, form: BlockForm) -> Gate:
    """The gate of one selector, which rules its block and those after it up to the next. within: the gate before, or ""."""
    config = model.config
    _, height, width = build.shapes["patch_embed.sum"]
    first, kept = config.pruning_loc[selector], config.kept(selector)
    last = config.pruning_loc[selector + 1] if selector + 1 < len(config.pruning_loc) else config.depths
    attributes = {
        "block": first,
        "height": height,
        "width": width,
        "retention": kept / config.tokens,
        "kept": kept,
        "within": within,
        "criterion": {"rule": "selector"},
        "state": "hold",
        "neurons": [lif for block in range(first, last) for lif in form.neurons(f"block.{block}")],
    }
    return Gate(attributes, _arrays(*selector_layers(model, selector)))


def _arrays(hidden: nn.Linear, out: nn.Linear) -> dict[str, NDArray[Any]]:
    return {
        "w1": array(hidden.weight),
        "b1": array(hidden.bias),
        "w2": array(out.weight),
        "b2": array(out.bias),
    }
