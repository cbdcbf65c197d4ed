"""Parts of a sweep: the grid, tasks, fronts, time limits, and workers that die with a task."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweeps import grid, plan, results, settings

from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.sweep.drive import run_tasks
from pumice.runtime.sweep.evaluate import run_task
from pumice.runtime.sweep.fronts import fronts
from pumice.runtime.sweep.limits import TimeLimitReached, within
from pumice.runtime.sweep.plan import make_plan
from pumice.runtime.sweep.points import Outcome, Task, tasks_of
from pumice.runtime.sweep.workers import DEATHS, Processes

torch = pytest.importorskip("torch")
CHIPS = {name: load_chip(name) for name in ("loihi1", "loihi2")}


def tasks(limit_s: float = 60, **words: str) -> list[Task]:
    return tasks_of(grid(**words).points(), settings(), CHIPS, limit_s)


def test_the_points_are_every_combination_once_and_tasks_share_a_quantized_network() -> None:
    words = {"retention": "1,0.6/0.4", "bits": "8,4", "mapping": "pumice,hilbert", "chip": "loihi2,loihi1"}
    points = grid(**words, masks="live,static").points()
    assert [point.index for point in points] == list(range(32))
    assert len({tuple(vars(point).items())[1:] for point in points}) == 32
    made = tasks(**words, masks="live,static")
    assert [len(task.points) for task in made] == [4] * 8
    assert sorted(point.index for task in made for point in task.points) == list(range(32))
    for task in made:
        assert len({(point.retention, point.bits, point.chip) for point in task.points}) == 1


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4) | st.none()), max_size=12))
def test_a_front_holds_what_no_point_beats(values: list[tuple[int, int | None]]) -> None:
    outcomes = [Outcome(index, {"accuracy_x": a, "cores": cost}) for index, (a, cost) in enumerate(values)]
    found = fronts(outcomes, "accuracy_x")["cores"]

    def beats(other: tuple[int, int | None], one: tuple[int, int | None]) -> bool:
        assert other[1] is not None
        assert one[1] is not None
        return other != one and other[0] >= one[0] and other[1] <= one[1]

    known = [value for value in values if value[1] is not None]
    best = {one for one in known if not any(beats(other, one) for other in known)}
    assert {values[index] for index in found} == best
    assert sorted(found) == sorted(values.index(one) for one in best)  # of equals the first


def test_the_same_point_is_the_same_wherever_it_runs() -> None:
    (task,) = tasks(retention="0.5", density="0.5", mapping="sequential", masks="static")
    here = run_task(task)
    workers = Processes(1)
    try:
        (there,) = run_tasks([task], workers, 30)
    finally:
        workers.close()
    assert results(dict(enumerate(here))) == results(dict(enumerate(there)))
    assert here[0].worker != there[0].worker


def test_weights_are_pruned_by_the_density() -> None:
    shares = [run_task(task)[0].result["synapse_density"] for task in tasks(density="1,0.5", mapping="sequential")]
    assert shares[1] < 0.7 < shares[0]


def test_a_worker_with_another_version_or_checkpoint_refuses() -> None:
    (task,) = tasks()
    for changes, message in (
        ({"version": "0.0.9"}, "the sweep 0.0.9"),
        ({"model_hash": "0"}, "not the sweep's checkpoint"),
    ):
        with pytest.raises(InputError, match=message):
            run_task(Task(settings(**changes), task.chip, task.points, 60))


def test_a_point_that_takes_too_long_says_so_and_the_next_one_runs() -> None:
    (task,) = tasks(limit_s=0.05, mapping="sequential")
    (outcome,) = run_task(task)
    assert (outcome.kind, outcome.error) == ("time limit", "took longer than 0.05 s")
    assert not outcome.final
    (task,) = tasks(mapping="sequential")
    assert run_task(task)[0].kind is None


def test_a_time_limit_works_in_any_thread_and_only_while_the_work_runs() -> None:
    said: list[str] = []

    def work() -> None:
        try:
            within(0.05, lambda: sum(1 for _ in iter(int, 1)))  # without end
        except TimeLimitReached:
            said.append("ended")
        assert within(0.05, lambda: "done") == "done"
        time.sleep(0.1)
        said.append("undisturbed")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert said == ["ended", "undisturbed"]


class Poisoned(Processes):
    """Processes of which those that get 4 bits end at once, and those that get 6 bits do so once."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.poison = {4: 100, 6: 1}

    def submit(self, task: Task) -> Future[list[Outcome]]:
        bits = task.points[0].bits
        if self.poison.get(bits, 0) > 0:
            self.poison[bits] -= 1
            return self.launch(os._exit, 1)
        return super().submit(task)


def test_a_task_that_ends_its_workers_is_given_up_and_harms_no_other() -> None:
    workers = Poisoned(2)

    def outcomes() -> Iterator[Outcome]:
        for found in run_tasks(tasks(bits="8,6,5,4", mapping="sequential"), workers, 30):
            yield from found

    try:
        kinds = {outcome.index: (outcome.kind, outcome.error) for outcome in outcomes()}
    finally:
        workers.close()
    assert kinds == {
        0: (None, None),
        1: (None, None),
        2: (None, None),
        3: ("worker died", f"{DEATHS} workers died with it"),
    }


def test_a_plan_is_checked_before_it_runs() -> None:
    with pytest.raises(InputError, match="2 blocks"):
        plan(retention="0.5/0.4/0.3")
    with pytest.raises(InputError, match="looks at all timesteps"):
        make_plan(grid(retention="0.5"), settings(criterion="irtop-official"), 10, 10)
