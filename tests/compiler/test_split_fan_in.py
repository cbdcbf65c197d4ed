"""Sums in parts: a layer with more inputs than a core has axons for computes the same spikes, one step later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from general_networks import if_reading, mapped, network, spikes
from networks import images
from numpy.typing import NDArray
from small_graphs import chain, fire
from split_networks import AXONS, CONFIG, split_spikformer

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import dumps, read_artifact, write_artifact
from pumice.compiler.bounds import channel_bounds
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import latency_steps
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.reference import Reference

READING = if_reading("zero", "spike", ">=")


def chip_with(name: str = "loihi2", **limits: int | None) -> ChipSpec:
    return replace(load_chip(name), **limits)  # type: ignore[arg-type]


def parts_of(program: Program) -> dict[str, list[i.Synapse]]:
    """The parts of each synapse that was split."""
    found: dict[str, list[i.Synapse]] = {}
    for node in program.graph.nodes.values():
        if isinstance(node, i.Synapse) and ".part" in node.name:
            found.setdefault(node.name.rsplit(".part", 1)[0], []).append(node)
    return found


def recorded(program: Program, samples: NDArray[Any]) -> dict[str, NDArray[Any]]:
    run = Reference().run(program, samples, record=True)
    return {**run.spikes, "logits": run.logits}


@pytest.mark.parametrize("masks", ["off", "static", "live"])
def test_every_spike_is_that_of_the_unsplit_program(masks: str) -> None:
    whole, split = split_spikformer(None, masks), split_spikformer(AXONS, masks)
    assert not parts_of(whole)
    assert len(parts_of(split)["rpe_conv"]) == 2
    x = images(CONFIG, 20, seed=5)
    wanted, found = recorded(whole, x), recorded(split, x)
    assert wanted.keys() == found.keys()
    assert all(np.array_equal(wanted[name], found[name]) for name in wanted)
    assert all(wanted[name].any() for name in ("rpe_lif", "logits"))
    assert mapping_problems(split) == []
    assert max(sum(part.input_axons for part in core) for core in split.mapping.cores) <= AXONS


def test_parts_have_every_weight_once_and_no_source_channel_twice() -> None:
    whole = split_spikformer(None).graph.nodes["rpe_conv"]
    assert isinstance(whole, i.Synapse)
    parts = parts_of(split_spikformer(AXONS))["rpe_conv"]
    assert np.array_equal(sum(part.weight for part in parts), whole.weight)
    assert max(sum(bool(part.weight[:, c].any()) for part in parts) for c in range(whole.weight.shape[1])) == 1
    assert sum(part.share for part in parts) == pytest.approx(1)


def test_a_split_layer_is_a_step_later_and_the_log_says_so() -> None:
    whole, split = split_spikformer(None), split_spikformer(AXONS)
    layers = [change for change in split.graph.log if change.by == "split-fan-in"]
    assert any("layer rpe_lif: rpe_conv in 2 parts of ≤" in change.text for change in layers)
    assert latency_steps(split.graph) == latency_steps(whole.graph) + len({change.node for change in layers})
    assert not [change for change in whole.graph.log if change.by == "split-fan-in"]


def test_sums_of_parts_cannot_clip() -> None:
    """What the neurons may send holds what their weights and inputs can make at most, worked out input by input."""
    program = split_spikformer(AXONS)
    for parts in parts_of(program).values():
        for part in parts:
            source, sent = program.graph.nodes[part.inputs[0]].out, program.graph.nodes[f"{part.name}.sums"].out
            most = np.maximum(part.weight * source.high, part.weight * source.low).clip(0).sum(axis=(1, 2, 3)).max()
            least = (
                np.minimum(part.weight * source.high, part.weight * source.low).clip(None, 0).sum(axis=(1, 2, 3)).min()
            )
            assert (sent.low, sent.high) == (least, most)
            assert sent.bits <= program.chip.graded_bits


def test_counts_of_the_dense_layer_do_not_grow_with_its_parts() -> None:
    x = images(CONFIG, 4)
    counts = [
        Reference().run(program, x).counts
        for program in (split_spikformer(None, "off"), split_spikformer(AXONS, "off"))
    ]
    dense = [found.per_sample("dense") for found in counts]
    assert dense[0] == pytest.approx(dense[1])
    assert counts[1].per_sample("synops") > counts[0].per_sample("synops")  # the sums' own spikes


def test_a_split_program_survives_the_artifact(tmp_path: Path) -> None:
    program = split_spikformer(AXONS)
    write_artifact(program, tmp_path / "split.pumice")
    assert dumps(read_artifact(tmp_path / "split.pumice")) == dumps(program)


@pytest.mark.parametrize("bits", [9, 10, 12, 16])
def test_sums_are_no_wider_than_the_chips_graded_spikes(bits: int) -> None:
    """Narrow payloads ask for more parts than axons do."""
    chip = chip_with(input_axons_per_core=5, graded_bits=bits)
    program = compile_nir(network(), spikes((8, 9, 6), 1), chip, CompileOptions(reading=READING, synapses=1))
    whole = compile_nir(
        network(), spikes((8, 9, 6), 1), load_chip("loihi2"), CompileOptions(reading=READING, synapses=1)
    )
    sums = [node.out.bits for node in program.graph.nodes.values() if isinstance(node, i.Membrane)]
    assert sums
    assert max(sums) <= bits
    x = spikes((6, 9, 6), 3)
    wanted, found = recorded(whole, x), recorded(program, x)
    assert all(np.array_equal(wanted[name], found[name]) for name in wanted)


def wide(inputs: int) -> nir.NIRGraph:
    rng = np.random.default_rng(3)
    return chain((inputs,), (4,), a=mapped(rng, 4, inputs), n=fire((4,), r=np.ones(4), v_threshold=np.full(4, 127.0)))


def test_a_chip_without_graded_spikes_refuses_and_says_why() -> None:
    chip = chip_with("loihi1", input_axons_per_core=50, shared_axon_positions=None)
    options = CompileOptions(reading=if_reading("zero", "spike", ">"), synapses=1)
    with pytest.raises(DoesNotFit, match=r"layer 'n' .*: input axons per core \d+/50") as caught:
        compile_nir(wide(100), spikes((8, 5, 100), 1), chip, options)
    assert "loihi1 has no graded spikes" in caught.value.hint
    assert "prune" in caught.value.hint


def test_currents_that_are_summed_channel_by_channel_stay_in_range() -> None:
    program = split_spikformer(AXONS)
    currents = [node for node in program.graph.nodes.values() if isinstance(node, i.Currents)]
    assert currents
    for node in currents:
        low, high = channel_bounds(node.name, program.graph)
        assert (low.min(), high.max()) == (node.out.low, node.out.high)
