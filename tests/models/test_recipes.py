"""Every model of the zoo has a recipe that its checkpoint agrees with, classifies, and bears token pruning."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from pumice.errors import InputError
from pumice.models.checkpoints import family_of, load_checkpoint, load_zoo, read_facts, zoo_path
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.sparse_spikformer import SparseSpikformer
from pumice.models.training.datasets import described, zoo_data
from pumice.models.training.digits import Digits, Samples, load_digits
from pumice.models.training.loop import evaluate
from pumice.models.training.recipes import RECIPES, SDT_V1, Recipe, recipe_named, train_recipe
from pumice.runtime.cli.app import build

MASKED = tuple(recipe for recipe in RECIPES if recipe.name != "sparse-spikformer-digits")
TINY = replace(SDT_V1, embed_dims=8, num_heads=2, depths=1, T=2)
MEASURED = {"seed", "epochs", "validation_accuracy", "test_accuracy", "seconds"}


def named(recipe: Recipe) -> str:
    return recipe.name


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The recipe of SDT-V1 with 64 images to fit, and as small as a network gets."""
    digits = load_digits()
    fit = Samples(digits.fit.images[:64], digits.fit.labels[:64])
    few = Digits(digits.train, digits.validation, fit, digits.validation, digits.calibration)
    monkeypatch.setattr("pumice.models.training.recipes.SDT_V1", TINY)
    monkeypatch.setattr("pumice.models.training.datasets.load_digits", lambda size: few)


@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_shipped_checkpoint_was_made_by_its_recipe(recipe: Recipe) -> None:
    path = zoo_path(recipe.name)
    facts = read_facts(path)
    assert path.stat().st_size < 1_000_000
    assert facts["command"] == f"pumice train {recipe.name} --seed {recipe.seed} --epochs {recipe.options.epochs}"
    assert facts["options"] == json.loads(json.dumps(asdict(recipe.options)))
    untrained, shipped = recipe.build(recipe.options.surrogate), load_zoo(recipe.name)
    assert untrained.config == shipped.config
    assert facts["family"] == family_of(untrained).name
    if "data" in facts:  # the first checkpoint is older than that entry
        assert described(facts["data"]) == recipe.data
    assert all(weight.dtype == torch.float32 for weight in shipped.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("recipe", RECIPES, ids=named)
def test_a_shipped_model_classifies_what_it_never_saw(recipe: Recipe) -> None:
    assert evaluate(load_zoo(recipe.name), zoo_data(recipe.name).test)[0] >= 0.96


@pytest.mark.slow
@pytest.mark.parametrize("recipe", MASKED, ids=named)
def test_a_shipped_model_bears_half_of_its_tokens(recipe: Recipe) -> None:
    model, test = load_zoo(recipe.name), zoo_data(recipe.name).test
    unpruned = evaluate(model, test)[0]
    model.pruning = TokenPruning((0.5,) * model.depth)
    assert evaluate(model, test)[0] >= unpruned - 0.02


def test_the_shipped_selectors_drop_tokens() -> None:
    model = load_zoo("sparse-spikformer-digits")
    assert isinstance(model, SparseSpikformer)
    with torch.no_grad():
        masks = model.trace(zoo_data("sparse-spikformer-digits").calibration.images[:4]).masks
    assert [int(mask[0, 0].sum()) for mask in masks] == [36, 25, 18]
    assert not torch.equal(masks[2][:, 0], masks[2][:, 1])  # it depends on the image


def test_training_writes_a_checkpoint_that_says_how_it_was_made(quick: None, tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    assert set(train_recipe("sdt-v1-digits", path, seed=2, epochs=1)) == MEASURED
    assert load_checkpoint(path).config == TINY
    facts = read_facts(path)
    assert facts["command"] == "pumice train sdt-v1-digits --seed 2 --epochs 1"
    assert facts["data"] == {"name": "digits", "size": 8}


def test_the_command_names_its_output_after_the_model(
    quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(build(), ["train", "sdt-v1-digits", "--epochs", "1", "--json", "facts.json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads((tmp_path / "facts.json").read_text())) == MEASURED
    assert load_checkpoint("sdt-v1-digits.safetensors").config == TINY


def test_unknown_recipes_are_refused() -> None:
    with pytest.raises(InputError, match="unknown recipe 'resnet'"):
        recipe_named("resnet")
