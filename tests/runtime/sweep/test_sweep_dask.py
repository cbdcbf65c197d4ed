"""Sweeps on a Dask cluster of real processes: workers die, schedulers do not answer, versions differ."""

from __future__ import annotations

import os
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from sweeps import FEW, MODEL, Cluster, cluster, plan, results, swept

from pumice.errors import InputError, RunError
from pumice.runtime.cli import main
from pumice.runtime.sweep.dask_workers import DaskWorkers
from pumice.runtime.sweep.evaluate import run_task
from pumice.runtime.sweep.points import tasks_of
from pumice.runtime.sweep.store import Store

pytest.importorskip("torch")
distributed = pytest.importorskip("distributed")


def kill_one_at_work(where: Cluster, killed: list[int]) -> None:
    """Kills a worker that has a task."""
    with distributed.Client(where.address, set_as_default=False) as client:
        pids, deadline = client.run(os.getpid), time.monotonic() + 30
        while not killed:
            assert time.monotonic() < deadline, "no worker was ever at work"
            killed += [pids[worker] for worker, tasks in sorted(client.processing().items()) if tasks][:1]
    os.kill(killed[0], signal.SIGKILL)


def swept_with_a_death(words: dict[str, str], at: int, folder: Path) -> None:
    """A sweep on two workers, one of which is killed at work once `at` points are done, equals the sweep in this process."""
    one, killed, threads = plan(**words), list[int](), list[threading.Thread]()

    def progress(done: int, total: int) -> None:
        if done >= at and not threads:
            threads.append(threading.Thread(target=kill_one_at_work, args=(found, killed)))
            threads[0].start()

    with cluster(folder, 2) as found:
        workers = DaskWorkers(found.address, 30)
        while workers.slots() < 2:
            time.sleep(0.1)
        outcomes = swept(one, folder / "dask", workers, progress)
        threads[0].join(60)
        deaths = [process.wait(10) for process in found.processes if process.pid in killed]
    assert deaths == [-signal.SIGKILL]
    assert list(outcomes) == list(range(one.grid.size))
    assert all(outcome.kind is None for outcome in outcomes.values())
    ran = {int(outcome.worker.rpartition(":")[2]) for outcome in outcomes.values()}
    assert len(ran - set(killed)) == 1  # the other worker, which had the rest
    alone = [run_task(task) for task in tasks_of(one.grid.points(), one.settings, one.chips, one.limit_s)]
    assert results(outcomes) == results({outcome.index: outcome for found in alone for outcome in found})


def test_a_sweep_survives_a_worker_and_equals_the_one_of_a_single_process(tmp_path: Path) -> None:
    swept_with_a_death({"bits": "8,7,6,5,4", "mapping": "sequential"}, 1, tmp_path)


@pytest.mark.slow
def test_sixty_points_survive_a_worker_and_equal_those_of_a_single_process(tmp_path: Path) -> None:
    words = {"retention": "1,0.75,0.5", "bits": "8,6,4", "density": "1,0.5", "mapping": "pumice,hilbert"}
    swept_with_a_death({**words, "masks": "live,static"}, 20, tmp_path)


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:9", "nonsense", "deaf"])
def test_a_scheduler_that_is_not_there_is_one_line_within_ten_seconds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        place = f"tcp://127.0.0.1:{silent.getsockname()[1]}" if address == "deaf" else address
        started = time.monotonic()
        assert main(["sweep", MODEL, "-o", "s.parquet", *FEW, "--scheduler", place]) == 2
        assert time.monotonic() - started < 10
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: --scheduler {place}: no Dask scheduler answers there")
    assert not list(tmp_path.iterdir())


def test_a_worker_with_another_pumice_or_none_is_named_before_anything_runs(tmp_path: Path) -> None:
    other = tmp_path / "other" / "pumice"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "0.0.1"\n')
    with cluster(tmp_path, 0) as found:
        with pytest.raises(RunError, match=r"--scheduler tcp://.*: no worker within 0.5 s"):
            DaskWorkers(found.address, 0.5)
        found.add_worker(str(other.parent))
        with pytest.raises(InputError, match=r"worker tcp://.* has Pumice 0\.0\.1, this is \d"):
            DaskWorkers(found.address, 30)


@pytest.mark.parametrize("whom", [0, 1], ids=["scheduler", "worker"])
def test_a_cluster_that_is_lost_is_not_waited_for_forever(
    tmp_path: Path, whom: int, capfd: pytest.CaptureFixture[str]
) -> None:
    one = plan(bits="8,7", mapping="sequential", patience_s=1)
    with cluster(tmp_path, 1) as found:
        workers = DaskWorkers(found.address, 30)

        def kill(done: int, total: int) -> None:
            if done == 1:
                found.processes[whom].kill()

        with pytest.raises(RunError, match=r"no worker at tcp://.* for 1 s"):
            swept(one, tmp_path / "points", workers, kill)
    (kept,) = Store(tmp_path / "points", one.header).read().values()
    assert kept.kind is None
    assert capfd.readouterr().err == ""
