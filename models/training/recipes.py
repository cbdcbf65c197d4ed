"""How every model of the zoo was made: one table of recipes, and the function behind `pumice train`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pumice.errors import InputError
from pumice.models.checkpoints import save_checkpoint
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import Surrogate
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import SpikformerDvs, SpikformerDvsConfig
from pumice.models.training.datasets import DataSpec, DigitEvents, DigitImages
from pumice.models.training.loop import TrainingOptions, evaluate, train_new
from pumice.models.training.losses import Loss, selecting_cross_entropy
from pumice.models.training.pruning_recipes import PRUNING_RECIPES, pruning_recipe, run_pruning_recipe

LABEL_SMOOTHING = 0.05
RATIO_WEIGHT = 2.0  # of the selectors' distance from their ratios, as in DynamicViT


@dataclass(frozen=True)
class Recipe:
    """One model of the zoo: its network, its data, and how it is trained from scratch.

    build: the untrained network with a given surrogate gradient (SDT-V3 has none to choose). loss: None is cross entropy
    with the options' label smoothing.
    """

    name: str
    build: Callable[[Surrogate], SpikingNetwork]
    data: DataSpec
    options: TrainingOptions
    seed: int
    note: str
    loss: Loss | None = None


SPIKFORMER = SpikformerConfig(
    img_size_h=8, img_size_w=8, in_channels=1, num_classes=10, embed_dims=48, num_heads=4, depths=2, pool_stages=()
)
SPIKFORMER_DVS = SpikformerDvsConfig(
    img_size_h=49, img_size_w=49, in_channels=2, num_classes=10, embed_dims=48, num_heads=4, depths=2, T=8
)
SDT_V1 = SdtV1Config(
    img_size_h=8,
    img_size_w=8,
    in_channels=1,
    num_classes=10,
    embed_dims=48,
    num_heads=4,
    depths=2,
    T=4,
    pooling_stat="0000",
)
QKFORMER = QKFormerConfig(
    img_size_h=16, img_size_w=16, in_channels=1, num_classes=10, embed_dims=64, num_heads=8, depths=3, T=4
)
SDT_V3 = SdtV3Config(
    img_size_h=64,
    img_size_w=64,
    in_channels=1,
    num_classes=10,
    embed_dim=(8, 16, 32, 32),
    num_heads=2,
    mlp_ratios=2,
)
SPARSE_SPIKFORMER = SparseSpikformerConfig(
    img_size_h=24,
    img_size_w=24,
    in_channels=1,
    num_classes=10,
    embed_dims=48,
    num_heads=4,
    depths=3,
    T=4,
    pruning_loc=(1, 2),
    token_ratio=(0.7, 0.5),
)

# Larger images cost more per epoch: half the batch, so twice the steps, makes up for fewer epochs.
SMALL_BATCHES = TrainingOptions(epochs=24, batch=32, threads=1)

RECIPES = (
    Recipe(
        "spikformer-digits",
        lambda surrogate: Spikformer(SPIKFORMER, surrogate=surrogate),
        DigitImages(),
        TrainingOptions(),
        seed=0,
        note="Spikformer, CIFAR form without max-pools",
    ),
    Recipe(
        "spikformer-dvs-events",
        lambda surrogate: SpikformerDvs(SPIKFORMER_DVS, surrogate=surrogate),
        DigitEvents(size=49, steps=8, seed=0, recordings=2),
        replace(SMALL_BATCHES, epochs=20, learning_rate=5e-3, shift=3.6),
        seed=0,
        note="Spikformer, DVS form, on event frames",
    ),
    Recipe(
        "sdt-v1-digits",
        lambda surrogate: SdtV1(SDT_V1, surrogate=surrogate),
        DigitImages(),
        TrainingOptions(epochs=40, threads=1),
        seed=0,
        note="Spike-Driven Transformer, first version, without max-pools",
    ),
    Recipe(
        "qkformer-digits",
        lambda surrogate: QKFormer(QKFORMER, surrogate=surrogate),
        DigitImages(16),
        replace(SMALL_BATCHES, shift=1.2),
        seed=0,
        note="QKFormer, CIFAR form",
    ),
    Recipe(
        "sdt-v3-digits",
        lambda _: SdtV3(SDT_V3),
        DigitImages(64),
        replace(SMALL_BATCHES, epochs=48, learning_rate=1.5e-2, shift=4.8),
        seed=0,
        note="Spike-Driven Transformer V3, one step of integers",
    ),
    Recipe(
        "sparse-spikformer-digits",
        lambda surrogate: SparseSpikformer(SPARSE_SPIKFORMER, surrogate=surrogate),
        DigitImages(24),
        replace(SMALL_BATCHES, shift=1.8, token_dropout=0.0),
        seed=0,
        note="SparseSpikformer, whose trained selectors drop tokens",
        loss=selecting_cross_entropy(LABEL_SMOOTHING, RATIO_WEIGHT),
    ),
)


def recipe_named(name: str) -> Recipe:
    """The recipe. Raises InputError for an unknown name."""
    for recipe in RECIPES:
        if recipe.name == name:
            return recipe
    raise InputError(f"unknown recipe {name!r}", f"known: {', '.join(recipe_names())}")


def recipe_names() -> tuple[str, ...]:
    """Names that `train_recipe` takes: those trained from scratch, and those pruned."""
    return tuple(recipe.name for recipe in (*RECIPES, *PRUNING_RECIPES))


def train_recipe(
    name: str, output: str | Path, seed: int | None = None, epochs: int | None = None, progress: bool | None = None
) -> dict[str, Any]:
    """Trains a model of the zoo and writes its checkpoint to `output`; None means the shipped model's choice.

    Returns what was measured: accuracies as fractions, wall-clock seconds. Raises InputError for an unknown name.
    """
    pruned = pruning_recipe(name)
    if pruned is not None:
        return run_pruning_recipe(pruned, output, seed, epochs, progress)
    recipe = recipe_named(name)
    seed = recipe.seed if seed is None else seed
    options = recipe.options if epochs is None else replace(recipe.options, epochs=epochs)
    data = recipe.data.load()
    result = train_new(
        lambda: recipe.build(options.surrogate), data, options, seed, loss=recipe.loss, progress=progress
    )
    command = f"pumice train {name} --seed {seed} --epochs {options.epochs}"
    made = {"seed": seed, "command": command, "options": asdict(options), "data": recipe.data.as_dict()}
    save_checkpoint(result.model, output, made)
    return {
        "seed": seed,
        "epochs": options.epochs,
        "validation_accuracy": round(result.history[-1].accuracy, 4),
        "test_accuracy": round(evaluate(result.model, data.test)[0], 4),
        "seconds": round(result.seconds, 1),
    }
