"""Structured synapse pruning: a weight matrix becomes the product of two thin ones (low rank).

Source: Sun et al., arXiv 2508.01992, Fig. 2: DSP turns U_q, U_k, U_v, M_0 (here `proj`), M_1 and M_2 (`fc1`, `fc2`) of
every block into low-rank matrices. We start the factors at the truncated singular value decomposition, the matrix of
that rank nearest to the dense one (Eckart & Young 1936), and fine-tune from there.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.pruning.submodules import check_not_repeated, names_of, replace_submodule, submodule


class LowRankLinear(nn.Sequential):
    """Two Linear layers in a row in place of one: `0` of `rank` outputs without bias, `1` with bias.

    No neuron stands between them, so `[..., in]` -> `[..., out]` is the Linear whose weight is their product.
    """

    def __init__(self, in_features: int, out_features: int, rank: int, bias: bool = True) -> None:
        _check_rank("LowRankLinear", in_features, out_features, rank)
        super().__init__(nn.Linear(in_features, rank, bias=False), nn.Linear(rank, out_features, bias=bias))
        self.in_features, self.out_features, self.rank = in_features, out_features, rank

    @property
    def inner(self) -> nn.Linear:
        """The first factor, weight `[rank, in]`."""
        return _linear(self[0])

    @property
    def outer(self) -> nn.Linear:
        """The second factor, weight `[out, rank]`, with the bias."""
        return _linear(self[1])

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """The dense Linear that computes the same; its weight is the product, summed in float64."""
        weight = self.outer.weight.double() @ self.inner.weight.double()
        return _dense(weight.to(self.outer.weight.dtype), self.outer.bias)


@torch.no_grad()
def from_dense(layer: nn.Linear, rank: int) -> LowRankLinear:
    """The factors of `layer`'s nearest matrix of the given rank. Raises InputError for a rank it cannot have.

    The singular values are shared equally between the factors, so that both learn at the same pace.
    """
    outputs, inputs = layer.weight.shape
    factors = LowRankLinear(inputs, outputs, rank, bias=layer.bias is not None).to(layer.weight)
    left, values, right = torch.linalg.svd(layer.weight.double(), full_matrices=False)
    root = values[:rank].sqrt()
    factors.outer.weight.copy_(left[:, :rank] * root)
    factors.inner.weight.copy_(root[:, None] * right[:rank])
    if layer.bias is not None:
        factors.outer.bias.copy_(layer.bias)
    return factors


def rank_of(layer: nn.Linear, kept: float) -> int:
    """The largest rank whose factors hold at most the share `kept` of the dense weights; at least 1."""
    if not 0 < kept < 1:
        raise InputError(f"low rank: the share of weights kept is {kept}, not between 0 and 1", "e.g. 0.5")
    outputs, inputs = layer.weight.shape
    return max(1, int(kept * inputs * outputs / (inputs + outputs)))


def low_rank_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the dense Linear layers inside the model's blocks: in a Spikformer the six matrices of each."""
    return tuple(name for name in names_of(model, nn.Linear) if name.startswith("block.") and not _is_factor(name))


def factorize(model: nn.Module, ranks: Mapping[str, int]) -> None:
    """Replaces the named Linear layers by their low-rank factors, in place.

    Raises InputError, and changes nothing, for a name that is no Linear of the model and for a rank above its matrix's.
    """
    layers = {name: named_linear(model, name) for name in check_not_repeated(ranks)}
    for name, layer in layers.items():
        _check_rank(f"layer {name!r}", layer.in_features, layer.out_features, ranks[name])
    factors = {name: from_dense(layer, ranks[name]) for name, layer in layers.items()}
    for name, pair in factors.items():
        replace_submodule(model, name, pair)


def rank_by_layer(model: nn.Module) -> dict[str, int]:
    """The rank of every low-rank layer, by name."""
    layers = {name: model.get_submodule(name) for name in names_of(model, LowRankLinear)}
    return {name: layer.rank for name, layer in layers.items() if isinstance(layer, LowRankLinear)}


def share_saved(model: nn.Module) -> float:
    """The share of the factorized layers' dense weights that the factors do without, 0 where there are none."""
    dense = kept = 0
    for layer in model.modules():
        if isinstance(layer, LowRankLinear):
            dense += layer.in_features * layer.out_features
            kept += layer.rank * (layer.in_features + layer.out_features)
    return 1 - kept / dense if dense else 0.0


def _is_factor(name: str) -> bool:
    return name.rsplit(".", 1)[-1].isdecimal()


def named_linear(model: nn.Module, name: str) -> nn.Linear:
    """The Linear layer called `name`. Raises InputError where the model has none of that name."""
    layer = submodule(model, name)
    if not isinstance(layer, nn.Linear):
        kind = type(layer).__name__
        raise InputError(f"layer {name!r} is a {kind}, not a Linear", "see `low_rank_layers(model)`")
    return layer


def _check_rank(name: str, inputs: int, outputs: int, rank: int) -> None:
    largest = min(inputs, outputs)
    if not 1 <= rank <= largest:
        raise InputError(f"{name}: rank {rank} of a {outputs}x{inputs} matrix", f"choose 1 to {largest}")


def _dense(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None).to(weight)
    layer.weight.copy_(weight)
    if bias is not None:
        layer.bias.copy_(bias)
    return layer


def _linear(layer: nn.Module) -> nn.Linear:
    assert isinstance(layer, nn.Linear)
    return layer
