"""Products of attention in lanes beside `arith.spike_matmul`, by each of the kernels that can make them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rooms import extreme, room

from pumice.hwsim import arith
from pumice.hwsim.kernels.attention import count_together, dot_heads, dot_room, multiply_heads

SEEDS = st.integers(0, 2**32 - 1)
PATTERNS = st.sampled_from(["scores", "scores-values", "keys-values", "queries-context"])
SIZES = st.tuples(
    st.integers(1, 3), st.integers(1, 9), st.integers(1, 7), st.sampled_from([1, 2, 3, 5, 63, 64, 65, 130])
)
OFTEN = settings(deadline=None, max_examples=60)
STEPS, FULL = 2, (1 << 31) - 1


def operands(pattern: str, sizes: tuple[int, int, int, int]) -> tuple[tuple[int, int], tuple[int, int]]:
    """Shapes of the two operands, for h heads of d and w channels, n tokens."""
    h, d, w, n = sizes
    shapes = {
        "scores": ((h * d, n), (h * d, n)),
        "scores-values": ((h * n, n), (h * w, n)),
        "keys-values": ((h * d, n), (h * w, n)),
        "queries-context": ((h * d, n), (h * d, w)),
    }
    return shapes[pattern]


def in_lanes(values: NDArray[np.int64], dtype: Any, rng: np.random.Generator) -> NDArray[Any]:
    """[T, B, C, N] as rows [T, C, lanes], garbage in the lanes that are left over, and slack behind them."""
    steps, samples, channels, tokens = values.shape
    lanes = -(-samples * tokens // 64) * 64
    made = room((steps * channels * lanes + 64,), dtype).array
    made[...] = rng.integers(0, 127, made.shape)
    rows = made[: steps * channels * lanes].reshape(steps, channels, lanes)
    rows[..., : samples * tokens] = values.transpose(0, 2, 1, 3).reshape(steps, channels, -1)
    return rows


class Case:
    """One product: `run` gives what a kernel makes of it, `wanted` what it means."""

    def __init__(self, seed: int, pattern: str, sizes: Any, most: tuple[int, int], shift: int, saturates: bool) -> None:
        self.rng, self.pattern, self.heads, self.shift = np.random.default_rng(seed), pattern, sizes[0], shift
        self.samples = int(self.rng.integers(1, 4))
        shapes = operands(pattern, sizes)
        a, b = (extreme(self.rng, (STEPS, self.samples, *s), 0, m) for s, m in zip(shapes, most, strict=True))
        left, right = arith.head_operands(pattern, a, b, self.heads)
        self.inner, self.columns = right.shape[-2], right.shape[-1]
        self.rows = left.shape[-2]
        self.bound = self.inner * most[0] * most[1]
        self.most = max(1, (self.bound << shift) // 3) if saturates else FULL
        self.wanted = arith.spike_matmul(pattern, a, b, self.heads, shift, self.bound, self.most)
        reverse = pattern in ("scores-values", "queries-context")
        self.left, self.right = (b, a) if reverse else (a, b)
        self.turned = pattern in ("scores", "queries-context"), pattern in ("scores-values", "keys-values")

    def run(self, kernel: Any, dtypes: tuple[Any, Any], turned: bool, *scratch: Any) -> NDArray[Any]:
        a, b = (in_lanes(x, d, self.rng) for x, d in zip((self.left, self.right), dtypes, strict=True))
        wide = (self.left.shape[3], self.right.shape[3])
        out = np.zeros((STEPS, self.wanted.shape[2], -(-self.samples * self.wanted.shape[3] // 64) * 64), np.int32)
        how = (self.turned, wide) if turned else (wide[0],)
        kernel(a, b, *how, self.samples, self.heads, self.shift, self.most, *scratch, out)
        whole = out[..., : self.samples * self.wanted.shape[3]]
        assert not out[..., whole.shape[2] :].any()
        return whole.reshape(STEPS, -1, self.samples, self.wanted.shape[3]).transpose(0, 2, 1, 3)


@OFTEN
@given(
    SEEDS,
    PATTERNS,
    SIZES,
    st.sampled_from([(1, 1), (4, 1), (255, 255), (1 << 13, 255), (1 << 20, 4)]),
    st.integers(0, 4),
    st.booleans(),
)
def test_sums_in_integers_that_hold_them(
    seed: int, pattern: str, sizes: Any, most: tuple[int, int], shift: int, saturates: bool
) -> None:
    case = Case(seed, pattern, sizes, most, shift, saturates)
    assume(case.bound << shift <= FULL)
    kinds = [np.uint8 if m < 256 else np.int16 if m < 1 << 15 else np.int32 for m in most]
    dtypes: Any = kinds[::-1] if pattern in ("scores-values", "queries-context") else kinds
    total = np.zeros(case.columns, np.int16 if case.bound < 1 << 15 else np.int32)
    assert np.array_equal(case.run(multiply_heads, dtypes, True, total), case.wanted)


@OFTEN
@given(SEEDS, PATTERNS, SIZES, st.sampled_from([(1, 1), (4, 4), (127, 127)]), st.integers(0, 6), st.booleans())
def test_dot_products_of_bytes(
    seed: int, pattern: str, sizes: Any, most: tuple[int, int], shift: int, saturates: bool
) -> None:
    case = Case(seed, pattern, sizes, most, shift, saturates)
    scratch = room((dot_room(case.rows, case.inner, case.columns),), np.uint8)
    assert np.array_equal(case.run(dot_heads, (np.uint8, np.uint8), True, scratch.array), case.wanted)
    assert scratch.intact


@OFTEN
@given(SEEDS, SIZES, st.integers(0, 6), st.booleans())
def test_spikes_that_meet_are_counted_64_at_a_time(seed: int, sizes: Any, shift: int, saturates: bool) -> None:
    case = Case(seed, "keys-values", sizes, (1, 1), shift, saturates)
    assert np.array_equal(case.run(count_together, (np.uint8, np.uint8), False), case.wanted)
