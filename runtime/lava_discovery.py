"""Lava's search for the models of a Process, once for each class of Process.

Lava 0.10.0 searches anew for every Process, and executes every file around it each time: 25 ms a Process, most of the time that a
network of a hundred takes to start.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def searched_once() -> Iterator[None]:
    """Inside, networks are compiled with one search a class. Nothing else changes, and nothing stays changed."""
    from lava.magma.compiler.compiler_graphs import ProcGroupDiGraphs

    search, found = ProcGroupDiGraphs._find_proc_models, dict[type[Any], list[Any]]()

    def models_of(proc: Any) -> list[Any]:
        if type(proc) not in found:
            found[type(proc)] = search(proc)
        return list(found[type(proc)])

    ProcGroupDiGraphs._find_proc_models = staticmethod(models_of)
    try:
        yield
    finally:
        ProcGroupDiGraphs._find_proc_models = staticmethod(search)
