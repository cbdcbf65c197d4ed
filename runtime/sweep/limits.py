"""A time limit for work in any thread, and one thread for all arithmetic."""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from pumice.runtime.child_process import SINGLE_THREADED

T = TypeVar("T")
AGAIN_S = 0.2


class TimeLimitReached(BaseException):
    """Raised in a thread whose work takes too long; no `except Exception` on the way may keep it."""


def within(seconds: float, work: Callable[[], T]) -> T:
    """What `work` returns. Raises TimeLimitReached in it once it has taken so long, as soon as it runs Python code again: signals
    would reach the main thread alone, and tasks of a Dask worker run in others."""
    alarm = _Alarm(threading.get_ident(), seconds)
    threading.Thread(target=alarm.run, daemon=True).start()
    try:
        return work()
    finally:
        while not alarm.muted.is_set():
            with suppress(TimeLimitReached):  # which may come while it is being muted
                alarm.mute()


class _Alarm:
    """Raises TimeLimitReached in a thread after so many seconds, and again: what is raised in a callback of the garbage collector
    gets lost."""

    def __init__(self, thread: int, seconds: float) -> None:
        self.muted = threading.Event()
        self._thread, self._seconds, self._lock = ctypes.c_ulong(thread), seconds, threading.Lock()

    def run(self) -> None:
        """Waits, and rings until it is muted."""
        wait = self._seconds
        while not self.muted.wait(wait):
            wait = AGAIN_S
            with self._lock:
                if not self.muted.is_set():
                    ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, ctypes.py_object(TimeLimitReached))

    def mute(self) -> None:
        """No more from now on, also of what was raised and has not arrived."""
        with self._lock:
            self.muted.set()
            ctypes.pythonapi.PyThreadState_SetAsyncExc(self._thread, None)


@contextmanager
def one_thread() -> Iterator[None]:
    """Sums of floats come out the same on every machine's number of cores, and workers do not take each other's cores."""
    import torch
    from threadpoolctl import threadpool_limits

    os.environ.update({name: "1" for name in SINGLE_THREADED if name not in os.environ})  # for what is not loaded yet
    torch.set_num_threads(1)
    with threadpool_limits(1):
        yield
