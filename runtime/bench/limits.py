"""What the machine can do at most, measured on so many threads: copying memory, and adding integers that stay in a core."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import BackendUnavailable
from pumice.runtime.bench.numbers import spread

COPIED = 1 << 27  # bytes that each thread copies: more than any cache holds
WIDTH = 2048  # 16-bit sums that a thread adds to: 4 KiB, and as much that is added
ROUNDS = 20_000  # of the whole width, in a measurement


def limits(threads: int, repeats: int) -> dict[str, Any]:
    """`copy_bytes_per_s`: read and written together. `int16_adds_per_s`: of bytes to 16-bit sums in the first cache, as a layer
    of synapses adds its weights. Each with min, median and max over repeats, all threads together."""
    copied = [_copy_rate(threads) for _ in range(repeats)]
    adding = _adder()
    added = [_add_rate(adding, threads) for _ in range(repeats)]
    return {
        "threads": threads,
        "copy_bytes_per_s": spread(copied).as_dict(),
        "int16_adds_per_s": spread(added).as_dict(),
    }


def _copy_rate(threads: int) -> float:
    pairs = [(np.ones(COPIED // 8), np.empty(COPIED // 8)) for _ in range(threads)]
    for source, target in pairs:
        np.copyto(target, source)  # touches every page
    return 2 * COPIED * threads / _together(threads, lambda k: np.copyto(pairs[k][1], pairs[k][0]))


def _add_rate(adding: Callable[..., None], threads: int) -> float:
    rows = [(np.ones((8, WIDTH), np.int8), np.zeros(WIDTH, np.int16)) for _ in range(threads)]
    return ROUNDS * WIDTH * threads / _together(threads, lambda k: adding(*rows[k], ROUNDS))


def _together(threads: int, work: Callable[[int], None]) -> float:
    """Seconds until `work(k)` of all threads has ended."""
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(lambda k: None, range(threads)))  # the threads exist
        began = time.perf_counter()
        list(pool.map(work, range(threads)))
        return time.perf_counter() - began


def _adder() -> Callable[..., None]:
    """A compiled loop that adds rows of int8 to sums of int16, over and over."""
    try:
        import numba
    except ImportError as error:
        raise BackendUnavailable("the rate of additions needs numba", "pip install 'pumice[fast]'") from error

    def add(rows: NDArray[np.int8], sums: NDArray[np.int16], rounds: int) -> None:
        for k in range(rounds):
            row = rows[k & 7]
            for at in range(len(sums)):
                sums[at] += row[at]

    compiled: Callable[..., None] = numba.njit(nogil=True)(add)
    compiled(np.ones((8, WIDTH), np.int8), np.zeros(WIDTH, np.int16), 1)
    return compiled
