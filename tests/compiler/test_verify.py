"""One broken graph per rule: the error names pass, node, number and limit, and lists all violations at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from stream_networks import every_node

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node, TensorType
from pumice.compiler.program import Program
from pumice.compiler.verify import verify
from pumice.errors import VerifyError
from pumice.hwsim.spec import load_chip

CHIP = load_chip("loihi2")


def broken(program: Program, name: str, **changes: Any) -> Graph:
    """The program's graph with one node changed."""
    nodes: dict[str, Node] = dict(program.graph.nodes)
    nodes[name] = replace(nodes[name], **changes)
    return replace(program.graph, nodes=nodes)


CURRENT = TensorType((8, 4, 4), "current", -(1 << 17), 1 << 17)
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("conv0", {"inputs": ("nowhere",)}, "conv0 reads 'nowhere'"),
    ("lif0", {"out": TensorType((8, 4, 4))}, r"lif0 is IntLif of float\[8×4×4\] after quantization"),
    ("conv0", {"weight": np.full((8, 1, 3, 3), 3)}, r"conv0: weights in \[0, 3\], the chip takes even weights"),
    ("conv0", {"weight": np.full((8, 1, 3, 3), 256)}, r"conv0: weights in \[0, 256\]"),
    (
        "conv0",
        {"weight": np.full((8, 1, 3, 3), 510), "synapses": 2},
        r"conv0: .*, the chip takes even weights in \[-512, 508\]",
    ),
    (
        "conv0",
        {"weight": np.full((8, 1, 3, 3), -256), "signs": "split"},
        r"conv0: .*, the chip takes weights in \[-255, 255\]",
    ),
    ("conv0", {"synapses": 5}, "conv0: 5/4 synapses for a weight"),
    ("conv0", {"signs": "both"}, "conv0: unknown signs 'both'"),
    ("lif0", {"vth": 1 << 17}, "lif0: threshold 131072/131071"),
    ("lif0", {"dv": 4096}, "lif0: decay 4096/4095"),
    ("lif0", {"bias_mant": np.full(8, 1 << 15)}, "lif0: bias mantissa 32768/32767"),
    ("lif0", {"bias_exp": 8}, "lif0: bias exponent 8/7"),
    ("conv0", {"out": CURRENT}, "conv0: worst-case current 131,072/131,071"),
    ("time_mean", {"offset": np.full(3, 1 << 23)}, "time_mean: offset 8,388,608/8,388,607"),
    ("sum", {"out": TensorType((8, 4, 4), "graded", 0, 1 << 16)}, "sum: graded spike of 17/16 bits on loihi2"),
    ("block.0.q_lif", {"inputs": ("block.0.q_linear",)}, "block.0.q_lif is gated, but reads no mask"),
    ("block.0.gate.mask", {"out": TensorType((9,), "mask", 0, 1)}, r"mask over \(9,\) tokens"),
    ("flatten@1", {"steps": 2}, "inputs arrive after"),
    ("flatten@1", {"steps": 63}, r"flatten@1 \(from 'flatten'\): delay 63/62 steps"),
]


