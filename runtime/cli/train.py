"""pumice train: make a zoo checkpoint again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.cli.common import check_output, console, write_json


def train_command(
    name: Annotated[str, typer.Argument(help="What to train: a model of the zoo, e.g. spikformer-digits.")],
    output: Annotated[Path | None, typer.Option(help="Where the checkpoint goes; NAME.safetensors by default.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed; the shipped checkpoint's own by default.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs; the shipped checkpoint's own by default.")] = None,
    json: Annotated[Path | None, typer.Option(help="Also write what was measured, as JSON.")] = None,
) -> None:
    """Train a model of the zoo on real data and write its checkpoint."""
    try:
        from pumice.models.training.recipes import recipe_names, train_recipe
    except ImportError as error:
        raise BackendUnavailable("training needs PyTorch", "pip install 'pumice[torch]'") from error
    if name not in recipe_names():
        raise InputError(f"unknown recipe {name!r}", f"known: {', '.join(recipe_names())}")
    output = output or Path(f"{name}.safetensors")
    check_output(output, ".safetensors")
    facts = train_recipe(name, output, seed=seed, epochs=epochs)
    write_json(json, facts)
    console().print(f"{output}: " + ", ".join(f"{key} {value}" for key, value in facts.items()))
