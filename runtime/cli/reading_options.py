"""The options that say what a NIR file means: one framework's reading, and each of its answers by itself."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from pumice.compiler.importing.readings import READINGS, Reading, choices, reading

_ALLOWED = choices()


def _one_of(field: str, text: str) -> Any:
    return Annotated[str | None, typer.Option(help=f"{text}: {', '.join(_ALLOWED[field])}.")]


def _yes_or_no(field: str, text: str) -> Any:
    name = field.replace("_", "-")
    return Annotated[bool | None, typer.Option(f"--{name}/--no-{name}", help=text)]


From = Annotated[
    str | None,
    typer.Option("--from", help=f"The framework whose meaning a NIR file has: {', '.join(READINGS)}."),
]
OPTIONS: Mapping[str, Any] = {
    "from_": From,
    "dt": Annotated[float | None, typer.Option(help="Seconds per timestep.")],
    "decay": _one_of("decay", "How a step leaks"),
    "gain": _one_of("gain", "How input enters a leaky neuron"),
    "if_gain": _one_of("if_gain", "How input enters an IF neuron"),
    "comparator": _one_of("comparator", "When v fires"),
    "reset": _one_of("reset", "What a spike leaves of v"),
    "reset_at": _one_of("reset_at", "When the threshold is subtracted"),
    "v_reset": _yes_or_no("v_reset", "Whether the file's v_reset holds, or 0."),
    "spikes": _one_of("spikes", "Spikes of a neuron in one step"),
    "floor": _one_of("floor", "What v is kept above"),
    "start": _one_of("start", "What v is before the first step"),
    "leaky_current": _yes_or_no("leaky_current", "Whether the current of a CubaLIF leaks to v_leak."),
    "recurrence": _one_of("recurrence", "What crosses a cycle in the first step"),
}


def takes_reading(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the options above instead of its parameter `reading`, which gets what they say: a Reading, or None where
    none is given. A command that has a parameter of an option's own name is given that option too."""
    signature = inspect.signature(command, eval_str=True)
    own = {name: parameter for name, parameter in signature.parameters.items() if name != "reading"}
    added = [_parameter(name, kind) for name, kind in OPTIONS.items() if name not in own]

    @functools.wraps(command)
    def with_options(**given: Any) -> None:
        said = {name: given.get(name) for name in OPTIONS}
        command(**{name: given[name] for name in own}, reading=chosen_reading(said.pop("from_"), **said))

    parameters = [*own.values(), *added]
    with_options.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    with_options.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return with_options


def _parameter(name: str, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)


def chosen_reading(name: str | None, **options: Any) -> Reading | None:
    """The reading that a command line names, None where it names none. Options without `--from` change the reading "nir"."""
    if name is None and all(value is None for value in options.values()):
        return None
    return reading(name or "nir", **options)
