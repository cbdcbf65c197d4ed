"""How long work tells how far it is. A leaf: every part may import it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[int, int], None]


def no_progress(done: int, total: int) -> None:
    """For callers that do not want to know."""
