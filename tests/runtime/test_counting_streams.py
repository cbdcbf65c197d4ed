"""Counts of streams, levels and gates against counting by hand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from stream_networks import CHANNELS, TIMESTEPS, TOKENS, every_node, on_cores_of, samples, schedule

from pumice.compiler.program import Program
from pumice.compiler.walk import walk
from pumice.hwsim.counters import CountTable
from pumice.runtime.reference import Reference, input_frames, mask_schedule

SAMPLES = 6


@cache
def program() -> Program:
    return every_node()


@cache
def values() -> dict[str, np.ndarray]:
    graph = program().graph
    frames, masks = input_frames(graph, samples(SAMPLES)), mask_schedule(graph, schedule(SAMPLES), SAMPLES)
    return dict(walk(graph, frames, masks)[0])


def counts_of(of: Program) -> CountTable:
    counts = Reference().run(of, samples(SAMPLES), schedule(SAMPLES)).counts
    assert counts is not None
    return counts


@cache
def layers() -> dict[str, dict[str, float]]:
    """Every count of every layer, over its cores and all steps."""
    fields = ("events", "synops", "weighted", "macs", "dense", "eq25", "active", "idle", "gated", "spikes")
    found: dict[str, dict[str, float]] = {}
    for row in counts_of(program()).rows:
        sums = found.setdefault(row.layer, dict.fromkeys(fields, 0.0))
        for name in fields:
            sums[name] += float(getattr(row, name).sum())
    return found


def test_a_stream_costs_one_operation_an_event_beside_the_synapse() -> None:
    """`mid` reads y through a token-wise layer, and the stream `tokens` as it is."""
    y, tokens = values()["y"], values()["tokens"]
    weight = program().graph.nodes["proj"].weight  # type: ignore[attr-defined]
    per_channel = np.count_nonzero(weight, axis=(0, 2, 3))[:, None]
    count = layers()["mid"]
    assert count["synops"] == ((y != 0) * per_channel).sum() + (tokens != 0).sum()
    assert count["weighted"] == (y * per_channel).sum() + (tokens != 0).sum()  # a real value is one event
    assert count["events"] == (y != 0).sum() + (tokens != 0).sum()
    assert count["macs"] == 0


def test_a_real_payload_is_one_event_whatever_its_value() -> None:
    x = values()["factor"]
    weight = program().graph.nodes["factor_out"].weight  # type: ignore[attr-defined]
    assert x.min() < 0 < x.max()
    expected = ((x != 0) * np.count_nonzero(weight, axis=(0, 2, 3))[:, None]).sum()
    assert layers()["factored"]["weighted"] == layers()["factored"]["synops"] == expected


@pytest.mark.parametrize(("layer", "reads"), [("fired", "pool"), ("pooled", "mean"), ("mean", "late"), ("q", "gate")])
def test_ones_and_sums_cost_one_operation_an_event(layer: str, reads: str) -> None:
    count = layers()[layer]
    assert count["synops"] == count["events"] == np.count_nonzero(values()[reads])
    assert count["dense"] == count["eq25"] == 0


def test_a_gate_of_spikes_costs_its_events() -> None:
    gate, x = values()["gate_2"], values()["s"]
    assert layers()["passed_2"]["synops"] == gate.sum() * CHANNELS / 2 + x.sum()
    gate = values()["gate_1"]
    assert layers()["passed_1"]["synops"] == gate.sum() * TOKENS + x.sum()


def test_attention_that_makes_a_current_is_counted_with_its_neurons() -> None:
    k, v = values()["s"], values()["fired_tokens"]
    assert layers()["gate_1"]["synops"] == (k * v).sum()
    assert layers()["gate_1"]["dense"] == SAMPLES * TIMESTEPS * CHANNELS * TOKENS
    assert layers()["context"]["weighted"] == values()["context"].sum()


def test_dense_operations_are_those_of_the_grouped_layer() -> None:
    assert layers()["stream"]["dense"] == SAMPLES * TIMESTEPS * CHANNELS * 1 * 9 * 36
    assert layers()["late"]["dense"] == SAMPLES * TIMESTEPS * CHANNELS * (CHANNELS // 2) * TOKENS


def test_neurons_are_active_idle_or_gated() -> None:
    slices = [part for core in program().mapping.cores for part in core]
    for part, row in zip(slices, counts_of(program()).rows, strict=True):
        assert np.all(row.active + row.idle + row.gated + row.asleep == SAMPLES * part.neurons)
        assert np.all(row.idle >= 0)


def test_levels_that_are_not_routed_are_gated_and_membranes_only_when_nothing_passes() -> None:
    off = values()["static"] == 0
    assert layers()["q"]["gated"] == CHANNELS * off.sum()
    assert layers()["mid"]["gated"] == (off[:, :, None, :] & (values()["tokens"] == 0)).sum()
    biased = program().graph.nodes["mid"].bias_values != 0  # type: ignore[attr-defined]
    assert biased.all()
    assert layers()["mid"]["active"] == (~off[:, :, None, :] | (values()["tokens"] != 0)).sum()


def test_spikes_are_outputs_that_are_not_zero() -> None:
    for name in ("q", "stream", "pool", "mean", "passed_1", "y"):
        assert layers()[name]["spikes"] == np.count_nonzero(values()[name])


@pytest.mark.parametrize("neurons", [5, 17])
def test_cutting_layers_changes_where_work_happens_but_not_how_much(neurons: int) -> None:
    a, b = counts_of(program()), counts_of(on_cores_of(program(), neurons))
    assert len(b.rows) > len(a.rows)
    assert b.total("gated") + b.total("asleep") == a.total("gated") + a.total("asleep")
    for field in ("synops", "weighted", "macs", "dense", "eq25", "active", "idle", "spikes"):
        assert b.total(field) == pytest.approx(a.total(field), rel=1e-12)
    assert b.total("messages") > a.total("messages")
