"""Layers of synapses and LIF neurons bit by bit, at every edge of their maps, and when that is done."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fused import Layer, layer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from one_node import of, run_nodes

from pumice.compiler import int_nodes as i
from pumice.hwsim import arith
from pumice.runtime.fast.batch import Batch
from pumice.runtime.fast.bit_plan import BitLayer
from pumice.runtime.fast.bit_synapses import bit_neurons

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=120, suppress_health_check=list(HealthCheck))
HIGHS = st.sampled_from([1, 2, 3, 4, 9, 15])
KERNELS = st.sampled_from([(1, 1), (3, 3), (1, 3), (5, 1)])
Weights = NDArray[np.int64]


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BitLayer, "quicker", lambda *_: True)


def weights(rng: np.random.Generator, shape: tuple[int, ...]) -> Weights:
    values = np.where(rng.random(shape) < 0.5, rng.choice([-128, 127, -1], shape), rng.integers(-128, 128, shape))
    return np.asarray(np.where(rng.random(shape) < rng.choice([0.0, 0.1, 0.24], p=[0.1, 0.45, 0.45]), values, 0))


def halving(made: Layer, **changes: Any) -> Layer:
    """With neurons that the kernel has."""
    lif = replace(made.graph.nodes["n"], dv=arith.DECAY_UNITY // 2, **changes)
    return replace(made, graph=replace(made.graph, nodes={**made.graph.nodes, "n": lif}))


def uncounted(made: Layer) -> Batch:
    return replace(made.batch(), counted=False)


def check(made: Layer) -> None:
    batch, lif = uncounted(made), made.graph.nodes["n"]
    assert isinstance(lif, i.IntLif)
    found = bit_neurons(batch, lif)
    assert found is not None
    wanted, _ = made.by_walk()
    assert np.array_equal(found.dense(batch.steps), wanted)


@pytest.mark.usefixtures("always")
@OFTEN
@given(SEEDS, KERNELS, HIGHS, st.tuples(st.integers(2, 9), st.integers(3, 9)), st.integers(1, 6), st.integers(1, 9))
def test_maps(seed: int, kernel: Any, high: int, extent: tuple[int, int], samples: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    channels, outputs = (int(n) for n in rng.integers((1, 1), (8, 9)))
    weight, source = weights(rng, (outputs, channels, *kernel)), of((channels, *extent), 0, high)
    check(halving(layer(rng, source, weight, samples, steps, changes=int(rng.integers(0, 2)))))


@pytest.mark.usefixtures("always")
@OFTEN
@given(SEEDS, HIGHS, st.sampled_from([1, 9, 64, 65, 196]), st.integers(1, 6), st.sampled_from([1, 2, 4, 5]))
def test_tokens(seed: int, high: int, tokens: int, samples: int, steps: int) -> None:
    rng = np.random.default_rng(seed)
    channels, outputs = (int(n) for n in rng.integers((1, 1), (80, 14)))
    made = layer(rng, of((channels, tokens), 0, high), weights(rng, (outputs, channels, 1, 1)), samples, steps)
    check(
        halving(
            made,
            bias_mant=rng.integers(-5000, 5001, outputs),
            bias_exp=0,
            vth=int(rng.choice([0, 1, 90, (1 << 17) - 1])),
        )
    )


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("bias", [(1 << 22) - (1 << 7), -(1 << 22) + (1 << 7)])
def test_membranes_that_nearly_saturate(bias: int) -> None:
    rng = np.random.default_rng(0)
    made = layer(rng, of((3, 70), 0, 1), np.zeros((5, 3, 1, 1), np.int64), 2, 30)
    check(halving(made, bias_mant=np.full(5, bias), bias_exp=0, vth=(1 << 17) - 1))


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize(
    ("span", "gate", "changes"),
    [
        ((0, 16), "", {}),
        ((-1, 1), "", {}),
        ((0, 1), "hold", {}),
        ((0, 1), "", {"dv": 2047}),
        ((0, 1), "", {"bias_mant": np.full(4, 1 << 22)}),
    ],
)
def test_what_the_kernel_has_not_is_left_to_others(span: tuple[int, int], gate: str, changes: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    made = layer(rng, of((6, 70), *span), weights(rng, (4, 6, 1, 1)), 2, 3, gate)
    lif = replace(made.graph.nodes["n"], **({"dv": arith.DECAY_UNITY // 2} | changes))
    made = replace(made, graph=replace(made.graph, nodes={**made.graph.nodes, "n": lif}))
    batch = uncounted(made)
    assert isinstance(lif, i.IntLif)
    assert bit_neurons(batch, lif) is None
    run_nodes(batch, "n")
    assert np.array_equal(batch.dense("n"), made.by_walk()[0])


def test_few_large_weights_on_whole_rows_of_spikes_are_bits() -> None:
    """Many weights, many bits of an input, or rows that are hardly filled are not; nor is what is counted."""

    def taken(share: float, high: int, samples: int, counted: bool = False) -> bool:
        rng = np.random.default_rng(0)
        weight = np.where(rng.random((96, 96, 1, 1)) < share, rng.choice([-90, 85, 109], (96, 96, 1, 1)), 0)
        made = halving(layer(rng, of((96, 64), 0, high), weight, samples, 4))
        batch, lif = replace(made.batch(), counted=counted), made.graph.nodes["n"]
        assert isinstance(lif, i.IntLif)
        return bit_neurons(batch, lif) is not None

    assert taken(0.2, 1, 4)
    assert not taken(0.2, 15, 4)
    assert not taken(0.2, 1, 1)
    assert not taken(1.0, 1, 4)
    assert not taken(0.2, 1, 4, counted=True)
