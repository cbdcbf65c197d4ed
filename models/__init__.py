"""Trained spiking transformers and their way into NIR.

    spikformer      the network, with the official state-dict keys
    neuron          its LIF neuron, surrogate gradients, token gating
    timesteps       layers without time, run over all steps
    token_pruning   which tokens a block routes (TP-Spikformer, IR-Arc)
    nir_export      model -> NIR graph; `nir_import` reads it back
    training        how the zoo's checkpoint was made; `digits` is its data
    checkpoints     load and save, the zoo
    profiling       synaptic operations of any torch module: `profile`; `dense_operations` counts from the architecture alone
    official        checkpoints of the official repositories: `load_official`
    spikformer_conv, qkformer, sparse_spikformer, sdt_v1, sdt_v3    the other architectures
    multispike      SDT-V3's integer neuron; `rep_conv` merges the family's RepConv into one convolution

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
    "digits",
    "load_official",
    "multispike",
    "neuron",
    "nir_export",
    "nir_import",
    "official",
    "profile",
    "profiling",
    "qkformer",
    "rep_conv",
    "sdt_v1",
    "sdt_v3",
    "sparse_spikformer",
    "spikformer",
    "spikformer_conv",
    "spikformer_layers",
    "token_pruning",
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
    """`pumice.models.profiling.profile`, which imports torch."""
    from pumice.models.profiling import profiler

    return profiler.profile(module, batches, activations)
