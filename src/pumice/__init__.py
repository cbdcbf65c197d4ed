"""Pumice: a deployment compiler for pruned spiking transformers on Loihi-style neuromorphic chips."""

from pumice.errors import PumiceError

__all__ = ["PumiceError", "__version__"]
__version__ = "0.1.0"
