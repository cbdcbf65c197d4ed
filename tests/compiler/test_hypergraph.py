"""Mt-KaHyPar's partition: hyperedges are the network's messages; repaired, it holds every limit, and is the same every time."""

from __future__ import annotations

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from mapped import measured_spikformer

from pumice.compiler.mapping.atoms import atoms_of, merged
from pumice.compiler.mapping.hypergraph import hyperedges
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.mapping.mapper import map_network
from pumice.compiler.mapping.traffic import Traffic
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.program import Program
from pumice.errors import BackendUnavailable, DoesNotFit
from pumice.hwsim.spec import ChipSpec


def mapped(chip: ChipSpec) -> Program:
    program, rates = measured_spikformer()
    return replace(program, chip=chip, mapping=map_network(program.graph, chip, rates, "mtkahypar").mapping)


limit = st.one_of(st.none(), st.integers(60, 400))


@settings(deadline=None, max_examples=5)
@given(st.integers(60, 400), st.one_of(st.none(), st.integers(8, 60)), limit, limit)
def test_every_neuron_is_on_one_core_and_limits_hold(
    neurons: int, words: int | None, axons: int | None, sent: int | None
) -> None:
    limits = {"synaptic_words_per_core": words, "input_axons_per_core": axons, "output_axons_per_core": sent}
    try:
        program = mapped(replace(measured_spikformer()[0].chip, neurons_per_core=neurons, **limits))
    except DoesNotFit as refusal:
        event("refused")
        if refusal.used <= refusal.limit:
            raise
        return
    assert mapping_problems(program) == []


def test_the_same_network_is_cut_the_same_way_every_time() -> None:
    chip = replace(measured_spikformer()[0].chip, neurons_per_core=150)
    first, again = mapped(chip), mapped(chip)
    assert first.mapping.cores == again.mapping.cores
    assert first.mapping.sites == again.mapping.sites


def test_neurons_alone_ask_for_no_core_more_than_they_fill() -> None:
    program = mapped(replace(measured_spikformer()[0].chip, neurons_per_core=150))
    neurons = [sum(part.neurons for part in core) for core in program.mapping.cores]
    assert len(neurons) == -(-sum(neurons) // 150)


def test_it_sends_less_between_cores_than_layers_on_cores_of_their_own() -> None:
    program, rates = measured_spikformer()
    chip = replace(program.chip, neurons_per_core=200)
    cut, layers = (map_network(program.graph, chip, rates, method) for method in ("mtkahypar", "sequential"))
    assert cut.score.messages < layers.score.messages


def test_atoms_are_small_cover_each_group_and_merge_back_to_it() -> None:
    program, _ = measured_spikformer()
    network = network_of(program.graph, replace(program.chip, neurons_per_core=256))
    atoms = atoms_of(network, {"block.0.fc1_lif": 16})
    assert max(item.neurons for item in atoms) <= 32
    assert max(atom.neurons for atom in atoms if atom.group == "block.0.fc1_lif") == 16
    whole = merged(np.random.default_rng(0).permutation(np.array(atoms, object)).tolist())
    assert {item.group: item.neurons for item in whole} == {
        name: int(np.prod(layout.extent)) for name, layout in network.layouts.items()
    }
    for before, after in pairwise(atoms):
        assert before.group != after.group or before.along[1] == after.along[0]


def test_a_hyperedge_is_what_an_atom_sends_to_and_how_often() -> None:
    source, target = np.array([0, 0, 0, 1, 2, 2]), np.array([0, 1, 2, 1, 0, 1])
    messages = np.array([9.0, 5.0, 7.4, 3.0, 0.2, 0.4])
    count = np.ones(6, np.int64)
    pins, weights = hyperedges(Traffic(3, source, target, messages, count, count))
    assert (pins, weights) == ([[0, 1, 2]], [7])


def test_without_the_package_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mtkahypar", None)
    with pytest.raises(BackendUnavailable, match="needs the package mtkahypar") as refused:
        mapped(replace(measured_spikformer()[0].chip, neurons_per_core=150))
    assert "pumice[mapping]" in refused.value.hint


def test_a_silent_network_is_mapped_too() -> None:
    program, _ = measured_spikformer()
    chip = replace(program.chip, neurons_per_core=150)
    found = map_network(program.graph, chip, {}, "mtkahypar")
    assert mapping_problems(replace(program, chip=chip, mapping=found.mapping)) == []
