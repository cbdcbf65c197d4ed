"""Each operation of the torch backend beside its meaning in `compiler.walk`, on random shapes and the most extreme values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch_runs import DEVICES

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType
from pumice.compiler.walk import stateless
from pumice.compiler.walk_neurons import active_neurons, begin, run_stateful
from pumice.hwsim.arith import ACTIVATION_LIMIT, STATE_LIMIT
from pumice.hwsim.programmable import NeuronParams
from pumice.runtime.torch_backend import neurons
from pumice.runtime.torch_backend.devices import exact_products
from pumice.runtime.torch_backend.network import load
from pumice.runtime.torch_backend.values import new_values, to_device

STEPS, SAMPLES = 3, 2
LIMIT = ACTIVATION_LIMIT - 1
SEEDS = st.integers(0, 2**32 - 1)
RESETS: tuple[Any, ...] = ("hard", "soft", "next", "both")
OFTEN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> torch.device:
    return torch.device(str(request.param))


def of(shape: tuple[int, ...], low: int, high: int, kind: Any = "graded") -> TensorType:
    return TensorType(shape, kind, low, high)


def graph_of(node: Node, *types: TensorType) -> Graph:
    """One node, and what it reads."""
    sources = [i.GradedInput(name, (), out, name, 1.0) for name, out in zip(node.inputs, types, strict=True)]
    return Graph({n.name: n for n in (*sources, node)}, node.name, "balanced", STEPS, "frames")


def drawn(out: TensorType, rng: np.random.Generator) -> NDArray[np.int64]:
    """Values [T, B, …] of a type, many at its ends."""
    shape = (STEPS, SAMPLES, *out.shape)
    values = rng.integers(out.low, out.high + 1, shape)
    ends = rng.choice([out.low, out.high, np.clip(0, out.low, out.high)], shape)
    return np.where(rng.random(shape) < rng.choice([0.0, 0.5, 1.0]), ends, values)


def check(node: Node, types: list[TensorType], rng: np.random.Generator, device: torch.device) -> None:
    """A node without a state."""
    graph, inputs = graph_of(node, *types), [drawn(out, rng) for out in types]
    loaded = load(graph, device)
    given = [to_device(x, loaded.types[name], device) for name, x in zip(node.inputs, inputs, strict=True)]
    wanted = stateless(node, inputs, graph, SAMPLES, None)
    with exact_products(device):
        found = loaded.operations[node.name](given).to(loaded.types[node.name])
        assert np.array_equal(found.cpu().numpy(), wanted)
        if node.name in loaded.active:
            assert isinstance(node, i.Levels | i.Membrane)
            active = loaded.active[node.name](given, found).cpu().numpy()
            assert np.array_equal(active, active_neurons(node, inputs, wanted))


@OFTEN
@given(
    SEEDS,
    st.sampled_from([(1, 1), (2, 3), (3, 3), (7, 7)]),
    st.sampled_from([(1, 1, 1), (3, 1, 4), (4, 2, 1), (8, 8, 1), (8, 4, 2), (6, 3, 2)]),
    st.sampled_from([1, 255, (1 << 15) - 1, (1 << 24) - 1]),
)
def test_synapses(
    device: torch.device, seed: int, kernel: tuple[int, int], width: tuple[int, int, int], most: int
) -> None:
    """Inputs, groups and outputs a group; sums on both sides of what float32 holds."""
    rng, (inputs, groups, outputs) = np.random.default_rng(seed), width
    weight = rng.integers(-1020, 1021, (groups * outputs, inputs // groups, *kernel))
    weight = np.where(rng.random(weight.shape) < rng.choice([0.0, 0.9]), 0, weight)
    low = int(rng.choice([-most, 0]))
    padding = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    extent = [int(rng.integers(k, k + 5)) for k in kernel]
    shape = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(extent, padding, kernel, stride, strict=True)]
    out = of((len(weight), *shape), -LIMIT, LIMIT, "current")
    node = i.Synapse("n", ("x",), out, "n", weight, stride, padding, 1.0, groups)
    check(node, [of((inputs, *extent), low, most)], rng, device)


@OFTEN
@given(SEEDS, st.integers(1, 9), st.sampled_from([1, 196]), st.sampled_from([1, 4, 1 << 22]))
def test_synapses_of_tokens(device: torch.device, seed: int, channels: int, tokens: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.choice([-256, 254, 0, 2], (5, channels, 1, 1))
    node = i.Synapse("n", ("x",), of((5, tokens), -LIMIT, LIMIT, "current"), "n", weight, (1, 1), (0, 0), 1.0)
    check(node, [of((channels, tokens), 0, most)], rng, device)


def test_a_sample_that_stands_still_is_multiplied_once_and_right(device: torch.device) -> None:
    rng = np.random.default_rng(0)
    node = i.Synapse(
        "n",
        ("x",),
        of((4, 6, 6), -LIMIT, LIMIT, "current"),
        "n",
        rng.integers(-9, 9, (4, 3, 3, 3)),
        (1, 1),
        (1, 1),
        1.0,
    )
    graph = graph_of(node, of((3, 6, 6), -128, 127))
    x = np.broadcast_to(rng.integers(-128, 128, (SAMPLES, 3, 6, 6)), (STEPS, SAMPLES, 3, 6, 6))
    with exact_products(device):
        given_x = to_device(x, torch.int8, device)
        found = load(graph, device).operations["n"]([given_x])
    assert given_x.stride(0) == found.stride(0) == 0
    assert np.array_equal(found.cpu().numpy(), stateless(node, [x], graph, SAMPLES, None))


@OFTEN
@given(
    SEEDS, st.sampled_from([(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 1), (1, 1, 0)]), st.sampled_from([1, 127, 1 << 20])
)
def test_pools(device: torch.device, seed: int, window: tuple[int, int, int], most: int) -> None:
    rng, (kernel, stride, padding) = np.random.default_rng(seed), window
    extent = rng.integers(kernel, kernel + 6, 2)
    shape = (3, *((int(n) + 2 * padding - kernel) // stride + 1 for n in extent))
    source = of((3, *map(int, extent)), -most if most > 1 else 0, most)
    check(i.MaxPool("n", ("x",), replace(source, shape=shape), "n", *window), [source], rng, device)
    spikes = replace(source, dtype="spike", low=0, high=1)
    check(i.OrPool("n", ("x",), replace(spikes, shape=shape), "n", *window), [spikes], rng, device)


OPERANDS: dict[Any, Any] = {  # shapes of both operands and of the product, for heads of d and w channels, n tokens
    "scores": lambda h, d, w, n: ((h * d, n), (h * d, n), (h * n, n)),
    "scores-values": lambda h, d, w, n: ((h * n, n), (h * w, n), (h * w, n)),
    "keys-values": lambda h, d, w, n: ((h * d, n), (h * w, n), (h * d, w)),
    "queries-context": lambda h, d, w, n: ((h * d, n), (h * d, w), (h * w, n)),
}


@OFTEN
@given(
    SEEDS,
    st.sampled_from(sorted(OPERANDS)),
    st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(1, 5), st.integers(1, 20)),
    st.sampled_from([(1, 1), (4, 1), (255, 255), (1 << 13, 255), (1 << 20, 4)]),
    st.integers(0, 6),
    st.booleans(),
)
def test_products_of_attention(
    device: torch.device,
    seed: int,
    pattern: Any,
    sizes: tuple[int, int, int, int],
    most: tuple[int, int],
    shift: int,
    saturates: bool,
) -> None:
    a, b, shape = OPERANDS[pattern](*sizes)
    types = [of(a, 0, most[0]), of(b, 0, most[1])]
    node = i.SpikeMatmul("n", ("a", "b"), of(shape, 0, 1 << 60), "n", pattern, sizes[0], shift)
    worst = i.largest_sum(node, *types) << shift
    node = replace(node, out=replace(node.out, high=max(1, worst // 3) if saturates else worst))
    check(node, types, np.random.default_rng(seed), device)


@OFTEN
@given(SEEDS, st.integers(0, 6), st.sampled_from([1, 3, 64]), st.sampled_from([1, 255, 1 << 22]))
def test_sums_gates_and_ands(device: torch.device, seed: int, shift: int, tokens: int, most: int) -> None:
    rng, source = np.random.default_rng(seed), of((6, tokens), -most, most)
    total = of((6, 1), -most * tokens, most * tokens)
    check(i.TokenSum("n", ("x",), total, "n", shift, 1.0), [source], rng, device)
    double = of((6, tokens), -2 * most, 2 * most)
    check(i.Sum("n", ("x", "y"), double, "n"), [source, replace(source, low=0)], rng, device)
    currents = replace(source, dtype="current")
    check(i.Currents("n", ("x", "y"), replace(double, dtype="current"), "n"), [currents, currents], rng, device)
    spikes, gate = (
        of((6, tokens), 0, 1, "spike"),
        of((int(rng.choice([1, 2, 6])), int(rng.choice([1, tokens]))), 0, 1, "spike"),
    )
    check(i.SpikeAnd("n", ("g", "x"), spikes, "n"), [gate, spikes], rng, device)
    gated = i.TokenGate("n", ("x", "m"), source, "n", "", 0, (1, tokens), 0.5, None, "hold", ())
    check(gated, [source, of((tokens,), 0, 1, "mask")], rng, device)


@OFTEN
@given(SEEDS, st.booleans(), st.sampled_from([1, 4, 255]), st.sampled_from([0, 7]))
def test_levels(device: torch.device, seed: int, gated: bool, count: int, exponent: int) -> None:
    rng, current = np.random.default_rng(seed), of((4, 5), -LIMIT, LIMIT, "current")
    thresholds = np.sort(rng.choice([0, 64, 65, -64, LIMIT << 6, (LIMIT << 6) - 1, *rng.integers(-999, 999, 9)], count))
    bias = rng.choice([0, 1, -1, 4095, -4095], 4)
    inputs, types = (("x", "m"), [current, of((5,), 0, 1, "mask")]) if gated else (("x",), [current])
    node = i.Levels("n", inputs, of((4, 5), 0, count), "n", thresholds, bias, exponent, 1.0, 1, gated)
    check(node, types, rng, device)


@OFTEN
@given(SEEDS, st.booleans(), st.integers(-6, 6), st.integers(0, 2))
def test_membranes(device: torch.device, seed: int, gated: bool, shift: int, streams: int) -> None:
    rng, current = np.random.default_rng(seed), of((4, 5), -LIMIT, LIMIT, "current")
    names = [f"s{number}" for number in range(streams)]
    types = [current, *[of((4, 5), -3000, 2999)] * streams, *[of((5,), 0, 1, "mask")] * gated]
    inputs = ("x", *names, *["m"] * gated)
    bias = rng.choice([0, 1, -1, STATE_LIMIT - 1], 4)
    most = int(rng.choice([255, 3000, STATE_LIMIT - 1]))
    node = i.Membrane("n", inputs, of((4, 5), -most - 1, most), "n", shift, bias, 1.0, gated)
    check(node, types, rng, device)


@OFTEN
@given(SEEDS, st.integers(1, 9))
def test_read_outs_saturate(device: torch.device, seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    out, offset = of((3,), -(1 << 23), 1 << 23), rng.choice([0, STATE_LIMIT - 1, 1 - STATE_LIMIT], 3)
    check(i.Readout("n", ("x",), out, "n", offset, 1.0), [of((3, tokens), -LIMIT, LIMIT, "current")], rng, device)


def check_neurons(
    node: i.IntLif | i.Programmable, types: list[TensorType], rng: np.random.Generator, device: torch.device
) -> None:
    """What is sent, who was active, and what is remembered, over twice the timesteps from the state of the first ones."""
    loaded, state = load(graph_of(node, *types), device), None
    with exact_products(device):
        for _ in range(2):
            inputs = [drawn(out, rng) for out in types]
            given = [to_device(x, loaded.types[name], device) for name, x in zip(node.inputs, inputs, strict=True)]
            kept, cell = begin(node, inputs[0][0]) if state is None else state[0], loaded.cells[node.name]
            held = cell.begin(given[0][0]) if state is None else state[1]
            wanted, active, kept = run_stateful(node, inputs, kept)
            sent = new_values((STEPS, SAMPLES), node.out.shape, loaded.types[node.name], device)
            counted = torch.zeros((STEPS, *node.out.shape), dtype=torch.int64, device=device)
            held = neurons.run(cell, given, held, sent, counted)
            assert np.array_equal(sent.cpu().numpy(), wanted)
            assert np.array_equal(counted.cpu().numpy(), active)
            assert np.array_equal(held[1].cpu().numpy(), kept[1])
            state = kept, held


@OFTEN
@given(
    SEEDS,
    st.sampled_from([0, 1, 1365, 2048, 3072, 4095]),
    st.sampled_from([1, 64, 5000, (1 << 17) - 1]),
    st.sampled_from([300, LIMIT]),
    st.sampled_from(RESETS),
    st.booleans(),
    st.sampled_from(["", "hold", "decay"]),
)
def test_lif(
    device: torch.device, seed: int, dv: int, vth: int, most: int, reset: Any, inclusive: bool, gate: Any
) -> None:
    """Decays of both float types, membranes that saturate, ties."""
    rng = np.random.default_rng(seed)
    current = of((4, 5), -most, most, "current")
    types = [current, of((5,), 0, 1, "mask")] if gate else [current]
    bias, exponent = rng.choice([0, 1, -1, 4095, -4095], 4), int(rng.choice([0, 6, 11]))
    inputs = ("x", "m") if gate else ("x",)
    out = of((4, 5), 0, 1, "spike")
    check_neurons(
        i.IntLif("n", inputs, out, "n", vth, dv, bias, exponent, 1.0, gate, reset, inclusive), types, rng, device
    )


def test_lif_of_the_usual_decay_are_kept_in_float32(device: torch.device) -> None:
    """The property above covers both types only if both are taken."""
    types = {}
    for dv in (2048, 1365):
        node = i.IntLif("n", ("x",), of((4, 5), 0, 1), "n", 100, dv, np.zeros(4, np.int64), 0, 1.0)
        cell = load(graph_of(node, of((4, 5), -300, 300, "current")), device).cells["n"]
        assert isinstance(cell, neurons.Lif)
        types[dv] = cell.bias.dtype
    assert types == {2048: torch.float32, 1365: torch.float64}


@OFTEN
@given(SEEDS, st.sampled_from([0, 1, 2, 255]), st.sampled_from(RESETS), st.booleans(), st.integers(-6, 3))
def test_programmable_neurons(
    device: torch.device, seed: int, most: int, reset: Any, inclusive: bool, shift: int
) -> None:
    rng, full = np.random.default_rng(seed), STATE_LIMIT - 1

    def each(*values: int) -> NDArray[np.int64]:
        return rng.choice(np.array(values, np.int64), (4, 5) if rng.random() < 0.5 else (4, 1))

    params = NeuronParams(
        threshold=each(-64, 0, 1, 64, 8191, full) if most == 1 else each(1, 3, 64, 8191, full),
        dv=each(0, 1, 1365, 2048, 4096),
        du=each(0, 1, 1365, 4096),
        bias=each(0, 1, -full),
        current_bias=each(0, -1, full),
        start=each(0, -full, full),
        current_start=each(0, 100),
        v_reset=each(0, -64, full),
        floor=each(-(1 << 24), 0, -500),
        reset=reset,
        inclusive=inclusive,
        most=most,
        shift=shift,
        limits=(-128, 127),
    )
    out = of((4, 5), *(params.limits if most == 0 else (0, most)))
    node = i.Programmable("n", ("x",), out, "n", params, 1.0)
    check_neurons(node, [of((4, 5), -LIMIT, LIMIT, "current")], rng, device)
