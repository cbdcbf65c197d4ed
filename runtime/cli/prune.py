"""pumice prune: what pruning costs in accuracy, and which pruning to choose."""

from __future__ import annotations

import typer

from pumice.runtime.cli.prune_tokens import tokens_command
from pumice.runtime.cli.prune_weights import weights_command


def prune_commands() -> typer.Typer:
    """The commands under `pumice prune`."""
    group = typer.Typer(
        help="Prune a trained model and measure what it costs.", no_args_is_help=True, rich_markup_mode=None
    )
    group.command("tokens")(tokens_command)
    group.command("weights")(weights_command)
    return group
