"""A layer of synapses with its LIF neurons in one kernel: dense, in lists, squeezed, at every edge of its maps."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from fused import Layer, layer
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from one_node import batch_of, by_walk, of, run_nodes

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.runtime.fast import synapses

SEEDS = st.integers(0, 2**32 - 1)
OFTEN = settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
RANGES = st.sampled_from(
    [(0, 1), (0, 4), (0, 127), (0, 128), (0, 129), (0, 255), (-128, 127), (-1, 1), (-1, 255), (0, 300)]
)
KERNELS = st.sampled_from([(1, 1), (3, 3), (5, 5), (1, 3), (5, 1), (3, 7), (2, 2), (4, 3)])
WEIGHTS = st.sampled_from([(-127, 127, 1), (-128, 127, 2), (-128, 127, 1), (-255, 255, 1), (-255, 255, 4)])


def weights(rng: np.random.Generator, shape: tuple[int, ...], kind: tuple[int, int, int]) -> NDArray[np.int64]:
    """From low to high, times a factor; all there, a few, or none."""
    low, high, factor = kind
    ends = rng.choice([low, high, 0], shape)
    values = np.where(rng.random(shape) < rng.choice([0.0, 1.0]), ends, rng.integers(low, high + 1, shape)) * factor
    return np.asarray(np.where(rng.random(shape) < rng.choice([0.0, 0.1, 1.0], p=[0.1, 0.45, 0.45]), values, 0))


def check(made: Layer, seen: Counter[str] | None = None) -> None:
    batch, alone = made.batch(), replace(made.batch(), counted=False)
    (wanted, busy), (found, active) = made.by_walk(), made.by_fast(batch)
    assert np.array_equal(found, wanted)
    assert np.array_equal(made.by_fast(alone)[0], wanted)  # other kernels, and maybe routed tokens only
    assert busy is not None
    assert active is not None
    assert np.array_equal(active.reshape(busy.shape), busy)
    plan = batch.plan.synapses.get("s")
    kind = "none" if plan is None else "dense" if plan.dense else "lists"
    if seen is not None:
        seen["packed"] += alone.values["n"].packing is not None
        seen["squeezed"] += alone.values["n"].packing is not None and plan is not None
        seen.update([kind, "halved" if plan and plan.shift else "", "flipped" if plan and plan.flip else ""])
        seen["several lists"] += plan is not None and not plan.dense and len(plan.lists) > 1


def test_maps() -> None:
    """First and last pixels of first and last images, odd extents, kernels that are even, wide or larger than the map."""
    seen: Counter[str] = Counter()

    @settings(OFTEN, derandomize=True, phases=[Phase.generate])
    @given(SEEDS, KERNELS, RANGES, WEIGHTS, st.tuples(st.integers(2, 9), st.integers(3, 9)), st.integers(1, 5))
    def often(seed: int, kernel: Any, span: Any, kind: Any, extent: tuple[int, int], samples: int) -> None:
        rng = np.random.default_rng(seed)
        channels, outputs, steps = (int(n) for n in rng.integers((1, 1, 1), (8, 9, 4)))
        weight = weights(rng, (outputs, channels, *kernel), kind)
        source = of((channels, *extent), *span)
        check(layer(rng, source, weight, samples, steps, changes=int(rng.integers(0, 2))), seen)

    often()
    assert min(seen[kind] for kind in ("none", "dense", "lists", "halved", "flipped")) > 0, seen


def test_tokens() -> None:
    """Every token routed, some, or none; token counts that fill no tile, and several."""
    seen: Counter[str] = Counter()

    @settings(OFTEN, derandomize=True, phases=[Phase.generate])
    @given(
        SEEDS,
        RANGES,
        WEIGHTS,
        st.sampled_from([1, 2, 9, 63, 64, 65, 196]),
        st.integers(1, 5),
        st.sampled_from(["", "hold", "decay"]),
        st.sampled_from([0.0, 0.05, 0.3, 0.5, 0.74, 0.76, 1.0]),
    )
    def often(seed: int, span: Any, kind: Any, tokens: int, samples: int, gate: str, share: float) -> None:
        rng = np.random.default_rng(seed)
        channels, outputs, steps = (int(n) for n in rng.integers((1, 1, 1), (40, 14, 4)))
        weight = weights(rng, (outputs, channels, 1, 1), kind)
        changes = int(rng.integers(0, 2))
        check(layer(rng, of((channels, tokens), *span), weight, samples, steps, gate, share, changes), seen)

    often()
    assert min(seen[kind] for kind in ("none", "dense", "lists", "halved", "flipped")) > 0, seen


@pytest.mark.parametrize("gate", ["", "hold"])
def test_more_synapses_than_one_list_holds(gate: str) -> None:
    rng, seen = np.random.default_rng(0), Counter[str]()
    for seed in range(6):
        weight = np.where(rng.random((8, 600, 1, 1)) < 0.15, rng.choice([-128, 127], (8, 600, 1, 1)), 0)
        weight[seed] = np.abs(weight[seed]).clip(0, 127)  # an output whose sums are as large as can be
        check(layer(rng, of((600, 17), 0, 128), weight, 2, 2, gate), seen)
    assert seen["several lists"] == 6


@pytest.mark.parametrize("bytes_laid", [1, 60_000, 200_000])
@pytest.mark.parametrize("gate", ["", "hold", "decay"])
def test_more_timesteps_than_are_laid_out_at_a_time(
    bytes_laid: int, gate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Membranes go on from one part of the timesteps to the next."""
    monkeypatch.setattr(synapses, "LAID", bytes_laid)
    rng, seen = np.random.default_rng(bytes_laid), Counter[str]()
    for changes, density in product((0, 1), (1.0, 0.1)):
        weight = np.where(rng.random((13, 481, 1, 1)) < density, rng.integers(-127, 128, (13, 481, 1, 1)), 0)
        check(layer(rng, of((481, 70), 0, 1), weight, 3, 5, gate, 0.5, changes), seen)
    assert seen["dense"] == seen["lists"] == 2
    check(layer(rng, of((54, 5, 4), -1, 1), rng.integers(-127, 128, (7, 54, 3, 3)), 2, 5))


