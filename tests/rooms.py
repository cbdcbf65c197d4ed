"""Arrays for kernels that are called by address: aligned, with garbage around them that nobody may write on."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

AROUND = 192  # bytes before and after, a multiple of a register
GARBAGE = 0xA5


@dataclass(frozen=True, eq=False)
class Room:
    """array: starts at a multiple of 64 bytes in `memory`."""

    memory: NDArray[np.uint8]
    array: NDArray[Any]

    @property
    def at(self) -> np.uintp:
        return np.uintp(self.array.ctypes.data)

    @property
    def intact(self) -> bool:
        """Whether nothing was written around the array."""
        begin = self.array.ctypes.data - self.memory.ctypes.data
        around = (self.memory[:begin], self.memory[begin + self.array.nbytes :])
        return all(bool((part == GARBAGE).all()) for part in around)


def room(shape: tuple[int, ...], dtype: type[Any]) -> Room:
    """Garbage in the array, too."""
    size = prod(shape) * np.dtype(dtype).itemsize
    memory = np.full(size + 2 * AROUND + 64, GARBAGE, np.uint8)
    begin = AROUND + -(memory.ctypes.data + AROUND) % 64
    return Room(memory, memory[begin : begin + size].view(dtype).reshape(shape))


def room_of(values: ArrayLike, dtype: type[Any]) -> Room:
    made = room(np.shape(values), dtype)
    made.array[...] = values
    return made


def extreme(rng: np.random.Generator, shape: tuple[int, ...], low: int, high: int) -> NDArray[np.int64]:
    """Integers from low to high, many of them at the ends or 0."""
    values = rng.integers(low, high + 1, shape)
    ends = rng.choice([low, high, int(np.clip(0, low, high))], shape)
    return np.asarray(np.where(rng.random(shape) < rng.choice([0.0, 0.5, 1.0]), ends, values))
