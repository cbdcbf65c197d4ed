"""pumice prune: what pruning costs in accuracy, and which pruning to choose."""

from __future__ import annotations

import typer

from pumice.runtime.cli.prune_tokens import tokens_command


def prune_commands() -> typer.Typer:
    """The commands under `pumice prune`."""
    group = typer.Typer(
        help="Prune a trained model and measure what it costs.", no_args_is_help=True, rich_markup_mode=None
    )
    group.callback()(_group)  # so that one command alone keeps its name
    group.command("tokens")(tokens_command)
    return group


def _group() -> None:
    """Prune a trained model and measure what it costs."""
