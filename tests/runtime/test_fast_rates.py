"""Spike rates measured by the kernels: those of the plain walk, to the last bit."""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images
from stream_networks import every_node, samples

from pumice.compiler import spike_rates
from pumice.compiler.ir import Graph
from pumice.compiler.program import Program
from pumice.runtime.fast import rates

pytest.importorskip("numba")
CONFIG = TinySpikformer(blocks=2)


def same(found: spike_rates.Rates, wanted: spike_rates.Rates) -> bool:
    """Whether names, types, shapes and values are equal."""
    parts = [(found[name], wanted[name]) for name in wanted]
    return set(found) == set(wanted) and all(a.dtype == b.dtype and np.array_equal(a, b) for a, b in parts)


@pytest.mark.parametrize("batch", [2, 64])
def test_rates_of_every_node(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pumice.runtime.fast.backend.BATCH", batch)
    graph = every_node().graph
    assert same(rates.rates_by_kernels(graph, samples(5)), spike_rates.measure_rates(graph, samples(5)))


@pytest.mark.parametrize("masks", ["live", "given", "static", "off"])
def test_rates_of_a_pruned_network(masks: str, compiled: Callable[..., Program]) -> None:
    graph, x = compiled(CONFIG, masks=masks).graph, images(CONFIG, 6)
    assert same(rates.rates_by_kernels(graph, x), spike_rates.measure_rates(graph, x))


@pytest.mark.parametrize(("large", "kernels"), [(0, True), (1 << 62, False)])
def test_only_large_networks_load_the_kernels(large: int, kernels: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Graph] = []
    by_kernels = rates.rates_by_kernels
    monkeypatch.setattr(rates, "rates_by_kernels", lambda graph, x: (seen.append(graph), by_kernels(graph, x))[1])
    monkeypatch.setattr(rates, "LARGE", large)
    graph = every_node().graph
    assert same(rates.measure_rates(graph, samples(2)), spike_rates.measure_rates(graph, samples(2)))
    assert bool(seen) == kernels


def test_without_numba_the_plain_walk_measures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rates, "LARGE", 0)
    monkeypatch.setitem(sys.modules, "pumice.runtime.fast.engine", None)
    graph = every_node().graph
    assert same(rates.measure_rates(graph, samples(2)), spike_rates.measure_rates(graph, samples(2)))
