"""Counts of an executed program against counting by hand, and what pruning must do to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images

from pumice.compiler import int_nodes as i
from pumice.compiler.program import Program
from pumice.compiler.walk import walk
from pumice.hwsim.counters import CountTable
from pumice.runtime.reference import Reference, input_frames

CONFIG = TinySpikformer(blocks=2)


def counts_of(program: Program, samples: int = 5) -> CountTable:
    counts = Reference().run(program, images(CONFIG, samples)).counts
    assert counts is not None
    return counts


def layer(table: CountTable, name: str, field: str) -> float:
    return float(sum(getattr(row, field).sum() for row in table.rows if row.layer == name))


def test_events_of_a_token_wise_layer_cost_one_operation_per_stored_synapse(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG)
    x = images(CONFIG, 5)
    values, _ = walk(program.graph, input_frames(program.graph, x), None)
    synapse = program.graph.nodes["block.0.q_linear"]
    assert isinstance(synapse, i.Synapse)
    per_channel = (synapse.weight != 0).sum(axis=(0, 2, 3))
    events = (values[synapse.inputs[0]] != 0).sum(axis=(0, 1, 3))
    table = counts_of(program)
    assert layer(table, "block.0.q_lif", "synops") == (events * per_channel).sum()
    assert layer(table, "block.0.q_lif", "events") == events.sum()


def test_attention_operations_are_coincidences_whichever_order(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG, masks="off", attention_order="scores")
    values, _ = walk(program.graph, input_frames(program.graph, images(CONFIG, 5)), None)
    q, k = (values[f"block.0.{n}_lif"].reshape(4, 5, 2, 4, 16) for n in "qk")
    assert layer(counts_of(program), "block.0.ssa.scores", "synops") == np.einsum("tbhci,tbhcj->", q, k)


def test_the_first_layer_multiplies_and_the_others_accumulate(compiled: Callable[..., Program]) -> None:
    table = counts_of(compiled(CONFIG))
    with_macs = {row.layer for row in table.rows if row.macs.any()}
    assert with_macs == {"lif0"}
    assert layer(table, "lif0", "synops") == 0


def test_every_neuron_is_active_idle_or_gated_at_every_step(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG)
    table = counts_of(program)
    slices = [part for core in program.mapping.cores for part in core]
    for part, row in zip(slices, table.rows, strict=True):
        assert np.all(row.active + row.idle + row.gated + row.asleep == 5 * part.neurons)
    assert layer(table, "block.0.q_lif", "gated") == 5 * 4 * 8 * (16 - 8)


def test_pruning_tokens_lowers_every_cost(compiled: Callable[..., Program]) -> None:
    pruned, unpruned = counts_of(compiled(CONFIG)), counts_of(compiled(CONFIG, masks="off"))
    for field in ("events", "synops", "active", "spikes", "messages", "eq25"):
        assert pruned.total(field) < unpruned.total(field)
    assert pruned.total("dense") == unpruned.total("dense")


@pytest.mark.parametrize("neurons", [16, 40, 130])
def test_cutting_layers_changes_where_work_happens_but_not_how_much(
    compiled: Callable[..., Program], neurons: int
) -> None:
    whole = compiled(CONFIG)
    chip = replace(whole.chip, neurons_per_core=neurons)
    cut = on_cores(whole.graph, chip, whole.options)
    a, b = counts_of(whole), counts_of(cut)
    assert len(cut.mapping.cores) > len(whole.mapping.cores)
    assert b.total("gated") + b.total("asleep") == a.total("gated") + a.total("asleep")
    for field in ("synops", "weighted", "macs", "dense", "eq25", "active", "idle", "spikes"):
        assert b.total(field) == pytest.approx(a.total(field), rel=1e-12)
    assert b.total("messages") > a.total("messages")


def test_batches_add_up(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG)
    table = counts_of(program, 100)
    assert table.samples == 100
    whole, parts = Reference().run(program, images(CONFIG, 100)), []
    for start in range(0, 100, 25):
        parts.append(Reference().run(program, images(CONFIG, 100)[start : start + 25]).outputs)
    assert np.array_equal(whole.outputs, np.concatenate(parts))


def test_live_masks_cost_scoring_and_static_ones_do_not(compiled: Callable[..., Program]) -> None:
    live, static = counts_of(compiled(CONFIG)), counts_of(compiled(CONFIG, masks="static"))
    assert live.score_operations > 0
    assert static.score_operations == 0
    assert live.mask_bits == static.mask_bits == 2 * 16 * 4 * 5
