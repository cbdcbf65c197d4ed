"""Trained spiking transformers and their way into NIR.

    spikformer, spikformer_conv, sdt_v1, qkformer, sdt_v3, sparse_spikformer    the architectures, official state-dict keys
    network             what they share; `neuron` (LIF, token gating), `slif`, `multispike`; `rep_conv` merges a RepConv
    pruning             tokens (TP-Spikformer) and weights (L1, iterative magnitude pruning, low-rank factors)
    training            how the zoo's checkpoints were made, and their data
    checkpoints, zoo    load and save; what ships
    nir                 model -> NIR graph, and back
    profiling           synaptic operations of any torch module: `profile`; dense operations from the architecture alone
    official            checkpoints of the official repositories: `load_official`

Importing this package is cheap: torch loads with the submodule that uses it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pumice.models.profiling.profiler import Profile

__all__ = [
    "checkpoints",
    "load_official",
    "multispike",
    "network",
    "neuron",
    "nir",
    "official",
    "profile",
    "profiling",
    "pruning",
    "qkformer",
    "rep_conv",
    "sdt_v1",
    "sdt_v3",
    "slif",
    "sparse_spikformer",
    "spikformer",
    "spikformer_conv",
    "training",
]


def load_official(
    family: str,
    kwargs: Mapping[str, Any],
    state_dict: Mapping[str, Tensor],
    batch_semantics: Literal["independent", "official"] = "official",
) -> nn.Module:
    """`pumice.models.official.load_official`, which imports torch."""
    from pumice.models import official

    return official.load_official(family, kwargs, state_dict, batch_semantics)


def profile(module: nn.Module, batches: Iterable[Tensor], activations: tuple[type[nn.Module], ...] = ()) -> Profile:
    """`pumice.models.profiling.profiler.profile`, which imports torch."""
    from pumice.models.profiling import profiler

    return profiler.profile(module, batches, activations)
