"""The zoo's synapse-pruned models: as sparse and as accurate as said, and their recipes make models of that kind."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pumice.models.checkpoints import load_checkpoint, load_zoo, read_facts, zoo_path
from pumice.models.pruning.low_rank import rank_by_layer, share_saved
from pumice.models.pruning.magnitude_pruning import ImpOptions
from pumice.models.pruning.weight_pruning import weight_density, weight_sparsity, zero_masks
from pumice.models.slif import SLIF, slif_values
from pumice.models.training.digits import Digits, Samples, load_digits
from pumice.models.training.loop import TrainingOptions, evaluate
from pumice.models.training.pruning_recipes import (
    PRUNING_RECIPES,
    L1Pruning,
    LowRankPruning,
    PruningRecipe,
    TicketPruning,
    pruning_recipe,
    run_pruning_recipe,
)

UNPRUNED = 0.9833  # test accuracy of spikformer-digits
NAMES = tuple(recipe.name for recipe in PRUNING_RECIPES)
BRIEF = TrainingOptions(epochs=1, batch=32, threads=1, warmup_epochs=1)


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture
def few(digits: Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipes' data, cut to 64 images to fit and 20 to validate and to test by."""
    fit, held = Samples(digits.fit.images[:64], digits.fit.labels[:64]), digits.validation
    held = Samples(held.images[:20], held.labels[:20])
    small = Digits(digits.train, held, fit, held, digits.calibration)
    monkeypatch.setattr("pumice.models.training.datasets.load_digits", lambda _: small)


@pytest.mark.parametrize("name", NAMES)
def test_zoo_model_keeps_its_accuracy_within_two_points_of_the_unpruned(digits: Digits, name: str) -> None:
    assert evaluate(load_zoo(name), digits.test)[0] >= UNPRUNED - 0.02
    assert zoo_path(name).stat().st_size < 1_000_000


@pytest.mark.parametrize("name", NAMES)
def test_zoo_model_is_as_sparse_as_its_facts_say(name: str) -> None:
    model, facts, recipe = load_zoo(name), read_facts(zoo_path(name)), pruning_recipe(name)
    assert recipe is not None
    assert facts["sparsity"] == pytest.approx(max(share_saved(model), weight_sparsity(model)))
    assert facts["command"] == f"pumice train {name} --seed {recipe.seed} --epochs {recipe.options.epochs}"
    assert facts["pruning"]["method"] == recipe.pruning.name


def test_imp90_has_ninety_per_cent_fewer_weights_in_its_blocks() -> None:
    model = load_zoo("spikformer-digits-imp90")
    density = weight_density(model)
    assert weight_sparsity(model) == pytest.approx(0.9, abs=1e-3)
    assert {density[name] for name in density if not name.startswith("block.")} == {1.0}
    assert all(density[name] == pytest.approx(0.1, abs=1e-3) for name in density if name.startswith("block."))


def test_low_rank_and_slif_models_are_what_they_are_called() -> None:
    dsp, slif = load_zoo("spikformer-digits-dsp"), load_zoo("spikformer-digits-slif")
    assert len(rank_by_layer(dsp)) == 12
    assert share_saved(dsp) >= 0.6
    values = slif_values(slif)
    assert len(values) == 19
    assert all(tau > 1 and threshold > 0 for tau, threshold in values.values())
    assert any(abs(tau - 2) > 0.01 for tau, _ in values.values())
    assert rank_by_layer(slif) == slif_values(dsp) == {}


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize(
    "pruning",
    [
        L1Pruning(amount=0.7),
        L1Pruning(amount=0.7, slif=True),
        LowRankPruning(kept=0.3),
        TicketPruning(ImpOptions(sparsity=0.7, rounds=1, rewind_step=1, grouping="layer"), round_epochs=1),
    ],
)
def test_a_recipe_writes_a_pruned_checkpoint_that_loads(
    pruning: L1Pruning | LowRankPruning | TicketPruning, tmp_path: Path
) -> None:
    recipe = PruningRecipe("brief", pruning, BRIEF, seed=3, note="")
    measured = run_pruning_recipe(recipe, tmp_path / "brief.safetensors")
    assert measured["sparsity"] >= 0.69
    model = load_checkpoint(tmp_path / "brief.safetensors")
    assert any(isinstance(layer, SLIF) for layer in model.modules()) == (getattr(pruning, "slif", False))
    facts = read_facts(tmp_path / "brief.safetensors")
    assert facts["command"] == "pumice train brief --seed 3 --epochs 1"
    assert facts["sparsity"] == pytest.approx(measured["sparsity"], abs=1e-4)


@pytest.mark.usefixtures("few")
def test_same_seed_same_ticket(tmp_path: Path) -> None:
    pruning = TicketPruning(ImpOptions(sparsity=0.8, rounds=1), round_epochs=1)
    recipe = PruningRecipe("brief", pruning, BRIEF, seed=0, note="")
    models = []
    for number, seed in enumerate((1, 1, 2)):
        run_pruning_recipe(recipe, tmp_path / f"{number}.safetensors", seed=seed)
        models.append(load_checkpoint(tmp_path / f"{number}.safetensors"))
    first, again, other = (zero_masks(model) for model in models)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_names_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)
    assert pruning_recipe("spikformer-digits") is None
