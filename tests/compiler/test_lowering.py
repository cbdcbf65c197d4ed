"""Attention order and delays: the same integers, by another route."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from networks import TinySpikformer, images

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import TensorType
from pumice.compiler.passes.balance_delays import depths, latency_steps
from pumice.compiler.passes.lower_attention import attention_costs
from pumice.compiler.program import Program
from pumice.runtime.reference import Reference


@pytest.mark.parametrize("masks", ["off", "live"])
def test_both_attention_orders_give_the_same_spikes(compiled: Callable[..., Program], masks: str) -> None:
    config = TinySpikformer(blocks=2)
    x = images(config, 6)
    orders = [compiled(config, masks=masks, attention_order=order) for order in ("scores", "context")]
    runs = [Reference().run(program, x, record=True) for program in orders]
    assert runs[0].spikes["block.0.attn_lif"].any()
    assert all(np.array_equal(runs[0].spikes[n], runs[1].spikes[n]) for n in runs[0].spikes)


def test_the_cheaper_order_is_chosen_for_the_tokens_really_kept() -> None:
    def attention(channels: int, tokens: int, heads: int) -> i.IntAttention:
        return i.IntAttention("a", ("q", "k", "v"), TensorType((channels, tokens), "current"), "a", heads, 0)

    assert attention_costs(attention(48, 64, 4), 48, 64) == {"scores": 64 * 64 * 96, "context": 2 * 64 * 48 * 12}
    few = attention_costs(attention(48, 64, 4), 48, 8)
    assert few["scores"] < few["context"]


def test_joins_meet_and_depth_is_reported(compiled: Callable[..., Program]) -> None:
    graph = compiled().graph
    arrival = depths(graph)
    for node in graph.nodes.values():
        assert len({arrival[name] for name in node.inputs}) <= 1
    # conv0, rpe_conv, sum: 3; scorer 1, q/k/v 1, scores 1, attention 1, proj 1, residual 1, fc1 1, fc2 1, out 1; head 1
    assert arrival[graph.output] == 13
    assert latency_steps(graph) == 13 + 4
