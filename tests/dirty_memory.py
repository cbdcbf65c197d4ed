"""Memory of the `fast` backend in which whatever has not been written is garbage."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.runtime.fast.memory import Memory


class DirtyMemory(Memory):
    """As after many layers: every buffer comes full of odd bytes, so that nothing is 0 or right by chance."""

    def _buffer(self, size: int) -> NDArray[np.uint8]:
        buffer = super()._buffer(size)
        buffer[:] = 0xA7
        return buffer
