"""The networks of a benchmark: pruned, settled to the unpruned network's firing rates, compiled, and kept in a folder."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip
from pumice.models.checkpoints import load_checkpoint, save_checkpoint, zoo_names
from pumice.models.nir.export import input_shape, to_nir
from pumice.models.paper_models import random_images
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.pruning.weight_pruning import prune_l1, weight_layers
from pumice.models.random_weights import Rates, settle_rates
from pumice.runtime.bench.plans import ModelPlan, Variant
from pumice.runtime.model_sources import FloatSource, float_source

if TYPE_CHECKING:
    from pumice.models.network import SpikingNetwork

CHIP = "loihi2"
SETTLED_ON = 16  # images, at most
CALIBRATED_ON = 128  # images, at most: what is measured here depends on rates, not on accuracy
IMAGES_SEED = 7
Images = NDArray[Any]


@dataclass(frozen=True)
class Store:
    """Where a model's programs, networks and images are kept during a run of the benchmark."""

    folder: Path

    def program(self, variant: Variant) -> Program:
        """A variant, compiled."""
        return read_artifact(self.artifact(variant))

    def artifact(self, variant: Variant) -> Path:
        """Its file."""
        return self.folder / f"{_word(variant)}.pumice"

    def network(self, variant: Variant) -> SpikingNetwork:
        """The same variant in PyTorch; of pruned tokens, one that scores them itself."""
        network = load_checkpoint(self.folder / f"density-{variant.density:g}.safetensors")
        network.pruning = pruning_of(network, variant)
        return network

    def images(self) -> Images:
        """[B, C, H, W]."""
        images: Images = np.load(self.folder / "images.npy")
        return images


def prepare(plan: ModelPlan, store: Store) -> dict[str, float]:
    """Makes and compiles all variants of a model; returns the seconds that each took to compile."""
    store.folder.mkdir(parents=True, exist_ok=True)
    source, taken = float_source(plan.name), {}
    np.save(store.folder / "images.npy", images_of(plan, source.network))
    for density in dict.fromkeys(variant.density for variant in plan.all_variants):
        network = source.network if density == 1 else thinned(source, density)
        save_checkpoint(network, store.folder / f"density-{density:g}.safetensors", {})
        for variant in [one for one in plan.all_variants if one.density == density]:
            began = time.perf_counter()
            write_artifact(compiled(network, variant, source.samples[:CALIBRATED_ON]), store.artifact(variant))
            taken[variant.name] = time.perf_counter() - began
    return taken


def compiled(network: SpikingNetwork, variant: Variant, samples: Images) -> Program:
    """A variant's program."""
    network.pruning = pruning_of(network, variant)
    options = CompileOptions(masks="off" if network.pruning is None else variant.masks)
    return compile_nir(to_nir(network), samples, load_chip(CHIP), options)


def pruning_of(network: SpikingNetwork, variant: Variant) -> TokenPruning | None:
    """The same retention in every block, by the default criterion."""
    return None if variant.retention == 1 else TokenPruning((variant.retention,) * network.depth)


def thinned(source: FloatSource, density: float) -> SpikingNetwork:
    """The network with the smallest weights of every synapse layer but the first set to zero, each layer then firing as often as
    before: nothing is trained, so it has learned nothing any more."""
    network, images = source.network, torch.from_numpy(np.asarray(source.samples[:SETTLED_ON], np.float32))
    network.pruning = None
    rates = rates_of(network, images)
    prune_l1(network, 1 - density, "layer", weight_layers(network)[1:])
    return settle_rates(network, images, rates, torch.Generator().manual_seed(0))


@torch.no_grad()
def rates_of(network: SpikingNetwork, images: torch.Tensor) -> Rates:
    """The share of each layer's neurons that send something at a timestep."""
    spikes = network.eval().trace(images).spikes
    return Rates(special={name: float((sent != 0).float().mean()) for name, sent in spikes.items()})


def images_of(plan: ModelPlan, network: SpikingNetwork) -> Images:
    """As many images as any run of the plan takes: test images of the model's data over again, or random ones."""
    count = max(plan.batch, plan.reference, plan.lava, *plan.batches)
    if plan.name not in zoo_names():
        return random_images(count, input_shape(network), IMAGES_SEED)
    from pumice.models.training.datasets import zoo_data

    images = zoo_data(plan.name).test.images.numpy()
    return np.resize(images, (count, *images.shape[1:]))


def with_timesteps(program: Program, steps: int) -> Program:
    """The same program over another number of timesteps; for time alone, its read-out is still scaled for those it had."""
    return replace(program, graph=replace(program.graph, timesteps=steps))


def _word(variant: Variant) -> str:
    return variant.name.replace(" ", "-")
