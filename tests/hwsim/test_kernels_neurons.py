"""Neurons that read stored currents, beside `arith`; and the sums that counting takes of a layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from rooms import extreme

from pumice.hwsim import arith
from pumice.hwsim.kernels.neurons import add_current, run_levels
from pumice.hwsim.kernels.sums import add_samples, take_notes

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=60)
STEPS, CHANNELS, LANES = 3, 4, 64
LIMIT = arith.ACTIVATION_LIMIT - 1


@OFTEN
@given(SEEDS, st.sampled_from([1, 4, 255, 300]), st.sampled_from([1, STEPS]), st.sampled_from([0, 12]))
def test_levels(seed: int, count: int, masks: int, exponent: int) -> None:
    """Thresholds that no current reaches, or every current, and several that are the same."""
    rng = np.random.default_rng(seed)
    ends = [0, 64, 65, -64, LIMIT << 6, (LIMIT << 6) - 1, -(LIMIT << 6) - 1, 1 << 40, -(1 << 40)]
    thresholds = np.sort(rng.choice([*ends, *rng.integers(-999, 999, 9)], count))
    currents, bias = (
        extreme(rng, (STEPS, CHANNELS, LANES), -LIMIT, LIMIT),
        extreme(rng, (CHANNELS,), -4095, 4095) << exponent,
    )
    on = (rng.random((masks, LANES)) < 0.7).astype(np.uint8)
    out = np.full(currents.shape, 77, np.uint8 if count < 256 else np.int16)
    run_levels(currents.astype(np.int32), bias, thresholds, on, out)
    assert np.array_equal(out, arith.spike_levels(currents, bias[:, None], thresholds) * on[:, None])


@OFTEN
@given(SEEDS, st.integers(-6, 6), st.sampled_from([1, STEPS]), st.sampled_from([1, 3000, arith.STATE_LIMIT - 1]))
def test_membranes(seed: int, shift: int, masks: int, most: int) -> None:
    rng, shape = np.random.default_rng(seed), (STEPS, CHANNELS, LANES)
    currents, streams = extreme(rng, shape, -LIMIT, LIMIT), extreme(rng, shape, -most - 1, most)
    bias, on = extreme(rng, (CHANNELS,), -most, most), (rng.random((masks, LANES)) < 0.7).astype(np.uint8)
    out = np.full(shape, 77, np.int32)
    add_current(currents.astype(np.int32), streams, on, shift, bias, -most - 1, most, out)
    wanted = arith.membrane(currents, streams, on[:, None] > 0, shift, bias[:, None], -most - 1, most)
    assert np.array_equal(out, wanted)


@OFTEN
@given(
    SEEDS,
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 2),
    st.integers(1, 4),
    st.sampled_from([np.uint8, np.int8, np.int16, np.int32]),
)
def test_sums_over_samples_leave_out_what_is_between_maps(
    seed: int, extent: tuple[int, int], border: int, samples: int, dtype: Any
) -> None:
    rng, size = np.random.default_rng(seed), (*extent, extent[0] + border, extent[1] + border)
    used, limits = samples * size[2] * size[3], np.iinfo(dtype)
    rows = extreme(rng, (STEPS, CHANNELS, -(-used // 64) * 64), int(limits.min), int(limits.max)).astype(dtype)
    maps = rows[..., :used].reshape(STEPS, CHANNELS, samples, size[2], size[3])[..., : size[0], : size[1]]
    maps = maps.reshape(STEPS, CHANNELS, samples, -1).astype(np.int64)
    events, payloads = (np.full((STEPS, CHANNELS, size[0] * size[1]), 9, np.int64) for _ in range(2))
    add_samples(rows, size, samples, events, payloads)
    assert np.array_equal(events, 9 + (maps != 0).sum(axis=2))
    assert np.array_equal(payloads, 9 + maps.sum(axis=2))


@OFTEN
@given(SEEDS, st.tuples(st.integers(1, 5), st.integers(1, 5)), st.integers(0, 2), st.integers(1, 4))
def test_notes_of_activity_are_taken_from_beside_the_spikes(
    seed: int, extent: tuple[int, int], border: int, samples: int
) -> None:
    rng, size = np.random.default_rng(seed), (*extent, extent[0] + border, extent[1] + border)
    used = samples * size[2] * size[3]
    rows = np.zeros((STEPS, CHANNELS, -(-used // 64) * 64), np.uint8)
    maps = rows[..., :used].reshape(STEPS, CHANNELS, samples, size[2], size[3])[..., : size[0], : size[1]]
    spikes, notes = (rng.integers(0, 2, maps.shape, np.uint8) for _ in range(2))
    maps[...] = spikes + 2 * notes
    active = np.zeros((STEPS, CHANNELS, size[0] * size[1]), np.int64)
    take_notes(rows, size, samples, active)
    assert np.array_equal(maps, spikes)
    assert rows.sum() == spikes.sum()
    assert np.array_equal(active, notes.sum(axis=2).reshape(active.shape))
