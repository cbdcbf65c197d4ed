"""The most memory that a process, or it and all its children, had."""

from __future__ import annotations

import os
import re
import resource
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SAMPLED_S = 0.2


def peak_bytes() -> int:
    """Of this process, since it began. The kernel's own mark where it keeps one: what `getrusage` says may be the parent's."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s+(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def sampled_tree() -> Iterator[list[int]]:
    """Bytes of this process and all its descendants, pages that they share counted once, looked at five times a second."""
    seen: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(SAMPLED_S):
            seen.append(tree_bytes(os.getpid()))

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join()


def tree_bytes(root: int) -> int:
    """Proportional set sizes of a process and its descendants; of those that end meanwhile nothing."""
    return sum(_proportional(process) for process in _descendants(root))


def _descendants(root: int) -> list[int]:
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it ended while we looked
    found, fresh = [root], {root}
    while fresh:
        fresh = {child for child, parent in parents.items() if parent in fresh}
        found += fresh
    return found


def _proportional(process: int) -> int:
    try:
        found = re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{process}/smaps_rollup").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
