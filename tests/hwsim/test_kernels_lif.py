"""LIF neurons in lanes beside `arith.lif_step` and `arith.gated_lif_step`."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from numpy.typing import NDArray
from rooms import extreme, room, room_of

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.compiler.walk_neurons import run_stateful
from pumice.hwsim import arith
from pumice.hwsim.kernels.lif_rows import lif_rows, store_rows
from pumice.hwsim.kernels.quick_lif import quick_lif

SEEDS = st.integers(0, 2**32 - 1)
DECAYS = st.sampled_from([0, 1, 1365, 2047, 2048, 2049, 3072, 4095, 4096])
OFTEN = settings(deadline=None, max_examples=150)
FULL = arith.STATE_LIMIT - 1


@njit  # type: ignore[misc]
def _rows(
    rows: int,
    chunks: int,
    sums: int,
    packed: bool,
    skips: int,
    membrane: int,
    apart: int,
    numbers: Any,
    bias: int,
    on: int,
    decays: bool,
    noted: int,
    tight: bool,
    out: int,
    out_apart: int,
) -> None:
    shift, keep, threshold = np.int32(numbers[0]), np.int32(numbers[1]), np.int32(numbers[2])
    lif_rows(
        rows,
        chunks,
        sums,
        packed,
        skips,
        membrane,
        apart,
        shift,
        bias,
        keep,
        threshold,
        on,
        decays,
        np.uint8(noted),
        tight,
        out,
        out_apart,
    )


@njit  # type: ignore[misc]
def _quick(
    rows: int, tiles: int, memory: Any, numbers: Any, bias: int, on: int, flags: Any, out: int, apart: int
) -> None:
    sums, skips, membrane = memory
    packed, saturates = flags
    shift, threshold = np.int32(numbers[0]), np.int32(numbers[1])
    quick_lif(
        rows,
        tiles,
        sums,
        packed,
        skips,
        membrane,
        tiles * 256,
        shift,
        bias,
        threshold,
        saturates,
        on,
        out,
        apart,
    )


@njit  # type: ignore[misc]
def _store(rows: int, chunks: int, sums: int, apart: int, shift: int, out: int, out_apart: int) -> None:
    store_rows(rows, chunks, sums, apart, np.int32(shift), out, out_apart)


def pushed(sums: NDArray[np.int64], on: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """The sums of the lanes that are on, one after another, then garbage."""
    together = rng.integers(-(1 << 20), 1 << 20, sums.shape)
    together[:, : int(on.sum())] = sums[:, on]
    return together


@OFTEN
@given(
    SEEDS,
    st.tuples(st.integers(1, 6), st.integers(1, 5)),
    DECAYS,
    st.sampled_from([0, 1, 64, 5000, (1 << 17) - 1]),
    st.sampled_from([0, 1]),
    st.sampled_from([1, 300, arith.ACTIVATION_LIMIT - 1]),
    st.sampled_from(["hold", "decay"]),
    st.sampled_from(["all", "packed", "tight"]),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_a_step(
    seed: int,
    size: tuple[int, int],
    dv: int,
    vth: int,
    halved: int,
    most: int,
    state: Any,
    kind: str,
    share: float,
) -> None:
    """Membranes from all of their range, currents and biases that saturate them, sums that lack a doubling; sums, and what is
    sent, of all lanes or of those that are on."""
    rng, (rows, chunks) = np.random.default_rng(seed), size
    lanes = 16 * chunks
    sums = extreme(rng, (rows, lanes), -(most >> halved), most >> halved)
    before, bias = extreme(rng, (rows, lanes), -FULL, FULL), extreme(rng, (rows,), -(1 << 28), 1 << 28)
    bias = np.where(rng.random(rows) < 0.5, 0, bias)
    on = rng.random(lanes) < share
    node = lif(rows, dv, vth, bias, state)
    wanted, active, (_, after) = run_stateful(
        node,
        [(sums << halved)[None, None], on[None, None].astype(np.int64)],
        (np.zeros_like(before)[None], before[None]),
    )
    packed, tight = kind != "all", kind == "tight"
    held, membranes = room_of(pushed(sums, on, rng) if packed else sums, np.int32), room_of(before, np.int32)
    skips = room_of([4 * on[: 16 * k].sum() for k in range(chunks)], np.int64)
    given_bias, given_on, out = room_of(bias, np.int32), room_of(on, np.uint8), room((rows, lanes + 16), np.uint8)
    numbers = (arith.MEMBRANE_SHIFT + halved, arith.DECAY_UNITY - dv, vth << arith.MEMBRANE_SHIFT)
    places = (numbers, given_bias.at, given_on.at, state == "decay", 2, tight, out.at, lanes + 16)
    _rows(rows, chunks, held.at, packed, skips.at, membranes.at, 4 * lanes, *places)
    sent, noted = (x[:, on] if tight else x for x in (wanted[0, 0], active[0]))
    assert np.array_equal(out.array[:, : sent.shape[1]] & 1, sent)
    assert np.array_equal(out.array[:, : sent.shape[1]] >> 1, noted)
    assert np.array_equal(membranes.array, after[0])
    assert out.intact
    assert membranes.intact


@OFTEN
@given(
    SEEDS,
    st.tuples(st.integers(1, 6), st.integers(1, 3)),
    st.sampled_from([0, 1, 64, 5000, (1 << 17) - 1]),
    st.sampled_from([0, 1]),
    st.booleans(),
    st.booleans(),
    st.sampled_from([0.0, 0.3, 1.0]),
)
def test_a_quick_step(
    seed: int, size: tuple[int, int], vth: int, halved: int, saturates: bool, packed: bool, share: float
) -> None:
    """The same where membranes halve and wait: of membranes and currents that saturate, or of any that cannot."""
    rng, (rows, tiles) = np.random.default_rng(seed), size
    lanes, most = 64 * tiles, (arith.ACTIVATION_LIMIT - 1) if saturates else arith.ACTIVATION_LIMIT // 4
    full, large = (FULL, 1 << 28) if saturates else (FULL // 2, 1 << 20)
    sums = extreme(rng, (rows, lanes), -(most >> halved), most >> halved)
    before, bias = extreme(rng, (rows, lanes), -full, full), extreme(rng, (rows,), -large, large)
    on, out = rng.random(lanes) < share, room((rows, lanes + 16), np.uint8)
    wanted, _, (_, after) = run_stateful(
        lif(rows, 2048, vth, bias, "hold"),
        [(sums << halved)[None, None], on[None, None].astype(np.int64)],
        (np.zeros_like(before)[None], before[None]),
    )
    held, membranes = room_of(pushed(sums, on, rng) if packed else sums, np.int32), room_of(before, np.int32)
    skips = room_of([4 * on[: 16 * k].sum() for k in range(4 * tiles)], np.int64)
    given_bias, given_on = room_of(bias, np.int32), room_of(on, np.uint8)
    numbers = (arith.MEMBRANE_SHIFT + halved, vth << arith.MEMBRANE_SHIFT)
    memory, flags = (held.at, skips.at, membranes.at), (packed, saturates)
    _quick(rows, tiles, memory, numbers, given_bias.at, given_on.at, flags, out.at, lanes + 16)
    sent = wanted[0, 0][:, on] if packed else wanted[0, 0]
    assert np.array_equal(out.array[:, : sent.shape[1]], sent)
    assert np.array_equal(membranes.array, after[0])
    assert out.intact
    assert membranes.intact


def lif(rows: int, dv: int, vth: int, bias: NDArray[np.int64], state: Any) -> i.IntLif:
    out = TensorType((rows, 1), "spike", 0, 1)
    return i.IntLif("n", ("x", "m"), out, "n", vth, dv, bias, 0, 1.0, state)


@given(st.integers(-FULL, FULL), st.integers(0, 4096))
@settings(deadline=None, max_examples=300)
def test_every_decay_of_every_membrane_rounds_as_arith_does(v: int, dv: int) -> None:
    values = np.clip(np.arange(v - 8, v + 8), -FULL, FULL)
    membranes, sums = room_of(values[None], np.int32), room_of(np.zeros((1, 16)), np.int32)
    nothing, on, out = room_of([0], np.int32), room_of(np.zeros(16), np.uint8), room((1, 16), np.uint8)
    numbers = (6, arith.DECAY_UNITY - dv, FULL)
    places = (numbers, nothing.at, on.at, True, 0, False, out.at, 16)
    _rows(1, 1, sums.at, False, sums.at, membranes.at, 64, *places)
    assert np.array_equal(membranes.array[0], arith.decay(values, dv))
    assert not out.array.any()


@given(SEEDS, st.integers(1, 6), st.integers(1, 5), st.sampled_from([0, 1]))
@settings(deadline=None, max_examples=30)
def test_sums_are_stored_doubled_where_they_lack_it(seed: int, rows: int, chunks: int, shift: int) -> None:
    lanes = 16 * chunks
    sums = extreme(np.random.default_rng(seed), (rows, lanes), -(1 << 29), 1 << 29)
    held, out = room_of(sums, np.int32), room((rows, lanes), np.int32)
    _store(rows, chunks, held.at, 4 * lanes, shift, out.at, 4 * lanes)
    assert np.array_equal(out.array, sums << shift)
    assert out.intact
