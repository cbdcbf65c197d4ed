"""How a model's structure differs from its configuration's: low-rank layers and sLIF neurons, as JSON-ready facts.

A checkpoint stores the variant beside the configuration; `apply_variant` rebuilds the structure before the state dict is
loaded. Pruned weights need no entry: they are zeros in the weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from pumice.errors import InputError
from pumice.models.pruning.low_rank import factorize, rank_by_layer
from pumice.models.slif import lif_layers, slif_values, to_slif

KEYS = ("low_rank", "slif")


def variant_of(model: nn.Module) -> dict[str, Any]:
    """`{"low_rank": {layer: rank}, "slif": true or [layers]}`, without the keys that do not apply; {} for a plain model."""
    ranks, trained = rank_by_layer(model), list(slif_values(model))
    every = tuple(trained) == lif_layers(model)
    return ({"low_rank": ranks} if ranks else {}) | ({"slif": every or trained} if trained else {})


def apply_variant(model: nn.Module, variant: Mapping[str, Any]) -> None:
    """Gives a freshly built model the structure that `variant` names, in place; weights come afterwards.

    Raises InputError for an unknown key, a layer that the model does not have, and a rank that its matrix cannot have.
    """
    if not isinstance(variant, Mapping):
        raise InputError(f"model variant {variant!r} is no table of its parts", f"known parts: {', '.join(KEYS)}")
    unknown = sorted(set(variant) - set(KEYS))
    if unknown:
        raise InputError(f"unknown model variant {unknown[0]!r}", f"known: {', '.join(KEYS)}")
    low_rank, slif = variant.get("low_rank") or {}, variant.get("slif", False)
    _check_types(low_rank, slif)
    if low_rank:
        factorize(model, low_rank)
    if slif:
        to_slif(model, None if slif is True else slif)


def _check_types(low_rank: Any, slif: Any) -> None:
    ranks_fit = isinstance(low_rank, Mapping) and all(type(rank) is int for rank in low_rank.values())
    if not ranks_fit:
        raise InputError(
            f"model variant low_rank is {low_rank!r}, not ranks by layer", 'e.g. {"block.0.mlp.fc1_linear": 8}'
        )
    names_fit = isinstance(slif, list | tuple) and all(isinstance(name, str) for name in slif)
    if not isinstance(slif, bool) and not names_fit:
        raise InputError(f"model variant slif is {slif!r}", "true for every LIF, or a list of layer names")
