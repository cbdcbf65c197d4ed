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
    (count,) = [sys.getrefcount(buffer) for buffer in [np.zeros(1, np.uint8)]]
    return count


UNUSED = _unused()


@dataclass(frozen=True, eq=False)
class Memory:
    """Buffers of one thread, by size. A buffer is free once no array stands on it."""

    buffers: dict[int, list[NDArray[np.uint8]]] = field(default_factory=dict)

    def array(self, shape: tuple[int, ...], dtype: type[Any], slack: int = 0, clear: bool = False) -> NDArray[Any]:
        """An array that starts at a multiple of 64 bytes, with `slack` bytes that may be read before it, which are 0, and
        after it."""
        size = prod(shape) * np.dtype(dtype).itemsize
        memory = self._buffer(size + 2 * (slack + ALIGNMENT))
        start = slack + -(memory.ctypes.data + slack) % ALIGNMENT
        memory[start - slack : start] = 0
        made: NDArray[Any] = memory[start : start + size].view(dtype).reshape(shape)
        if clear:
            made[...] = 0
        return made

    def _buffer(self, size: int) -> NDArray[np.uint8]:
        wanted = _rounded(size)
        known = self.buffers.setdefault(wanted, [])
        for buffer in known:
            if sys.getrefcount(buffer) == UNUSED:
                return buffer
        known.append(np.zeros(wanted, np.uint8))
        return known[-1]


def _rounded(size: int) -> int:
    """A size of few there are: pages, and above 16 of them steps of an eighth."""
    step = max(PAGE, 1 << max(0, size.bit_length() - 4))
    return -(-size // step) * step
