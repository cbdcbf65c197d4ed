"""Nothing waits forever, and nothing is left behind: no process, no shared memory, no temporary file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest
from lava_networks import members, odd_samples, odd_shapes, shared_memory, wait_for_network, wait_until

from pumice.compiler.program import Program
from pumice.errors import RunError
from pumice.runtime.lava_backend import LavaBackend

pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
if not sys.platform.startswith("linux"):
    pytest.skip("looks at processes through /proc", allow_module_level=True)

PROCESSES = 18  # of a running `odd_shapes`: supervisor, resource tracker, memory manager, runtime service, the network
LONG = 5000  # samples: minutes


@dataclass
class Run:
    """A run in a thread of this process."""

    program: Program
    timeout_s: float = 60.0
    errors: list[BaseException] = field(default_factory=list)
    thread: threading.Thread = field(init=False)

    def __post_init__(self) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            LavaBackend(self.timeout_s).run(self.program, odd_samples(LONG))
        except BaseException as error:
            self.errors.append(error)

    def error_within(self, seconds: float) -> RunError:
        """The error that the run ends with."""
        self.thread.join(seconds)
        assert not self.thread.is_alive(), f"still running after {seconds} s"
        (error,) = self.errors
        assert isinstance(error, RunError), repr(error)
        return error


@pytest.fixture(autouse=True)
def _temporary_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))


def nothing_left(group: int, memory: set[Path]) -> Callable[[], bool]:
    return lambda: not members(group) and not any(path.exists() for path in memory)


def running(group: int) -> set[Path]:
    """Wait until the network exchanges frames; returns its shared memory."""
    assert wait_until(lambda: len(shared_memory(group)) > PROCESSES, 30)
    time.sleep(0.5)
    return shared_memory(group)


def test_a_child_that_raises_before_it_sends_ends_the_run_with_its_traceback(tmp_path: Path) -> None:
    """Stock Lava would wait forever for the frame that never comes."""
    program = odd_shapes()
    broken = replace(program.graph.nodes["gated"], bias_mant=np.arange(5))
    run = Run(replace(program, graph=replace(program.graph, nodes={**program.graph.nodes, "gated": broken})))
    group = wait_for_network(os.getpid(), 1)
    error = run.error_within(15)
    assert "process 'gated': ValueError: operands could not be broadcast" in str(error)
    assert "in lif_step" in str(error.__cause__)
    assert wait_until(lambda: not members(group), 1)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("number", "hint"), [(signal.SIGKILL, ""), (signal.SIGBUS, "--shm-size")])
def test_a_killed_child_ends_the_run(number: signal.Signals, hint: str, tmp_path: Path) -> None:
    run = Run(odd_shapes())
    group = wait_for_network(os.getpid(), PROCESSES)
    memory = running(group)
    os.kill(members(group)[PROCESSES // 2], number)
    error = run.error_within(10)
    assert f"ended with exit status -{int(number)}" in str(error)
    assert hint in error.hint
    assert wait_until(nothing_left(group, memory), 1)
    assert not list(tmp_path.iterdir())


def test_a_killed_supervisor_ends_the_run() -> None:
    run = Run(odd_shapes())
    group = wait_for_network(os.getpid(), PROCESSES)
    memory = running(group)
    os.kill(group, signal.SIGKILL)
    assert "supervisor ended with exit status -9" in str(run.error_within(10))
    assert wait_until(nothing_left(group, memory), 1)


def test_a_network_without_progress_is_ended() -> None:
    run = Run(odd_shapes(), timeout_s=6)
    group = wait_for_network(os.getpid(), PROCESSES)
    memory = running(group)
    os.kill(members(group)[PROCESSES // 2], signal.SIGSTOP)
    error = run.error_within(20)
    assert "no progress for 6 s" in str(error)
    assert "timeout_s" in error.hint
    assert wait_until(nothing_left(group, memory), 1)


# A shell's background job ignores SIGINT, and its children inherit that: the caller here is one that Ctrl-C reaches.
SCRIPT = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from lava_networks import odd_samples, odd_shapes
from pumice.runtime.lava_backend import LavaBackend
LavaBackend().run(odd_shapes(), odd_samples(5000))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_the_network_does_not_outlive_its_caller(number: signal.Signals, tmp_path: Path) -> None:
    place = os.pathsep.join([str(Path(__file__).parent.parent), *filter(None, sys.path)])
    environment = {**os.environ, "PYTHONPATH": place, "TMPDIR": str(tmp_path)}
    caller = subprocess.Popen([sys.executable, "-c", SCRIPT], env=environment, stderr=subprocess.PIPE)
    try:
        group = wait_for_network(caller.pid, PROCESSES)
        memory = running(group)
        caller.send_signal(number)
        _, said = caller.communicate(timeout=10)
    finally:
        caller.kill()
    assert wait_until(nothing_left(group, memory), 5)
    if number == signal.SIGINT:
        assert b"KeyboardInterrupt" in said
        assert not list(tmp_path.iterdir())