@pytest.mark.parametrize(("name", "changes", "message"), CASES, ids=[c[2] for c in CASES])
def test_each_rule_has_its_violation(
    compiled: Callable[..., Program], name: str, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(VerifyError, match=message):
        verify(broken(compiled(), name, **changes), CHIP, "a-pass")


TOKENS = TensorType((4, 9), "graded", -3000, 2999)
STREAM_CASES: list[tuple[str, dict[str, Any], str]] = [
    ("q", {"thresholds": np.array([5, 4, 6, 7])}, r"q: thresholds \[5, 4, 6, 7\] do not ascend"),
    ("q", {"thresholds": np.array([5, 6, 7, 8388607])}, "q: threshold 8,388,607/8,388,606"),
    ("q", {"thresholds": np.arange(3)}, "q: 3/255 thresholds for levels 0 to 4"),
    ("q", {"thresholds": np.arange(300), "out": TensorType((4, 9), "graded", 0, 300)}, "q: 300/255 thresholds"),
    ("q", {"bias_mant": np.full(4, 1 << 15)}, "q: bias mantissa 32768/32767"),
    ("q", {"bias_exp": -1}, "q: bias exponent -1/7"),
    ("q", {"inputs": ("to_q", "to_q")}, "q is gated, but reads no mask"),
    ("q", {"inputs": ("to_q", "tokens", "static@2")}, "q is gated, but reads no mask"),
    ("q", {"inputs": ("tokens", "static@2")}, r"q reads 'tokens', graded13\[4×9\], which is no current"),
    ("mid", {"inputs": ("proj",)}, "mid is gated, but reads no mask"),
    ("mid", {"gated": False}, r"mid of graded13\[4×9\] adds 'static@7', mask1\[9\]"),
    ("mid", {"inputs": ("proj", "stream", "static@7")}, r"mid .* adds 'stream', graded13\[4×6×6\]"),
    ("mid", {"shift": 18}, "mid: worst-case accumulator [0-9,]+/8,388,607"),
    ("mid", {"bias_values": np.full(4, -(1 << 23))}, "mid: worst-case accumulator 8,39[0-9,]+/8,388,607"),
    ("mid", {"out": TensorType((4, 9), "graded", 0, 1 << 16)}, "mid: graded spike of 17/16 bits on loihi2"),
    ("late", {"inputs": ("late_in@1", "mid@5", "mid@5", "factored", "static")}, "late: inputs arrive after"),
    ("static@7", {"out": TensorType((4,), "mask", 0, 1)}, r"mid: mask over \(4,\) tokens"),
    ("mean", {"shift": 24}, "mean: worst-case accumulator 8,415,608/8,388,607"),
    ("mean", {"shift": 1}, r"mean: values in \[-13500, 13496\], declared \[-6750, 6748\]"),
    (
        "pool",
        {"out": TensorType((4, 3, 3), "graded", 0, 2999)},
        r"pool: values in \[-3000, 2999\], declared \[0, 2999\]",
    ),
    ("to_s", {"out": TensorType((4, 9), "current", -9, 9)}, r"to_s: values in \[-3000, 2999\], declared \[-9, 9\]"),
    ("to_s", {"out": TensorType((4, 9), "current", 0, 1 << 17)}, "to_s: worst-case current 131,072/131,071"),
    ("pool", {"inputs": ("tokens",)}, "pool reads 'tokens', which is not before it"),
    ("stream", {"out": TOKENS}, r"pool pools graded13\[4×9\], which has no rows and columns"),
    ("conv", {"groups": 4}, "conv: 4 × 1 channels in 4 groups over 2 channels"),
    ("conv", {"groups": 0}, "conv: 4 × 1 channels in 0 groups over 2 channels"),
    (
        "passed_2",
        {"inputs": ("mid@5", "s")},
        r"passed_2 reads graded13\[4×9\] and spike1\[4×9\], which are not both spikes",
    ),
    ("gate_2", {"out": TensorType((3, 9), "spike", 0, 1)}, r"passed_2: a gate of spike1\[3×9\] for spike1\[4×9\]"),
    ("gate_2", {"out": TensorType((2, 3), "spike", 0, 1)}, r"passed_2: a gate of spike1\[2×3\] for spike1\[4×9\]"),
]


@pytest.fixture(scope="module")
def streams() -> Program:
    return every_node()


@pytest.mark.parametrize(("name", "changes", "message"), STREAM_CASES, ids=[c[2] for c in STREAM_CASES])
def test_each_rule_of_streams_has_its_violation(
    streams: Program, name: str, changes: dict[str, Any], message: str
) -> None:
    verify(streams.graph, CHIP, "the builder")
    with pytest.raises(VerifyError, match=message):
        verify(broken(streams, name, **changes), CHIP, "a-pass")


def test_all_violations_are_listed_and_the_pass_is_named(compiled: Callable[..., Program]) -> None:
    graph = broken(compiled(), "lif0", vth=1 << 20, dv=5000, bias_exp=9)
    with pytest.raises(VerifyError, match=r"after a-pass: .*threshold.*decay.*bias exponent"):
        verify(graph, CHIP, "a-pass")


def test_a_product_may_saturate_where_no_neuron_can_tell() -> None:
    """Levels are the same with every range that passes their thresholds; with a lower one, or for other neurons, it is wrong."""
    nodes, source = attention_read_by_levels()
    graph = Graph(nodes, "levels", "lowered", 1, "repeat")
    assert i.largest_sum(source, nodes["q"].out, nodes["context"].out) == 512 > source.out.high
    verify(graph, CHIP, "a-pass")
    low = replace(source, out=replace(source.out, high=9))
    with pytest.raises(VerifyError, match="attention: sums up to 512/9, and levels can tell those beyond apart"):
        verify(replace(graph, nodes={**nodes, "attention": low}), CHIP, "a-pass")
    lif = i.IntLif(
        "levels", ("attention",), TensorType((4, 4), "spike", 0, 1), "levels", 5, 2048, np.zeros(4, int), 0, 1.0
    )
    with pytest.raises(VerifyError, match="and levels can tell"):
        verify(replace(graph, nodes={**nodes, "levels": lif}), CHIP, "a-pass")


def attention_read_by_levels() -> tuple[dict[str, Node], i.SpikeMatmul]:
    """q (kᵀ v) of levels 0 to 4, four channels and tokens, whose sums of up to 512 saturate at 10; and levels from 3 to 9."""
    level, zeros = TensorType((4, 4), "graded", 0, 4), np.zeros(4, np.int64)
    frames = [i.GradedInput("input", (), level, "input", 1.0)]
    operands = [i.Sum(name, ("input",), level, name) for name in "qkv"]
    context = i.SpikeMatmul("context", ("k", "v"), TensorType((4, 2), "graded", 0, 64), "v", "keys-values", 2, 0)
    out = TensorType((4, 4), "current", 0, 10)
    attention = i.SpikeMatmul("attention", ("q", "context"), out, "attention", "queries-context", 2, 0)
    thresholds = np.array([3, 5, 7, 9]) << 6
    levels = i.Levels("levels", ("attention",), level, "levels", thresholds, zeros, 0, 1.0, 4)
    return {node.name: node for node in (*frames, *operands, context, attention, levels)}, attention


def test_attention_must_be_lowered(compiled: Callable[..., Program]) -> None:
    program = compiled()
    attention = program.graph.nodes["block.0.ssa"]
    q = ("block.0.q_lif", "block.0.k_lif", "block.0.v_lif")
    whole = i.IntAttention(attention.name, q, attention.out, attention.source, 2, 0)
    nodes = dict(program.graph.nodes) | {attention.name: whole}
    with pytest.raises(VerifyError, match="is an attention that was not lowered"):
        verify(replace(program.graph, nodes=nodes), CHIP, "lower-attention")


def test_a_chip_without_graded_spikes_says_which_streams_it_cannot_carry(compiled: Callable[..., Program]) -> None:
    with pytest.raises(
        VerifyError, match=r"input: graded spike of 5/0 bits on loihi1 \(no graded spikes on this chip\)"
    ):
        compiled(chip="loihi1")
