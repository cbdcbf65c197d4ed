"""Formulas of integers that may differ from neuron to neuron: one number, one a channel, or one a neuron, as few as say it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler.explaining.explanation import Step
from pumice.compiler.explaining.formulas import number
from pumice.compiler.ir import Shape


@dataclass(frozen=True, eq=False)
class Formula:
    """rule: in symbols. shown: the same with `{name}` for each number. numbers: every symbol's values, which broadcast over the
    layer."""

    rule: str
    shown: str
    numbers: Mapping[str, NDArray[Any] | float]


def array_step(result: str, formula: Formula, integers: NDArray[np.int64], shape: Shape, remark: str = "") -> Step:
    """A step of integers that broadcast over `shape`, [C, …]. Filled with the numbers of the largest."""
    rank = len(shape)
    arrays = {name: _over(x, shape) for name, x in formula.numbers.items()}
    whole = np.broadcast_to(integers, shape)
    level = max((_level(x) for x in (*arrays.values(), whole)), default=0)
    at = np.unravel_index(int(np.abs(whole).argmax()), shape)
    filled = formula.shown.format(**{name: number(float(x[at])) for name, x in arrays.items()})
    filled = filled.replace("- -", "+ ").replace("+ -", "- ")
    where = ("", f"channel {at[0]}", f"neuron {', '.join(str(int(k)) for k in at[: rank - (shape[-1] == 1)])}")[level]
    many = f"{where}, the largest of {_told(whole, level).size}" if where else ""
    said = "; ".join(text for text in (many, remark) if text)
    numbers = {name: _plain(x, level) for name, x in arrays.items()}
    return Step(result, formula.rule, f"{filled} = {int(whole[at])}", numbers, _plain(whole, level), said)


def _over(x: NDArray[Any] | float, shape: Shape) -> NDArray[Any]:
    """Values of a layer whose shape may lack a last axis of 1."""
    found = np.asarray(x)
    if found.size == np.prod(shape) and found.shape != shape:
        return found.reshape(shape)
    return np.broadcast_to(found, shape)


def _level(x: NDArray[Any]) -> int:
    """0: one value for all; 1: one a channel; 2: one a neuron."""
    rows = x.reshape(len(x), -1)
    if not np.all(rows == rows[:, :1]):
        return 2
    return int(not np.all(rows == rows[:1]))


def _told(x: NDArray[Any], level: int) -> NDArray[Any]:
    return (x.reshape(-1)[:1], x.reshape(len(x), -1)[:, 0], x.reshape(-1))[level]


def _plain(x: NDArray[Any], level: int) -> Any:
    """As JSON has it."""
    found = _told(x, level).tolist()
    return found[0] if level == 0 else found
