"""Every family compiles to integers that do what its torch model does, as far as eight bits allow."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from torch_networks import TINY

from pumice.compiler import int_nodes as i
from pumice.compiler.options import CompileOptions, MaskMode
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import load_chip
from pumice.models.nir.export import to_nir
from pumice.runtime.float_model import run_float
from pumice.runtime.pruning import given_schedule
from pumice.runtime.reference import Reference

PRUNED = [name for name, tiny in TINY.items() if tiny.blocks]
SPATIAL = Criterion(alpha=1.0)  # what one timestep allows
LAYER_MISMATCH = 0.05  # share of spikes or levels that eight bits may change in one layer of an untrained network


@cache
def program(family: str, masks: MaskMode = "off", pruned: bool = False, order: str = "auto") -> Program:
    tiny = TINY[family]
    model = tiny.model()
    if pruned and tiny.blocks:
        model.pruning = tiny.pruning(SPATIAL)
    options = CompileOptions(masks=masks, attention_order=order)  # type: ignore[arg-type]
    return compile_nir(to_nir(model), tiny.samples(16, seed=3), load_chip("loihi2"), options)


@pytest.mark.parametrize("family", TINY)
def test_each_layer_alone_does_what_the_float_layer_does(family: str) -> None:
    """On the float network's own input to it; the report says so for every layer of neurons."""
    log = program(family).graph.log
    mismatches = {change.node: change.data["mismatch"] for change in log if "mismatch" in change.data}
    neurons = [n.name for n in program(family).graph.nodes.values() if isinstance(n, i.IntLif | i.Levels)]
    assert set(mismatches) == set(neurons)
    assert max(mismatches.values()) < LAYER_MISMATCH
    assert np.mean(list(mismatches.values())) < LAYER_MISMATCH / 5


def test_attention_over_many_tokens_saturates_above_its_levels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As at 224 x 224: counts beyond a current are more than any level asks for, so nothing changes."""
    tiny, x = TINY["sdt-v3"], TINY["sdt-v3"].samples(4)
    free = program("sdt-v3")
    monkeypatch.setattr("pumice.compiler.quantizers.attention.CURRENT", 400)
    low = compile_nir(to_nir(tiny.model()), tiny.samples(16, seed=3), load_chip("loihi2"), CompileOptions(masks="off"))
    products = [n for n in low.graph.nodes.values() if isinstance(n, i.SpikeMatmul) and n.out.dtype == "current"]
    assert products
    assert all(node.out.high == 400 < free.graph.nodes[node.name].out.high for node in products)
    wanted, got = (Reference(counts=False).run(p, x, record=True) for p in (free, low))
    assert [name for name, sent in wanted.spikes.items() if not np.array_equal(got.spikes[name], sent)] == []


@pytest.mark.parametrize("family", TINY)
def test_membranes_are_as_exact_as_their_weights(family: str) -> None:
    """The mean error of a stream of real values, against one in all of its range: better than 8 bits."""
    changes = [change.data for change in program(family).graph.log if "mean_error" in change.data]
    assert all(data["mean_error"] < data["range"] / 256 for data in changes)


@pytest.mark.parametrize("family", PRUNED)
def test_tokens_that_the_float_model_drops_are_dropped(family: str) -> None:
    """With the float model's own masks, no neuron over an unrouted token sends anything."""
    tiny, compiled = TINY[family], program(family, "given", pruned=True)
    model, x = tiny.model(), tiny.samples(4)
    model.pruning = tiny.pruning(SPATIAL)
    reference = run_float(model, x)
    run = Reference(counts=False).run(compiled, x, given_schedule(compiled, reference.masks), record=True)
    gated = [n for n in compiled.graph.nodes.values() if isinstance(n, i.IntLif | i.Levels) and len(n.inputs) == 2]
    assert gated
    for node in gated:
        block = next(b for b in _masks_behind(node.inputs[1], compiled))
        dropped = ~reference.masks[block]
        assert not run.spikes[node.name].swapaxes(2, 3)[dropped].any()
        assert not reference.spikes[node.name].swapaxes(2, 3)[dropped].any()


def _masks_behind(name: str, compiled: Program) -> list[int]:
    node = compiled.graph.nodes[name]
    while isinstance(node, i.Delay):
        node = compiled.graph.nodes[node.inputs[0]]
    assert isinstance(node, i.GivenMask)
    return [node.block]


@pytest.mark.parametrize("family", ["spikformer-dvs", "qkformer", "sdt-v3"])
def test_both_attention_orders_give_the_same_integers(family: str) -> None:
    x = TINY[family].samples(3)
    runs = [Reference().run(program(family, order=order), x, record=True) for order in ("scores", "context")]
    assert np.array_equal(runs[0].outputs, runs[1].outputs)
    assert all(np.array_equal(runs[0].spikes[n], runs[1].spikes[n]) for n in runs[0].spikes)


def test_a_selector_s_static_masks_are_nested() -> None:
    masks = [n for n in program("sparse-spikformer", "static").graph.nodes.values() if isinstance(n, i.StaticMask)]
    masks.sort(key=lambda node: node.block)
    assert len(masks) > 1
    for earlier, later in pairwise(masks):
        assert not (later.masks & ~earlier.masks).any()
        assert later.masks.sum() < earlier.masks.sum()
