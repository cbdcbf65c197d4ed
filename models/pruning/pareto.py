"""Which points no other beats. Loads no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

T = TypeVar("T")


def front(
    points: Iterable[T], cost: Callable[[T], float], gain: Callable[[T], float], ties: Callable[[T], Any]
) -> list[T]:
    """The points that no other beats: none costs less and gains as much, none gains more for as much. Lowest cost first.

    Of points equal in both, the one with the smallest `ties` stands."""
    found: list[T] = []
    for point in sorted(points, key=lambda p: (cost(p), -gain(p), ties(p))):
        if not found or gain(point) > gain(found[-1]):
            found.append(point)
    return found
