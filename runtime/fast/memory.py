"""Memory that is used again: fresh pages cost more than most layers' arithmetic."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64
PAGE = 4096


def _unused() -> int:
    """References to a buffer that only its list, a loop and the counting call hold: 3, and fewer on Pythons that lend them."""
    (count,) = [sys.getrefcount(buffer) for buffer, _ in [(np.zeros(1, np.uint8), 0)]]
    return count


UNUSED = _unused()


@dataclass(frozen=True, eq=False)
class Memory:
    """Buffers of one thread, by size. A buffer is free once no array stands on it."""

    buffers: dict[int, list[tuple[NDArray[np.uint8], int]]] = field(default_factory=dict)  # with their addresses

    def array(self, shape: tuple[int, ...], dtype: type[Any], slack: int = 0, clear: bool = False) -> NDArray[Any]:
        """An array that starts at a multiple of 64 bytes, with `slack` bytes that may be read before it, which are 0, and
        after it."""
        size = prod(shape) * np.dtype(dtype).itemsize
        buffer, address = self._buffer(size + 2 * (slack + ALIGNMENT))
        start = slack + -(address + slack) % ALIGNMENT
        if slack:
            buffer[start - slack : start] = 0
        made: NDArray[Any] = np.ndarray(shape, dtype, buffer, start)
        if clear:
            made[...] = 0
        return made

    def _buffer(self, size: int) -> tuple[NDArray[np.uint8], int]:
        wanted = _rounded(size)
        known = self.buffers.setdefault(wanted, [])
        for buffer, address in known:
            if sys.getrefcount(buffer) == UNUSED:
                return buffer, address
        fresh = np.zeros(wanted, np.uint8)
        known.append((fresh, fresh.ctypes.data))
        return known[-1]


def _rounded(size: int) -> int:
    """A size of few there are: pages, and above 16 of them steps of an eighth."""
    step = max(PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step
