"""One broken graph per rule: the error names pass, node, number and limit, and lists all violations at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

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


def test_all_violations_are_listed_and_the_pass_is_named(compiled: Callable[..., Program]) -> None:
    graph = broken(compiled(), "lif0", vth=1 << 20, dv=5000, bias_exp=9)
    with pytest.raises(VerifyError, match=r"after a-pass: .*threshold.*decay.*bias exponent"):
        verify(graph, CHIP, "a-pass")


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
        VerifyError, match=r"input: graded spike of 8/0 bits on loihi1 \(no graded spikes on this chip\)"
    ):
        compiled(chip="loihi1")
