"""The options that say how tokens are scored and gated: the same words, defaults and help in every command that prunes."""

from __future__ import annotations

from typing import Annotated

import typer

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion

CriterionOption = Annotated[str, typer.Option(help="irtop-paper, irtop-official, firing-rate or random.")]
WindowOption = Annotated[int, typer.Option(help="Side of the criterion's spatial window, odd.")]
AlphaOption = Annotated[float, typer.Option(help="Weight of the spatial score; 0.5 is Eq. 13's plain sum.")]
FirstStepOption = Annotated[str, typer.Option(help="Scores at t=1: both, or spatial only.")]
SharedOption = Annotated[bool, typer.Option("--shared", help="One mask for all timesteps, as the official code.")]
StateOption = Annotated[str, typer.Option(help="What gated neurons do with their membrane: hold or decay.")]
SilentOption = Annotated[float, typer.Option(help="Spatial score of a token without a spike.")]
SeedOption = Annotated[int, typer.Option(help="Seed of whatever is drawn at random.")]


def criterion_of(
    rule: str, window: int, alpha: float, first_step: str, shared: bool, silent: float, seed: int
) -> Criterion:
    """The criterion of these options. Raises InputError for one that does not exist."""
    try:
        return Criterion(rule, window, alpha, first_step, not shared, silent, seed)  # type: ignore[arg-type]
    except ValueError as error:
        raise InputError(str(error), "see --help") from error
