"""Memory of the `fast` backend that shows what reads what it must not."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
from numpy.typing import NDArray

from pumice.runtime.fast.memory import Memory

PAGE = mmap.PAGESIZE


class DirtyMemory(Memory):
    """As after many layers: every buffer comes full of odd bytes, so that nothing is 0 or right by chance."""

    def _buffer(self, size: int) -> tuple[NDArray[np.uint8], int]:
        buffer, address = super()._buffer(size)
        buffer[:] = 0xA7
        return buffer, address


class FencedMemory(Memory):
    """Whoever reads or writes behind a buffer ends the process. Nothing is used twice."""

    def _buffer(self, size: int) -> tuple[NDArray[np.uint8], int]:
        whole = -(-size // PAGE) * PAGE
        pages = np.frombuffer(mmap.mmap(-1, whole + PAGE), np.uint8)
        assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(pages.ctypes.data + whole), PAGE, 0) == 0
        buffer = pages[whole - size : whole]
        return buffer, buffer.ctypes.data
