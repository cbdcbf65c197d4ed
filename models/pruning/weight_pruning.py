"""Unstructured synapse pruning by magnitude (L1), and the bookkeeping of pruned weights: masks and densities.

Sources: Sun et al., arXiv 2508.01992, Fig. 2 (L1P: U_q, U_k, U_v, M_0, M_1 and M_2 of every block become sparse);
`torch.nn.utils.prune` picks the weights. A pruned weight is a zero in the state dict: no mask is stored beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import prune

from pumice.errors import InputError
from pumice.models.pruning.submodules import check_not_repeated, names_of, submodule

Grouping = Literal["global", "layer"]
WeightLayer = nn.Linear | nn.Conv1d | nn.Conv2d
WeightMasks = dict[str, Tensor]

BLOCK_PREFIXES = ("block", "stage")  # Spikformer and SDT, QKFormer


def weight_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of all Linear and Conv layers."""
    return names_of(model, (nn.Linear, nn.Conv1d, nn.Conv2d))


def block_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the Linear and Conv layers inside the transformer blocks: in a Spikformer the six matrices of each."""
    return tuple(name for name in weight_layers(model) if name.startswith(BLOCK_PREFIXES))


def prune_l1(
    model: nn.Module, amount: float, grouping: Grouping = "global", layers: Sequence[str] | None = None
) -> WeightMasks:
    """Sets the share `amount` of the named layers' weights (None: those of the blocks) to zero, smallest magnitude first.

    grouping "global": one ranking over all named layers, which then differ in density; "layer": the same share of each.
    Biases and BatchNorm stay. Returns, by layer name, bool masks of the weights' shapes, True where a weight stays.
    Raises InputError for an amount outside (0, 1), an unknown grouping and a name that is no Linear or Conv layer.
    """
    check_amount(amount)
    if grouping not in get_args(Grouping):
        raise InputError(f"unknown grouping {grouping!r}", f"known: {', '.join(get_args(Grouping))}")
    named = named_layers(model, layers)
    if grouping == "global":
        parameters = [(layer, "weight") for layer in named.values()]
        prune.global_unstructured(parameters, prune.L1Unstructured, amount=amount)  # type: ignore[no-untyped-call]
    else:
        for layer in named.values():
            prune.l1_unstructured(layer, "weight", amount=amount)  # type: ignore[no-untyped-call]
    return {name: _made_permanent(layer) for name, layer in named.items()}


def zero_masks(model: nn.Module, layers: Sequence[str] | None = None) -> WeightMasks:
    """The masks of an already pruned model: True where the weight of a named layer (None: the blocks') is not zero."""
    return {name: layer.weight.detach() != 0 for name, layer in named_layers(model, layers).items()}


@torch.no_grad()
def apply_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> None:
    """Sets every masked weight to zero, in place. Raises InputError for masks of another model."""
    named = named_layers(model, tuple(masks))
    for name, layer in named.items():
        if masks[name].shape != layer.weight.shape:
            shapes = f"{tuple(masks[name].shape)}, its weight {tuple(layer.weight.shape)}"
            raise InputError(f"the mask of layer {name!r} has shape {shapes}", "use the masks of this model")
        layer.weight.masked_fill_(~masks[name], 0.0)


def keep_masks(model: nn.Module, masks: Mapping[str, Tensor]) -> Callable[[], None]:
    """What fine-tuning calls after every optimizer step, so that pruned weights stay zero (weight decay and momentum move
    them otherwise)."""
    return lambda: apply_masks(model, masks)


def weight_density(model: nn.Module) -> dict[str, float]:
    """Share of nonzero weights of every Linear and Conv layer, by name: what a chip has to store as synapses."""
    layers = named_layers(model, weight_layers(model))
    return {name: layer.weight.count_nonzero().item() / layer.weight.numel() for name, layer in layers.items()}


def weight_sparsity(model: nn.Module, layers: Sequence[str] | None = None) -> float:
    """Share of zeros among all weights of the named layers (None: those of the blocks) together."""
    weights = [layer.weight for layer in named_layers(model, layers).values()]
    nonzero = sum(int(weight.count_nonzero().item()) for weight in weights)
    return 1 - nonzero / sum(weight.numel() for weight in weights)


def named_layers(model: nn.Module, layers: Sequence[str] | None) -> dict[str, WeightLayer]:
    """The named layers, or for None the blocks'. Raises InputError for a name that is no Linear or Conv layer."""
    named: dict[str, WeightLayer] = {}
    for name in check_not_repeated(block_layers(model) if layers is None else layers):
        layer = submodule(model, name)
        if not isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            kind = type(layer).__name__
            raise InputError(f"layer {name!r} is a {kind}, not a Linear or Conv", "see `weight_layers(model)`")
        named[name] = layer
    return named


def check_amount(amount: float) -> None:
    """Raises InputError unless the share of weights to prune lies strictly between 0 and 1."""
    if not 0 < amount < 1:
        raise InputError(f"the share of weights to prune is {amount}, not between 0 and 1", "e.g. 0.8 for 80 %")


def _made_permanent(layer: WeightLayer) -> Tensor:
    """torch's pruning hook becomes plain zeros in the weight; returns the mask that it used."""
    mask = layer.get_buffer("weight_mask").bool()
    prune.remove(layer, "weight")  # type: ignore[no-untyped-call]
    return mask