@pytest.mark.parametrize("span", [(-128, 127), (0, 255)])
def test_membranes_leave_nothing_between_the_maps_that_a_convolution_reads(span: tuple[int, int]) -> None:
    """A bias is added to every neuron, and to no lane that holds none."""
    rng, shape = np.random.default_rng(0), (4, 5, 6)
    first, second = (layer(rng, of(shape, *s), rng.integers(-9, 10, (4, 4, 3, 3)), 3, 2) for s in ((0, 1), span))
    current, conv = first.graph.nodes["s"], replace(second.graph.nodes["s"], name="r", inputs=("y",))
    bias = np.full(4, 100)
    stream = i.Membrane("y", ("s",), of(shape, *span), "y", 0, bias, 1.0)
    nodes = {node.name: node for node in (first.graph.nodes["x"], current, stream, conv)}
    graph = replace(first.graph, nodes=nodes, output="r")
    batch, wanted = batch_of(graph, first.inputs), first.inputs["x"]
    for name in ("s", "y", "r"):
        run_nodes(batch, name)
        wanted, _ = by_walk(graph, nodes[name], [wanted])
        assert np.array_equal(batch.dense(name), wanted)


def test_synapses_of_a_layer_without_synapses_are_silent() -> None:
    source: TensorType = of((5, 70), 0, 1)
    check(layer(np.random.default_rng(0), source, np.zeros((7, 5, 1, 1), np.int64), 3, 3, "decay"))
    check(layer(np.random.default_rng(1), of((5, 4, 4), -3, 3), np.zeros((7, 5, 3, 3), np.int64), 3, 3))
