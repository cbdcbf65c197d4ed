"""Repeats as numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import InputError, RunError
from pumice.runtime.bench.numbers import exponent, ratios, spread
from pumice.runtime.bench.timing import Taken, interleaved, seconds, timed, turn

SIZES = (1.0, 2.0, 4.0, 8.0, 16.0)


@given(st.floats(-2, 3), st.floats(1e-6, 1e3))
def test_the_exponent_of_a_power_is_its_own(power: float, factor: float) -> None:
    costs = [factor * size**power for size in SIZES]
    assert exponent(SIZES, costs) == pytest.approx(power, abs=1e-9)


def test_the_exponent_is_that_of_the_best_line_through_logarithms() -> None:
    rng = np.random.default_rng(0)
    costs = [size**0.9 * np.exp(rng.normal(0, 0.05)) for size in SIZES]
    assert exponent(SIZES, costs) == pytest.approx(np.polyfit(np.log(SIZES), np.log(costs), 1)[0])


@pytest.mark.parametrize(("sizes", "costs"), [((2.0, 2.0), (1.0, 1.0)), ((1.0, 2.0), (0.0, 1.0)), ((1.0,), (1.0, 2.0))])
def test_there_is_no_exponent_of_one_size_or_of_nothing(sizes: tuple[float, ...], costs: tuple[float, ...]) -> None:
    with pytest.raises(InputError, match="no exponent of sizes"):
        exponent(sizes, costs)


def test_ratios_are_those_of_the_same_round() -> None:
    assert ratios([2.0, 9.0, 8.0], [1.0, 3.0, 2.0]) == (2.0, 3.0, 4.0)
    assert spread([2.0, 9.0, 4.0]).as_dict() == {"min": 2.0, "median": 4.0, "max": 9.0}


def test_rounds_are_interleaved_and_begin_with_another_run_each() -> None:
    order: list[str] = []

    def run(name: str) -> Taken:
        return timed(lambda: (order.append(name), np.zeros((1, 1)))[1])

    taken = interleaved({name: (lambda name=name: run(name)) for name in "abc"}, 4, turn_s=0)
    assert "".join(order) == "abc" + "bca" + "cab" + "abc"
    assert {name: len(rounds) for name, rounds in taken.items()} == {"a": 4, "b": 4, "c": 4}


def test_a_turn_is_the_mean_of_runs_in_a_row_but_the_first() -> None:
    runs = iter(
        [Taken(0.3, np.zeros((1, 1)), {"half": 9.0})]
        + [Taken(0.1 * k, np.zeros((1, 1)), {"half": k}) for k in (1, 2, 3)]
    )
    one = turn(lambda: next(runs), 0.5)
    assert one.seconds == pytest.approx(0.2)  # 0.1, 0.2 and 0.3 fill half a second
    assert one.parts == {"half": 2.0}


def test_a_run_that_fills_its_turn_counts_by_itself() -> None:
    runs = iter([Taken(0.6, np.zeros((1, 1)), {"half": 0.3})])
    assert turn(lambda: next(runs), 0.5).seconds == 0.6


def test_runs_of_a_turn_that_differ_are_reported() -> None:
    runs = iter([Taken(0.3, np.full((1, 1), k), {}) for k in range(4)])
    with pytest.raises(RunError, match="different outputs"):
        turn(lambda: next(runs), 0.5)


def test_parts_are_asked_for_after_the_run() -> None:
    noted: dict[str, float] = {}
    one = timed(lambda: noted.update(half=0.5) or np.zeros((1, 1)), lambda: dict(noted))
    assert seconds([one], "half") == [0.5]
    assert seconds([one]) == [one.seconds]
