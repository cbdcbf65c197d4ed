"""The options that say what a NIR file means: one framework's reading, and each of its answers by itself."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pumice.compiler.importing.readings import READINGS, Reading, choices, reading

_ALLOWED = choices()


def _one_of(field: str, text: str) -> str:
    return f"{text}: {', '.join(_ALLOWED[field])}."


From = Annotated[
    str | None,
    typer.Option("--from", help=f"The framework whose meaning a NIR file has: {', '.join(READINGS)}."),
]
Dt = Annotated[float | None, typer.Option(help="Seconds per timestep.")]
Decay = Annotated[str | None, typer.Option(help=_one_of("decay", "How a step leaks"))]
Gain = Annotated[str | None, typer.Option(help=_one_of("gain", "How input enters a leaky neuron"))]
IfGain = Annotated[str | None, typer.Option(help=_one_of("if_gain", "How input enters an IF neuron"))]
Comparator = Annotated[str | None, typer.Option(help=_one_of("comparator", "When v fires"))]
Reset = Annotated[str | None, typer.Option(help=_one_of("reset", "What a spike leaves of v"))]
ResetAt = Annotated[str | None, typer.Option(help=_one_of("reset_at", "When the threshold is subtracted"))]
VReset = Annotated[bool | None, typer.Option("--v-reset/--no-v-reset", help="Whether the file's v_reset holds, or 0.")]
Spikes = Annotated[str | None, typer.Option(help=_one_of("spikes", "Spikes of a neuron in one step"))]
Floor = Annotated[str | None, typer.Option(help=_one_of("floor", "What v is kept above"))]
Start = Annotated[str | None, typer.Option(help=_one_of("start", "What v is before the first step"))]
LeakyCurrent = Annotated[
    bool | None,
    typer.Option("--leaky-current/--no-leaky-current", help="Whether the current of a CubaLIF leaks to v_leak."),
]
Recurrence = Annotated[str | None, typer.Option(help=_one_of("recurrence", "What crosses a cycle in the first step"))]


def chosen_reading(name: str | None, **options: Any) -> Reading | None:
    """The reading that a command line names, None where it names none. Options without `--from` change the reading "nir"."""
    if name is None and all(value is None for value in options.values()):
        return None
    return reading(name or "nir", **options)
