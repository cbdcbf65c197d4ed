"""Formulas of explanations, worked out again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pumice.compiler.explaining.explanation import Step


def value_of(formula: str, numbers: dict[str, Any]) -> Any:
    """A formula, worked out. numbers: every symbol's value."""
    for symbol, python in {"·": "*", "^": "**", "τ": "tau", "θ": "theta", "V > ": "", "V >= ": ""}.items():
        formula = formula.replace(symbol, python)
    functions = {"rint": np.rint, "clip": np.clip, "log2": np.log2, "floor": np.floor, "max": max, "min": min}
    numbers = {name: np.inf if x == "infinite" else x for name, x in numbers.items() if name != "exponent"}
    arrays = {name: np.array(x) if isinstance(x, list) else float(x) for name, x in numbers.items()}
    return eval(formula, {"__builtins__": {}}, functions | arrays)


def level_thresholds(numbers: dict[str, Any]) -> list[int]:
    ideal = [(d - 0.5) * numbers["s"] * 64 for d in range(1, numbers["levels"] + 1)]
    return [math.floor(x) if d % 2 else math.ceil(x) - 1 for d, x in enumerate(ideal, 1)]


def check_rule(step: Step) -> None:
    """The rule gives the integers of the step."""
    if step.result == "thresholds":
        assert level_thresholds(dict(step.numbers)) == step.integers
        return
    found = np.asarray(value_of(step.rule, dict(step.numbers)))
    assert np.array_equal(np.rint(found).astype(np.int64), step.integers), step
    np.testing.assert_allclose(found, step.integers, atol=0.01, rtol=0)  # whole by itself, not by the line above


def check_filled(step: Step) -> None:
    """The rule with its numbers in it says the same. Shown with six digits, so that a result of many may be off in its last."""
    left, equals, right = step.filled.rpartition(" = ")
    if equals and step.result != "thresholds":
        assert value_of(left, {}) == pytest.approx(float(right), abs=1, rel=2e-5), step


def stands_for(said: int | list[int], held: NDArray[np.int64], shape: tuple[int, ...]) -> bool:
    """Whether a step's integers, one for all, a channel or a neuron, are those of an array that broadcasts over `shape`."""
    full, found = np.broadcast_to(held, shape), np.asarray(said)
    if found.size == full.size:
        return bool(np.array_equal(found.ravel(), full.ravel()))
    return bool(np.all(full.reshape(max(found.size, 1), -1) == found.reshape(-1, 1)))
