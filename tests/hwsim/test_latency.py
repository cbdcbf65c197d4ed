"""The latency model by hand: the slowest core, the longest way, the barrier, and what nobody published."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from count_rows import count_row, count_table

from pumice.errors import InputError
from pumice.hwsim.counters import CountTable
from pumice.hwsim.energy import TERMS, energy_per_sample, load_profile, profile_names
from pumice.hwsim.flows import Flows, flows_of
from pumice.hwsim.latency import Mesh, latency
from pumice.hwsim.times import Times, load_times

SANAFE = load_times("loihi1_sanafe")


def mesh(flows: int = 0, tiles: int = 1, chips: int = 1, **hops: list[int]) -> Mesh:
    ways = [np.array(hops.get(way, [0] * flows)) for way in ("ew", "ns", "chip")]
    return Mesh({"a": 0, "b": 1}, *ways, tiles, chips)


def two_layers() -> CountTable:
    """Layer a on core 0 sends 6 and 2 messages to b on core 1, and 4 in the first step to itself; sums over two samples."""
    flows = Flows(("a", "a"), np.array([0, 0]), np.array([1, 0]), np.array([[6.0, 2.0], [4.0, 0.0]]))
    a = count_row(
        "a", 0, "conv", synops=(100, 40), active=(10, 8), idle=(2, 4), gated=(0, 6), spikes=(6, 2), messages=(4, 0)
    )
    b = count_row("b", 1, "dense", synops=(60, 20), active=(5, 5), spikes=(1, 0), messages=(6, 2))
    return count_table(a, b, flows=flows)


def test_a_step_is_its_slowest_core_then_the_longest_way_then_the_barrier() -> None:
    model = latency(two_layers(), SANAFE, mesh(2, tiles=2, ew=[3, 0], ns=[2, 0]))
    a0 = 3.1 * 100 + 9.7 * 10 + 6.0 * 2 + 30 * 6 + 16 * 4 + 5.1 * 10
    a1 = 3.1 * 40 + 9.7 * 8 + 6.0 * 10 + 30 * 2 + 5.1 * 2
    b0, b1 = 3.8 * 60 + 9.7 * 5 + 30 + 16 * 6, 3.8 * 20 + 9.7 * 5 + 16 * 2
    assert model.core_ns == pytest.approx([max(a0, b1) / 2, max(a1, b0) / 2])  # b trails a by a step, and there are two
    assert b0 > a1
    assert model.hops_ns == pytest.approx([3 * 4.1 + 2 * 6.5] * 2)
    assert model.barrier_ns == 1000
    assert model.step_ns == pytest.approx([a0 / 2 + 25.3 + 1000, b0 / 2 + 25.3 + 1000])
    assert model.unknown == ()


def test_the_slowest_core_says_what_takes_its_time() -> None:
    slowest = latency(two_layers(), SANAFE, mesh(2)).slowest
    assert slowest is not None
    assert (slowest.core, slowest.step) == (0, 0)
    parts = {"synapses": 155.0, "neurons": (97 + 12 + 180) / 2, "messages": (64 + 51) / 2}
    assert slowest.parts == pytest.approx(parts)
    assert slowest.ns == pytest.approx(sum(parts.values()))
    assert slowest.layers == pytest.approx({"a": sum(parts.values())})


def test_layers_that_share_a_core_take_turns_and_are_told_apart() -> None:
    table = two_layers()
    a, b = table.rows
    shared = replace(
        table, rows=(a, replace(b, core=0)), flows=flows_of(("a",), np.array([0]), np.array([0]), np.ones((1, 2)))
    )
    apart, together = latency(shared, SANAFE, mesh(1)), latency(shared, SANAFE, mesh(1)).slowest
    assert together is not None
    assert set(together.layers) == {"a", "b"}
    assert together.ns == pytest.approx(sum(together.layers.values()))
    assert apart.core_ns is not None
    assert together.ns == pytest.approx(apart.core_ns.max())


def test_a_way_that_no_message_took_in_a_step_takes_no_time() -> None:
    flows = Flows(("a", "a"), np.array([0, 0]), np.array([1, 2]), np.array([[1.0, 1.0], [0.0, 3.0]]))
    table = count_table(count_row("a", active=1), flows=flows)
    assert latency(table, SANAFE, mesh(2, ns=[1, 4])).hops_ns == pytest.approx([6.5, 26.0])


def test_neurons_of_a_sleeping_core_take_neither_time_nor_energy() -> None:
    table = count_table(count_row("a", asleep=(1000, 1000)))
    for name in ("loihi1_davies2018", "loihi1_sanafe"):
        model = latency(table, load_times(name), mesh())
        assert model.core_ns is not None
        assert not model.core_ns.any()
        assert energy_per_sample(table, load_profile(name)).nj == 0


def test_a_profile_without_times_gives_none() -> None:
    model = latency(two_layers(), load_times("horowitz45"), mesh(2, ew=[1, 0]))
    assert (model.step_ns, model.core_ns, model.hops_ns, model.barrier_ns, model.slowest) == (None,) * 5
    assert {"synop_conv", "neuron_active", "message", "message_in", "hop_ew", "barrier"} <= set(model.unknown)


def test_the_way_between_chips_is_unpublished_but_cores_are_not() -> None:
    model = latency(two_layers(), SANAFE, mesh(2, chips=2, chip=[1, 0]))
    assert model.step_ns is None
    assert model.unknown == ("barrier", "hop_chip")
    assert model.slowest is not None
    quiet = replace(two_layers(), flows=replace(two_layers().flows, messages=np.array([[0.0, 0.0], [1.0, 0.0]])))
    assert "hop_chip" not in latency(quiet, SANAFE, mesh(2, chips=2, chip=[1, 0])).unknown


@pytest.mark.parametrize(
    ("name", "tiles", "ns"),
    [("loihi1_davies2018", 1, 113), ("loihi1_davies2018", 32, 465), ("loihi1_davies2018", 12, 113 + 352 * 11 / 31)]
    + [
        ("loihi1_sanafe", tiles, ns)
        for tiles, ns in ((1, 600), (2, 1000), (3, 1000), (4, 1400), (28, 1400), (32, 1800))
    ],
)
def test_the_barrier_depends_on_the_tiles_in_use(name: str, tiles: int, ns: float) -> None:
    times = load_times(name)
    assert times.barrier_ns(tiles, 1) == pytest.approx(ns)
    assert times.barrier_ns(33, 1) is None
    assert times.barrier_ns(tiles, 2) is None


@pytest.mark.parametrize("name", profile_names())
def test_times_are_there_for_every_term_or_for_none(name: str) -> None:
    times: Times = load_times(name)
    missing = {term for term, ns in times.ns.items() if ns is None}
    assert missing in ({"hop_chip"}, {*TERMS, "message_in"})


def test_an_unknown_profile_names_the_known_ones() -> None:
    with pytest.raises(InputError, match="unknown energy profile 'loihi9'"):
        load_times("loihi9")


def test_flows_of_one_layer_and_pair_are_added_up() -> None:
    flows = flows_of(("b", "a", "b"), np.array([1, 0, 1]), np.array([2, 2, 2]), np.array([[1.0, 2], [3, 4], [5, 6]]))
    found = zip(flows.layers, flows.source, flows.target, flows.messages.tolist(), strict=True)
    got = {(name, int(source), int(target)): messages for name, source, target, messages in found}
    assert got == {("a", 0, 2): [3, 4], ("b", 1, 2): [6, 8]}
    assert flows.rolled([0, 3]).tolist() == [[3, 4], [8, 6]]
