"""Each operation of `fast` and `torch` beside its meaning in `compiler.walk`, on random shapes and the most extreme values."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backend_runs import ENGINES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from one_node import OPERANDS, Executor, check, executor_of, of

from pumice.compiler import int_nodes as i
from pumice.hwsim.arith import ACTIVATION_LIMIT, STATE_LIMIT
from pumice.hwsim.programmable import NeuronParams

LIMIT = ACTIVATION_LIMIT - 1
SEEDS = st.integers(0, 2**32 - 1)
RESETS: tuple[Any, ...] = ("hard", "soft", "next", "both")
OFTEN = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(params=ENGINES)
def run(request: pytest.FixtureRequest) -> Executor:
    return executor_of(str(request.param))


@OFTEN
@given(
    SEEDS,
    st.sampled_from([(1, 1), (2, 3), (3, 3), (7, 7)]),
    st.sampled_from([(1, 1, 1), (3, 1, 4), (4, 2, 1), (8, 8, 1), (8, 4, 2), (6, 3, 2)]),
    st.sampled_from([1, 255, (1 << 15) - 1, (1 << 24) - 1]),
)
def test_synapses(run: Executor, seed: int, kernel: tuple[int, int], width: tuple[int, int, int], most: int) -> None:
    """Inputs, groups and outputs a group; sums on both sides of what float32 holds."""
    rng, (inputs, groups, outputs) = np.random.default_rng(seed), width
    weight = rng.integers(-1020, 1021, (groups * outputs, inputs // groups, *kernel))
    weight = np.where(rng.random(weight.shape) < rng.choice([0.0, 0.9]), 0, weight)
    low = int(rng.choice([-most, 0]))
    padding = (int(rng.integers(0, kernel[0])), int(rng.integers(0, kernel[1])))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    extent = [int(rng.integers(k, k + 5)) for k in kernel]
    shape = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(extent, padding, kernel, stride, strict=True)]
    worst = int(np.abs(weight).sum(axis=(1, 2, 3)).max()) * most
    out = of((len(weight), *shape), -worst, worst, "current")
    node = i.Synapse("n", ("x",), out, "n", weight, stride, padding, 1.0, groups)
    check(node, [of((inputs, *extent), low, most)], rng, run)


@OFTEN
@given(SEEDS, st.integers(1, 9), st.sampled_from([1, 196]), st.sampled_from([1, 4, 1 << 22]))
def test_synapses_of_tokens(run: Executor, seed: int, channels: int, tokens: int, most: int) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.choice([-256, 254, 0, 2], (5, channels, 1, 1))
    worst = 256 * channels * most
    node = i.Synapse("n", ("x",), of((5, tokens), -worst, worst, "current"), "n", weight, (1, 1), (0, 0), 1.0)
    check(node, [of((channels, tokens), 0, most)], rng, run)


@OFTEN
@given(
    SEEDS, st.sampled_from([(2, 2, 0), (3, 2, 1), (3, 1, 1), (4, 3, 1), (1, 1, 0)]), st.sampled_from([1, 127, 1 << 20])
)
def test_pools(run: Executor, seed: int, window: tuple[int, int, int], most: int) -> None:
    rng, (kernel, stride, padding) = np.random.default_rng(seed), window
    extent = rng.integers(kernel, kernel + 6, 2)
    shape = (3, *((int(n) + 2 * padding - kernel) // stride + 1 for n in extent))
    source = of((3, *map(int, extent)), -most if most > 1 else 0, most)
    check(i.MaxPool("n", ("x",), replace(source, shape=shape), "n", *window), [source], rng, run)
    spikes = replace(source, dtype="spike", low=0, high=1)
    check(i.OrPool("n", ("x",), replace(spikes, shape=shape), "n", *window), [spikes], rng, run)


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
    run: Executor,
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
    check(node, types, np.random.default_rng(seed), run)


@OFTEN
@given(SEEDS, st.integers(0, 6), st.sampled_from([1, 3, 64]), st.sampled_from([1, 255, 1 << 22]))
def test_sums_gates_and_ands(run: Executor, seed: int, shift: int, tokens: int, most: int) -> None:
    rng, source = np.random.default_rng(seed), of((6, tokens), -most, most)
    total = of((6, 1), -most * tokens, most * tokens)
    check(i.TokenSum("n", ("x",), total, "n", shift, 1.0), [source], rng, run)
    double = of((6, tokens), -2 * most, 2 * most)
    check(i.Sum("n", ("x", "y"), double, "n"), [source, replace(source, low=0)], rng, run)
    currents = replace(source, dtype="current")
    check(i.Currents("n", ("x", "y"), replace(double, dtype="current"), "n"), [currents, currents], rng, run)
    spikes, gate = (
        of((6, tokens), 0, 1, "spike"),
        of((int(rng.choice([1, 2, 6])), int(rng.choice([1, tokens]))), 0, 1, "spike"),
    )
    check(i.SpikeAnd("n", ("g", "x"), spikes, "n"), [gate, spikes], rng, run)
    gated = i.TokenGate("n", ("x", "m"), source, "n", "", 0, (1, tokens), 0.5, None, "hold", ())
    check(gated, [source, of((tokens,), 0, 1, "mask")], rng, run)


@OFTEN
@given(SEEDS, st.booleans(), st.sampled_from([1, 4, 255]), st.sampled_from([0, 7]))
def test_levels(run: Executor, seed: int, gated: bool, count: int, exponent: int) -> None:
    rng, current = np.random.default_rng(seed), of((4, 5), -LIMIT, LIMIT, "current")
    thresholds = np.sort(rng.choice([0, 64, 65, -64, LIMIT << 6, (LIMIT << 6) - 1, *rng.integers(-999, 999, 9)], count))
    bias = rng.choice([0, 1, -1, 4095, -4095], 4)
    inputs, types = (("x", "m"), [current, of((5,), 0, 1, "mask")]) if gated else (("x",), [current])
    node = i.Levels("n", inputs, of((4, 5), 0, count), "n", thresholds, bias, exponent, 1.0, 1, gated)
    check(node, types, rng, run)


@OFTEN
@given(SEEDS, st.booleans(), st.integers(-6, 6), st.integers(0, 2))
def test_membranes(run: Executor, seed: int, gated: bool, shift: int, streams: int) -> None:
    rng, current = np.random.default_rng(seed), of((4, 5), -LIMIT, LIMIT, "current")
    names = [f"s{number}" for number in range(streams)]
    types = [current, *[of((4, 5), -3000, 2999)] * streams, *[of((5,), 0, 1, "mask")] * gated]
    inputs = ("x", *names, *["m"] * gated)
    bias = rng.choice([0, 1, -1, STATE_LIMIT - 1], 4)
    most = int(rng.choice([255, 3000, STATE_LIMIT - 1]))
    node = i.Membrane("n", inputs, of((4, 5), -most - 1, most), "n", shift, bias, 1.0, gated)
    check(node, types, rng, run)


@OFTEN
@given(SEEDS, st.integers(1, 9))
def test_read_outs_saturate(run: Executor, seed: int, tokens: int) -> None:
    rng = np.random.default_rng(seed)
    out, offset = of((3,), -(1 << 23), 1 << 23), rng.choice([0, STATE_LIMIT - 1, 1 - STATE_LIMIT], 3)
    check(i.Readout("n", ("x",), out, "n", offset, 1.0), [of((3, tokens), -LIMIT, LIMIT, "current")], rng, run)


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
def test_lif(run: Executor, seed: int, dv: int, vth: int, most: int, reset: Any, inclusive: bool, gate: Any) -> None:
    """Decays of both float types, membranes that saturate, ties."""
    rng = np.random.default_rng(seed)
    current = of((4, 5), -most, most, "current")
    types = [current, of((5,), 0, 1, "mask")] if gate else [current]
    bias, exponent = rng.choice([0, 1, -1, 4095, -4095], 4), int(rng.choice([0, 6, 11]))
    inputs = ("x", "m") if gate else ("x",)
    out = of((4, 5), 0, 1, "spike")
    check(i.IntLif("n", inputs, out, "n", vth, dv, bias, exponent, 1.0, gate, reset, inclusive), types, rng, run)


@OFTEN
@given(SEEDS, st.sampled_from([0, 1, 2, 255]), st.sampled_from(RESETS), st.booleans(), st.integers(-6, 3))
def test_programmable_neurons(run: Executor, seed: int, most: int, reset: Any, inclusive: bool, shift: int) -> None:
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
    check(node, [of((4, 5), -LIMIT, LIMIT, "current")], rng, run)
