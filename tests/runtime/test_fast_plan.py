"""What `fast` decides before it runs: synapses as bytes, dense or in lists, what is one kernel, where values are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from threading import Barrier
from typing import Any

import numpy as np
import pytest
from dirty_memory import DirtyMemory
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from one_node import of
from rooms import extreme

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.runtime.fast.backend import cut
from pumice.runtime.fast.lanes import Layout, held, storage
from pumice.runtime.fast.memory import Memory
from pumice.runtime.fast.synapse_plan import GROUP, LARGEST, SPARSE, SUM_LIMIT, SynapsePlan, plan_synapse

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=80)
BITS = of((4, 6, 6), 0, 1)


def synapse(weight: NDArray[np.int64], **changes: Any) -> i.Synapse:
    padding = (weight.shape[2] // 2, weight.shape[3] // 2)
    out = of((len(weight), 6, 6), -(1 << 16), 1 << 16, "current")
    return replace(i.Synapse("s", ("x",), out, "s", weight, (1, 1), padding, 1.0), **changes)


def ones(*shape: int) -> NDArray[np.int64]:
    return np.ones(shape, np.int64)


def matrix_of(plan: SynapsePlan, inputs: int) -> NDArray[np.int64]:
    """The weights that a plan stands for, [outputs, inputs]."""
    if plan.dense:
        groups, quads = plan.values.shape[:2]
        whole = plan.values.transpose(0, 2, 1, 3).reshape(groups * GROUP, quads * 4).astype(np.int64)
    else:
        whole = np.zeros((len(plan.first), len(plan.taps)), np.int64)
        for starts in plan.lists:
            for output, (begin, end) in enumerate(pairwise(starts)):
                np.add.at(whole[output], plan.offsets[begin:end] // 64, plan.values[begin:end])
    assert not whole[plan.outputs :].any()
    assert not whole[:, inputs:].any()
    return whole[: plan.outputs, :inputs] << plan.shift


@OFTEN
@given(
    SEEDS,
    st.tuples(st.integers(1, 14), st.integers(1, 9)),
    st.sampled_from([(1, 1), (3, 3), (1, 5)]),
    st.sampled_from([(127, 1), (127, 2), (128, 1), (128, 2), (255, 1), (510, 2)]),
    st.sampled_from([0.0, 0.1, 0.24, 0.26, 1.0]),
)
def test_a_plan_holds_the_weights_that_bytes_can_hold(
    seed: int, size: tuple[int, int], kernel: tuple[int, int], most: tuple[int, int], density: float
) -> None:
    rng, (outputs, channels), (largest, factor) = np.random.default_rng(seed), size, most
    weight = extreme(rng, (outputs, channels, *kernel), -largest // factor, largest // factor) * factor
    weight *= rng.random(weight.shape) < density
    plan = plan_synapse(synapse(weight), of((channels, 6, 6), 0, 4), 2)
    halved = weight // 2 if (weight % 2 == 0).all() else weight
    fits = any(w.min() >= -128 and w.max() <= 127 for w in (weight, halved))
    assert (plan is not None) == fits
    if plan is None:
        return
    assert np.array_equal(matrix_of(plan, weight[0].size), weight.reshape(outputs, -1))
    assert plan.shift == 0 or (np.abs(weight) > 127).any()
    if plan.dense:
        assert np.count_nonzero(weight) > 0


def test_few_synapses_are_lists_and_many_are_dense() -> None:
    weight = np.zeros((6, 100, 1, 1), np.int64)
    for count, dense in ((int(600 * SPARSE) - 6, False), (int(600 * SPARSE) + 6, True)):
        weight.reshape(-1)[:count] = 2
        plan = plan_synapse(synapse(weight), of((100, 6, 6), 0, 1), 0)
        assert plan is not None
        assert plan.dense == dense
        assert dense or plan.values.nbytes < 2 * count + 2 * GROUP


@pytest.mark.parametrize("source", [of((100, 6, 6), -1, 1), of((100, 6, 6), 0, LARGEST + 1)])
def test_inputs_that_are_signed_or_whose_pairs_leave_16_bits_are_dense(source: TensorType) -> None:
    weight = np.zeros((6, 100, 1, 1), np.int64)
    weight[0, 0] = 3
    plan = plan_synapse(synapse(weight), source, 0)
    assert plan is not None
    assert plan.dense
    assert plan.first[0] == (-128 * 3 if source.low < 0 else 0)


@pytest.mark.parametrize(
    ("node", "source", "border"),
    [
        (synapse(ones(4, 4, 3, 3), stride=(2, 2)), BITS, 1),
        (synapse(ones(4, 2, 3, 3), groups=2), BITS, 1),
        (synapse(ones(4, 4, 2, 2)), BITS, 1),  # even kernels change the size of a map
        (synapse(ones(4, 4, 3, 3), padding=(0, 0)), BITS, 1),
        (synapse(ones(4, 4, 3, 3), padding=(2, 2)), BITS, 2),
        (synapse(ones(4, 4, 5, 5)), BITS, 1),  # taps would reach the next row
        (synapse(ones(4, 4, 1, 5)), BITS, 1),
        (synapse(ones(4, 4, 1, 1)), of((4, 6, 6), 0, 256), 0),
        (synapse(ones(4, 4, 1, 1)), of((4, 6, 6), -129, 0), 0),
        (synapse(ones(4, 4, 1, 1)), of((4, 6, 6), -1, 128), 0),
        (synapse(255 * ones(4, 4, 1, 1)), BITS, 0),
        (synapse(256 * ones(4, 4, 1, 1)), BITS, 0),
        (synapse(-258 * ones(4, 4, 1, 1)), BITS, 0),
        (synapse(ones(4, 4, 3, 1), out=of((4, 36), 0, 99, "current")), of((4, 36), 0, 1), 1),
    ],
)
def test_what_the_kernels_have_not_has_no_plan(node: i.Synapse, source: TensorType, border: int) -> None:
    assert plan_synapse(node, source, border) is None


@OFTEN
@given(SEEDS, st.integers(1, 7), st.integers(1, 900), st.sampled_from([1, 4, 127, 128]))
def test_no_list_s_sums_can_leave_16_bits(seed: int, outputs: int, inputs: int, most: int) -> None:
    """Whatever comes in: at most the positive weights all see the largest input, and the negative ones none."""
    rng = np.random.default_rng(seed)
    weight = extreme(rng, (outputs, inputs, 1, 1), -128, 127)
    plan = plan_synapse(synapse(weight), of((inputs, 6, 6), 0, most), 0, sparse=1.1)
    assert plan is not None
    assert not plan.dense
    assert np.array_equal(matrix_of(plan, inputs), weight.reshape(outputs, -1))
    for starts in plan.lists:
        for begin, end in pairwise(starts):
            part = plan.values[begin:end].astype(np.int64) * most
            assert part.clip(min=0).sum() <= SUM_LIMIT
            assert part.clip(max=0).sum() >= -SUM_LIMIT - 1
    worst = int(np.abs(weight).sum(axis=1).max()) * most
    assert len(plan.lists) <= max(1, -(-worst // (SUM_LIMIT - 128 * most)))


@OFTEN
@given(
    SEEDS,
    st.sampled_from([(3,), (1, 1), (3, 5), (2, 64), (3, 65), (1, 1, 1), (2, 4, 3), (3, 1, 7), (2, 8, 8)]),
    st.integers(0, 3),
    st.tuples(st.integers(1, 4), st.integers(1, 5)),
    st.sampled_from([(0, 1), (0, 255), (-128, 127), (-1, 255), (-(1 << 31), 0), (0, 1 << 40)]),
    st.booleans(),
)
def test_values_come_out_of_lanes_as_they_went_in(
    seed: int, shape: tuple[int, ...], border: int, size: tuple[int, int], span: tuple[int, int], still: bool
) -> None:
    rng, (steps, samples) = np.random.default_rng(seed), size
    layout = Layout(samples, shape, border if len(shape) == 3 else 0)
    values = extreme(rng, (1 if still else steps, samples, *shape), *span)
    whole = np.broadcast_to(values, (steps, *values.shape[1:]))
    kept = held(whole, layout, storage(of(shape, *span)), DirtyMemory())
    assert np.array_equal(kept.dense(steps), whole)
    assert kept.rows.shape[1:] == (shape[0], layout.lanes)
    assert layout.lanes % 64 == 0
    assert kept.rows.ctypes.data % 64 == 0
    assert not kept.rows[..., layout.valid[0] == 0].any()  # borders, and lanes that are left over
    assert layout.valid.sum() == samples * int(np.prod(shape[1:]))
    assert len(kept.rows) == (1 if still and steps > 1 else len(values))


@pytest.mark.parametrize(
    ("low", "high", "kind", "dtype"),
    [
        (0, 255, "graded", np.uint8),
        (0, 256, "graded", np.int16),
        (-1, 127, "graded", np.int8),
        (-129, 0, "graded", np.int16),
        (0, 1, "current", np.int32),
        (0, (1 << 31) - 1, "current", np.int32),
        (0, 1 << 31, "current", np.int64),
    ],
)
def test_values_are_kept_in_the_narrowest_integers(low: int, high: int, kind: str, dtype: Any) -> None:
    assert storage(of((3, 4), low, high, kind)) is dtype


@OFTEN
@given(st.lists(st.tuples(st.integers(1, 9000), st.integers(0, 500), st.booleans()), min_size=1, max_size=30))
def test_arrays_that_live_share_no_memory(wanted: list[tuple[int, int, bool]]) -> None:
    """Also where others have gone; what is before an array is 0, whoever was there."""
    memory, living = DirtyMemory(), []
    for number, (size, slack, stays) in enumerate(wanted):
        made = memory.array((size,), np.uint8, slack)
        assert made.ctypes.data % 64 == 0
        owner = made.base
        begin = made.ctypes.data - owner.ctypes.data
        assert slack <= begin
        assert not owner[begin - slack : begin].any()
        assert begin + size + slack <= len(owner)
        made[:] = number
        living += [(number, made[size // 2 :])] if stays else []  # a part of it keeps it, too
        del made, owner
    assert all((part == number % 256).all() for number, part in living)


def test_memory_is_used_again_once_nobody_has_it() -> None:
    memory = Memory()
    first = memory.array((3000,), np.int32)
    view, address = first[3:], first.ctypes.data
    assert memory.array((3000,), np.int32).ctypes.data != address
    del first
    assert memory.array((3000,), np.int32).ctypes.data != address
    del view
    assert memory.array((2990,), np.int32).ctypes.data == address
    assert not memory.array((3000,), np.int32, clear=True).any()


@given(st.integers(1, 300), st.integers(1, 70), st.integers(1, 9))
def test_samples_are_cut_into_whole_nearly_equal_parts(samples: int, most: int, threads: int) -> None:
    parts = cut(samples, most, threads)
    sizes = [part.stop - part.start for part in parts]
    assert parts[0].start == 0
    assert parts[-1].stop == samples
    assert all(a.stop == b.start for a, b in pairwise(parts))
    assert 1 <= min(sizes) <= max(sizes) <= min(most, min(sizes) + 1)
    assert len(parts) >= min(threads, samples)


def test_threads_that_meet_an_input_at_once_use_the_weights_that_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels are given addresses: what one thread is at work with must not be replaced by another's."""
    plan, both, lay_out = plan_synapse(synapse(ones(6, 4, 3, 3)), BITS, 1), Barrier(2), SynapsePlan._weights
    assert plan is not None

    def at_once(*given: Any) -> Any:
        both.wait(10)
        return lay_out(*given)

    monkeypatch.setattr(SynapsePlan, "_weights", at_once)
    with ThreadPoolExecutor(2) as pool:
        found = [future.result() for future in [pool.submit(plan.weights, 4, 64, 1) for _ in range(2)]]
    weights, rows, tight = plan.made[4, 64, 1]
    assert found == [weights, weights]
    assert (weights.rows, weights.tight) == (rows.ctypes.data, tight.ctypes.data)
