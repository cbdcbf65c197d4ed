"""Tallies of batches add up to the same counts however samples are cut; neurons that are off, against each sample by itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped import on_cores
from mapping_networks import NETS, network
from numpy.typing import NDArray
from stream_networks import schedule

from pumice.compiler import int_nodes as i
from pumice.compiler import walk as walking
from pumice.compiler.groups import groups_of, mask_input
from pumice.compiler.ir import Node
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.program import Program
from pumice.compiler.walk import walk
from pumice.hwsim.counters import COUNT_FIELDS, CountTable
from pumice.hwsim.spec import load_chip
from pumice.runtime.counting import Counter
from pumice.runtime.reference import Reference, input_frames, mask_schedule
from pumice.runtime.tally import SUMS, Tally, added, tally_of, wanted

SAMPLES = 6
Ints = NDArray[np.int64]
Walked = tuple[dict[str, Ints], dict[str, Ints]]


@cache
def program(name: str, neurons: int) -> Program:
    """A network on many cores, so small that some of them have no routed token."""
    return on_cores(network(name).graph, replace(load_chip("loihi2"), neurons_per_core=neurons, max_chips=400))


@cache
def given_to(name: str) -> tuple[NDArray[np.float64], NDArray[np.bool_] | None]:
    """Random samples, and their masks where they need some."""
    graph = network(name).graph
    entry = next(node for node in graph.nodes.values() if isinstance(node, i.GradedInput))
    steps = (graph.timesteps,) if graph.encoding == "frames" else ()
    x = np.random.default_rng(3).integers(0, 2, (SAMPLES, *steps, *entry.out.shape)).astype(np.float64)
    return x, schedule(SAMPLES) if name == "every operation" else None


@cache
def walked(name: str, start: int, stop: int) -> Walked:
    graph, (x, masks) = network(name).graph, given_to(name)
    few = None if masks is None else masks[start:stop]
    return walk(graph, input_frames(graph, x[start:stop]), mask_schedule(graph, few, stop - start))


def tally(name: str, start: int, stop: int) -> Tally:
    graph = network(name).graph
    return tally_of(graph, wanted(graph), *walked(name, start, stop))


def counted(of: Program, *tallies: Tally) -> CountTable:
    counter = Counter(of, network_of(of.graph, of.chip))
    for one in tallies:
        counter.add(one)
    return counter.table()


def assert_equal(a: CountTable, b: CountTable) -> None:
    """Every number of both tables, to the last bit."""
    for row, other in zip(a.rows, b.rows, strict=True):
        assert (row.layer, row.core, row.synapse_kind) == (other.layer, other.core, other.synapse_kind)
        for field in COUNT_FIELDS:
            assert np.array_equal(getattr(row, field), getattr(other, field)), (row.layer, field)
    for field in ("samples", "timesteps", "mask_bits", "score_operations"):
        assert getattr(a, field) == getattr(b, field)
    assert a.flows.layers == b.flows.layers
    for field in ("source", "target", "messages"):
        assert np.array_equal(getattr(a.flows, field), getattr(b.flows, field))


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(sorted(NETS)), st.sampled_from([7, 60]), st.sets(st.integers(1, SAMPLES - 1)))
def test_however_samples_are_cut_into_batches_the_counts_are_equal(name: str, neurons: int, cuts: set[int]) -> None:
    ends = [0, *sorted(cuts), SAMPLES]
    batches = [tally(name, a, b) for a, b in pairwise(ends)]
    whole = tally(name, 0, SAMPLES)
    on = program(name, neurons)
    assert_equal(counted(on, *batches), counted(on, whole))
    total = None
    for batch in batches:
        total = added(total, batch)
    for name_of in SUMS:
        one, other = getattr(total, name_of), getattr(whole, name_of)
        assert list(one) == list(other)
        assert all(np.array_equal(one[key], other[key]) for key in other), name_of


def test_what_one_batch_shares_another_may_not() -> None:
    """A total is written on, and never on a tally; entries of one array are added up apart as soon as they differ."""
    same, other = np.ones((1, 2, 3), np.int64), np.full((1, 2, 3), 5)
    first = Tally(1, {"a": same, "b": same}, {"a": same}, {}, {}, {}, {}, {})
    second = replace(first, events={"a": same, "b": other})
    total = added(added(added(None, first), second), second)
    assert total.samples == 3
    assert np.all(total.events["a"] == 3)
    assert np.all(total.payloads["a"] == 3)
    assert np.all(total.events["b"] == 11)
    assert np.all(same == 1)
    assert np.all(other == 5)


@pytest.mark.parametrize("name", ["live masks", "every operation"])
def test_a_run_in_batches_is_the_run_of_all_samples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    on, (x, masks) = program(name, 60), given_to(name)
    whole = Reference().run(on, x, masks).counts
    monkeypatch.setattr(walking, "BATCH", 4)
    parts = Reference().run(on, x, masks).counts
    assert whole is not None
    assert parts is not None
    assert parts.samples == SAMPLES
    assert_equal(whole, parts)


def resting(node: Node, values: dict[str, Ints]) -> NDArray[np.bool_]:
    """Which neurons of a layer do nothing because their token is not routed, [T, B, C, P]."""
    value = values[node.name]
    value = value.reshape(*value.shape[:3], -1)
    mask = mask_input(node)
    return (values[mask] == 0)[:, :, None] & (value == 0) if mask else np.zeros_like(value, np.bool_)


def off_by_hand(name: str, on: Program) -> Iterator[tuple[int, int, int]]:
    """(gated, asleep, active or idle) of each slice, each step and sample of each core looked at by itself."""
    nodes = {group.name: group.neurons for group in groups_of(on.graph)}
    values, _ = walked(name, 0, SAMPLES)
    for core in on.mapping.cores:
        held = [
            resting(nodes[part.group], values)[:, :, on.mapping.channels_of(part)][..., on.mapping.positions_of(part)]
            for part in core
        ]
        decays = any(getattr(nodes[part.group], "gate_state", "") == "decay" for part in core)
        for rests in held:
            sums = np.zeros(2, np.int64)
            for t, b in np.ndindex(rests.shape[:2]):
                sums[int(not decays and all(every[t, b].all() for every in held))] += rests[t, b].sum()
            yield int(sums[0]), int(sums[1]), rests.size - int(sums.sum())


@pytest.mark.parametrize("name", ["live masks", "static masks", "every operation"])
def test_cores_sleep_in_the_steps_of_a_sample_in_which_nothing_of_theirs_is_routed(name: str) -> None:
    on = program(name, 7)
    table = counted(on, *(tally(name, k, k + 1) for k in range(SAMPLES)))
    assert table.total("asleep") > 0
    assert table.total("gated") > 0
    for row, expected in zip(table.rows, off_by_hand(name, on), strict=True):
        working = row.active.sum() + row.idle.sum()
        assert (row.gated.sum(), row.asleep.sum(), working) == expected
