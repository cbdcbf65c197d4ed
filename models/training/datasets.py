"""Which data a model takes: a description that a checkpoint keeps as JSON, and the data set itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pumice.errors import InputError
from pumice.models.checkpoints import read_facts, zoo_path
from pumice.models.training.digits import SIZE, LabelledSplit, load_digits
from pumice.models.training.events import load_event_digits

DIGITS, EVENT_DIGITS = "digits", "event-digits"


@dataclass(frozen=True)
class DigitImages:
    """Still digits, `[samples, 1, size, size]`: `load_digits`."""

    size: int = SIZE

    def load(self) -> LabelledSplit:
        return load_digits(self.size)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values that `described` reads."""
        return {"name": DIGITS, **asdict(self)}


@dataclass(frozen=True)
class DigitEvents:
    """Digits as events, `[samples, steps, 2, size, size]`: `load_event_digits`."""

    size: int
    steps: int
    seed: int
    recordings: int = 1

    def load(self) -> LabelledSplit:
        return load_event_digits(self.size, self.steps, self.seed, self.recordings)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values that `described` reads."""
        return {"name": EVENT_DIGITS, **asdict(self)}


DataSpec = DigitImages | DigitEvents


def described(description: Mapping[str, Any]) -> DataSpec:
    """The data set of a description made by `as_dict`. Raises InputError for any other."""
    name, arguments = description.get("name"), {key: value for key, value in description.items() if key != "name"}
    try:
        if name == DIGITS:
            return DigitImages(**arguments)
        if name == EVENT_DIGITS:
            return DigitEvents(**arguments)
    except TypeError as error:
        raise InputError(f"data set {name!r}: {error}", "the checkpoint was written by another version") from error
    raise InputError(f"unknown data set {name!r}", f"known: {DIGITS}, {EVENT_DIGITS}")


def data_of(facts: Mapping[str, Any]) -> LabelledSplit:
    """The data set a checkpoint was trained on, by its facts (`read_facts`); without an entry `data`, the 8 x 8 digits."""
    return described(facts.get("data", DigitImages().as_dict())).load()


def zoo_data(name: str) -> LabelledSplit:
    """The data set that a zoo model takes. Raises InputError for an unknown name."""
    return data_of(read_facts(zoo_path(name)))
