"""What a sweep tries: values for each axis, and every combination of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, get_args

from pumice.compiler.options import CompileOptions, MappingMethod, MaskMode
from pumice.errors import InputError
from pumice.hwsim.data_files import TomlError, parse_toml
from pumice.runtime.sweep.points import Point, Ratios

MOST = 100_000  # points


@dataclass(frozen=True)
class Grid:
    """The values of each axis, in order.

    retention: shares of tokens that blocks keep, one for all blocks or one per block; (1.0,) is the network without token
    pruning. bits: of a weight. density: share of the blocks' weights that is kept, the largest of all of them together, without
    fine-tuning. chip: names, or paths of chip files. mapping, masks: as in CompileOptions.

    Raises InputError for values that are none, or stand twice.
    """

    retention: tuple[Ratios, ...] = ((1.0,),)
    bits: tuple[int, ...] = (8,)
    density: tuple[float, ...] = (1.0,)
    chip: tuple[str, ...] = ("loihi2",)
    mapping: tuple[str, ...] = ("pumice",)
    masks: tuple[str, ...] = ("live",)

    def __post_init__(self) -> None:
        for axis, values in vars(self).items():
            twice = [value for place, value in enumerate(values) if value in values[:place]]
            if not values or twice:
                raise InputError(
                    f"{axis}: {f'{twice[0]} stands twice' if twice else 'no value'}", "name each value once"
                )
        for share in (*(r for ratios in self.retention for r in ratios), *self.density):
            if not 0 < share <= 1:
                raise InputError(f"share {share} is not in (0, 1]", "1 keeps everything")
        for bits in self.bits:
            CompileOptions(weight_bits=bits)
        _check_names("mapping", self.mapping, get_args(MappingMethod))
        _check_names("masks", self.masks, get_args(MaskMode))
        if self.size > MOST:
            raise InputError(f"{self.size:,}/{MOST:,} points", "sweep fewer values")

    @property
    def size(self) -> int:
        """How many points there are."""
        return prod(len(values) for values in vars(self).values())

    def points(self) -> tuple[Point, ...]:
        """Every combination; the last axis changes first."""
        return tuple(Point(index, *values) for index, values in enumerate(product(*vars(self).values())))

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        found: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return found


AXES = tuple(axis.name for axis in fields(Grid))


def parse_ratios(text: str) -> Ratios:
    """ "0.5", or per block "0.6/0.4"."""
    return tuple(float(part) for part in text.split("/"))


OF_TEXT: Mapping[str, Callable[[str], Any]] = {
    **{"retention": parse_ratios, "bits": int, "density": float},
    **{"chip": str, "mapping": str, "masks": str},
}


def grid_of_words(words: Mapping[str, Sequence[str]]) -> Grid:
    """A grid from what options say: per axis texts, each of one value or of several with commas between. Axes that are not
    there have one default value. Raises InputError for a text that is no value."""
    texts = {axis: [text.strip() for word in said for text in word.split(",")] for axis, said in words.items() if said}
    return Grid(**{axis: tuple(_value(axis, text) for text in found) for axis, found in texts.items()})


def _value(axis: str, text: str) -> Any:
    try:
        return OF_TEXT[axis](text)
    except ValueError as error:
        hint = "give numbers with commas between, of one schedule per block with / between: 1,0.5,0.6/0.4"
        raise InputError(f"--{axis} {text!r} is not a number", hint if axis == "retention" else "e.g. 1") from error


def grid_of_file(path: Path) -> Grid:
    """A grid from a TOML or JSON file: a list of values per axis, a schedule per block as a list of its own. Raises InputError
    for a file that is neither, an unknown axis and a value of another kind."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give a .toml or .json file of lists, one for each axis")
    try:
        found = json.loads(path.read_text()) if path.suffix == ".json" else parse_toml(path.read_text())
    except (ValueError, TomlError) as error:
        raise InputError(f"{path}: neither TOML nor JSON ({error})", "e.g. bits = [8, 6]") from error
    if not isinstance(found, dict) or not all(isinstance(values, list) for values in found.values()):
        raise InputError(f"{path}: not a list of values for each axis", "e.g. bits = [8, 6]")
    unknown = sorted(set(found) - set(AXES))
    if unknown:
        raise InputError(f"{path}: unknown axis {unknown[0]!r}", f"known: {', '.join(AXES)}")
    return Grid(**{axis: tuple(_listed(path, axis, value) for value in values) for axis, values in found.items()})


def _listed(path: Path, axis: str, value: Any) -> Any:
    parts = value if axis == "retention" and isinstance(value, list) and value else [value]
    kinds = {"bits": (int,), "chip": (str,), "mapping": (str,), "masks": (str,)}.get(axis, (int, float))
    if any(isinstance(part, bool) or not isinstance(part, kinds) for part in parts):
        raise InputError(f"{path}: {axis} {value!r} is not a {kinds[-1].__name__}", "see `pumice sweep --help`")
    if axis == "retention":
        return tuple(float(part) for part in parts)
    return float(value) if axis == "density" else value


def _check_names(axis: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise InputError(f"{axis}: unknown {name!r}", f"known: {', '.join(known)}")
