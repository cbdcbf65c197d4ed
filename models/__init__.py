"""Trained spiking transformers and their way into NIR.

    spikformer      the network, with the official state-dict keys
    neuron          its LIF neuron, surrogate gradients, token gating
    token_pruning   which tokens a block routes (TP-Spikformer, IR-Arc)
    nir_export      model -> NIR graph; `nir_import` reads it back
    training        how the zoo's checkpoint was made; `digits` is its data
    checkpoints     load and save, the zoo

Importing this package is cheap: torch loads with the submodule that uses it.
"""

__all__ = [
    "checkpoints",
    "digits",
    "neuron",
    "nir_export",
    "nir_import",
    "spikformer",
    "spikformer_layers",
    "token_pruning",
    "training",
]
