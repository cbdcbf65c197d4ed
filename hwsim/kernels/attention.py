"""Products of spikes, levels and counts, per sample and head: `arith.spike_matmul`. What is 0 is not visited."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Array = NDArray[Any]


@njit(nogil=True, cache=True)  # type: ignore[misc]
def multiply_heads(
    pattern: int, a: Array, b: Array, samples: int, heads: int, wide_a: int, wide_b: int, shift: int, most: int, out: Array
) -> None:
    """One half of attention over lanes: a [T, C, samples * wide_a], b likewise, out [T, C', samples * its columns] (int32).

    pattern: 0 scores, 1 scores-values, 2 keys-values, 3 queries-context (`compiler.int_nodes.SpikeMatmul`). Sums are shifted
    left, and saturate at `most`.
    """
    left_in, right_in = (a, b) if pattern in (0, 2) else (b, a)
    left_wide, right_wide = (wide_a, wide_b) if pattern in (0, 2) else (wide_b, wide_a)
    left_turned, right_turned = pattern in (0, 3), pattern in (1, 2)
    left_rows, right_rows = left_in.shape[1] // heads, right_in.shape[1] // heads
    rows, inner = (left_wide, left_rows) if left_turned else (left_rows, left_wide)
    columns = right_rows if right_turned else right_wide
    right, total = np.empty((inner, columns), np.int32), np.empty(columns, np.int32)
    for t in range(a.shape[0]):
        for sample in range(samples):
            for head in range(heads):
                for k in range(inner):
                    for n in range(columns):
                        if right_turned:
                            right[k, n] = right_in[t, head * right_rows + n, sample * right_wide + k]
                        else:
                            right[k, n] = right_in[t, head * right_rows + k, sample * right_wide + n]
                for m in range(rows):
                    total[:] = 0
                    for k in range(inner):
                        if left_turned:
                            factor = np.int32(left_in[t, head * left_rows + k, sample * left_wide + m])
                        else:
                            factor = np.int32(left_in[t, head * left_rows + m, sample * left_wide + k])
                        if factor != 0:
                            for n in range(columns):
                                total[n] += factor * right[k, n]
                    for n in range(columns):
                        out[t, head * rows + m, sample * columns + n] = min(total[n] << shift, most)
