"""pumice prune weights: a trained model with fewer synapses, fine-tuned, as a checkpoint."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pumice.errors import BackendUnavailable, InputError
from pumice.runtime.cli.common import check_output, console, data_facts, read_model, write_json

if TYPE_CHECKING:
    from pumice.models.training.pruning_recipes import L1Pruning, LowRankPruning, TicketPruning

METHODS = ("l1", "imp", "dsp")


def weights_command(
    model: Annotated[str, typer.Argument(help="A zoo name, or the path of a checkpoint (.safetensors).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The .safetensors file to write.")],
    method: Annotated[
        str,
        typer.Option(help="l1: by magnitude. imp: iteratively, with rewinding, from scratch. dsp: low-rank factors."),
    ] = "l1",
    amount: Annotated[float, typer.Option(help="Share of the weights to prune, in (0, 1).")] = 0.8,
    slif: Annotated[
        bool, typer.Option("--slif", help="Fine-tune with trainable thresholds and time constants.")
    ] = False,
    epochs: Annotated[int, typer.Option(help="Epochs of the last training.")] = 15,
    rounds: Annotated[int, typer.Option(help="Prunings of `imp`.")] = 4,
    round_epochs: Annotated[int, typer.Option(help="Epochs of each of its rounds but the last.")] = 8,
    data: Annotated[str, typer.Option(help="Data set: `digits` or a zoo model's; by default the model's own.")] = "",
    seed: Annotated[int, typer.Option(help="Seed.")] = 0,
    json: Annotated[Path | None, typer.Option(help="Also write what was measured, as JSON.")] = None,
) -> None:
    """Prune a trained model's weights, fine-tune it on its data, and write the checkpoint."""
    check_output(output, ".safetensors")
    network = read_model(model)
    try:
        from pumice.models.checkpoints import save_checkpoint
        from pumice.models.pruning import weight_pruning
        from pumice.models.training import loop, pruning_recipes
        from pumice.models.training.datasets import data_of
    except ImportError as error:
        raise BackendUnavailable("pruning weights needs PyTorch", "pip install 'pumice[torch]'") from error
    pruning = _pruning(method, amount, slif, rounds, round_epochs)
    described = data_facts(data or model)
    splits = data_of({"data": described})
    options = replace(pruning_recipes.FINE_TUNING, epochs=epochs)
    pruned = pruning.make(pruning_recipes.pruning_run(network, splits, seed, options, None))
    found = {
        "method": method,
        "epochs": epochs,
        "seed": seed,
        "density": weight_pruning.weight_density(pruned),
        "validation_accuracy": loop.evaluate(pruned, splits.validation)[0],
        "test_accuracy": loop.evaluate(pruned, splits.test)[0],
        "test_accuracy_unpruned": loop.evaluate(network, splits.test)[0],
    }
    made = {"method": method, **asdict(pruning)}
    save_checkpoint(pruned, output, {"seed": seed, "pruning": made, "from": model, "data": described})
    write_json(json, found)
    console().print(
        f"{output}: {method}, {found['test_accuracy']:.2%} on test samples, {found['test_accuracy_unpruned']:.2%} unpruned"
    )


def _pruning(
    method: str, amount: float, slif: bool, rounds: int, round_epochs: int
) -> L1Pruning | LowRankPruning | TicketPruning:
    """The pruning of these options. Raises InputError for an unknown method, or options that do not go together."""
    from pumice.models.pruning.magnitude_pruning import ImpOptions
    from pumice.models.pruning.weight_pruning import check_amount
    from pumice.models.training.pruning_recipes import EARLY, L1Pruning, LowRankPruning, TicketPruning

    check_amount(amount)
    if slif and method != "l1":
        raise InputError(f"--slif with --method {method}", "sLIF neurons are trained with l1")
    if method == "l1":
        return L1Pruning(amount, slif)
    if method == "dsp":
        return LowRankPruning(kept=1 - amount)
    if method == "imp":
        return TicketPruning(ImpOptions(amount, rounds, EARLY, "layer"), round_epochs)
    raise InputError(f"unknown pruning method {method!r}", f"known: {', '.join(METHODS)}")
