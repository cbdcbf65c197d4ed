"""A network by its name, with samples to calibrate it on: for commands that take a model and not a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import nir
from numpy.typing import NDArray

from pumice.errors import BackendUnavailable, InputError

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork


@dataclass(frozen=True, eq=False)
class ModelSource:
    """network: in NIR. samples: [B, …] as it takes them."""

    network: nir.NIRGraph
    samples: NDArray[Any]


@dataclass(frozen=True, eq=False)
class FloatSource:
    """A network in eval mode, and samples [B, …] to calibrate it on."""

    network: SpikingNetwork
    samples: NDArray[Any]


def network_and_samples(name: str) -> ModelSource:
    """`float_source` of that name, in NIR."""
    source = float_source(name)
    from pumice.models.nir.export import to_nir

    return ModelSource(to_nir(source.network), source.samples)


def float_source(name: str) -> FloatSource:
    """A zoo model with the calibration split of its data; or a paper's network at full size with random weights, and one random
    image. Raises InputError for an unknown name, BackendUnavailable without PyTorch."""
    try:
        from pumice.models.checkpoints import load_zoo, zoo_names
        from pumice.models.paper_models import paper_model, paper_model_names, paper_samples
        from pumice.models.training.datasets import zoo_data
    except ImportError as error:
        raise BackendUnavailable("models need PyTorch", "pip install 'pumice[torch]'") from error
    if name in paper_model_names():
        return FloatSource(paper_model(name), paper_samples(name))
    if name in zoo_names():
        return FloatSource(load_zoo(name), zoo_data(name).calibration.images.numpy())
    known = ", ".join((*zoo_names(), *paper_model_names()))
    raise InputError(f"there is no model {name!r}", f"known: {known}")
