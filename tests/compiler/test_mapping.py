"""Partition and placement: nothing lost, nothing doubled, every published limit held, or a named refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from networks import TinySpikformer, images, tiny_spikformer
from pumice.compiler.partition import partition, ranges
from pumice.compiler.place import place

from pumice.compiler.artifact import mapping_problems
from pumice.compiler.groups import groups_of
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import load_chip


@cache
def small_program() -> Program:
    config = TinySpikformer()
    return compile_nir(tiny_spikformer(config), images(config, 8), load_chip("loihi2"), CompileOptions())


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 300), st.one_of(st.none(), st.integers(4, 40)), st.one_of(st.none(), st.integers(60, 400)))
def test_every_neuron_is_on_one_core_and_limits_hold(neurons: int, words: int | None, axons: int | None) -> None:
    shared = small_program()
    chip = replace(shared.chip, neurons_per_core=neurons, synaptic_words_per_core=words, input_axons_per_core=axons)
    try:
        parts = partition(shared.graph, chip)
    except DoesNotFit as refusal:
        event("refused")
        if refusal.used <= refusal.limit or "layer" not in refusal.where:
            raise
        return
    placed = place(parts, shared.graph, chip, CompileOptions())
    assert mapping_problems(placed) == []
    total = sum(int(np.prod(group.extent)) for group in groups_of(shared.graph))
    assert sum(part.neurons for slices in parts.cores for part in slices) == total


@given(st.integers(1, 1000), st.integers(1, 50))
def test_ranges_cover_without_overlap(length: int, pieces: int) -> None:
    cut = ranges(length, min(pieces, length))
    assert cut[0][0] == 0
    assert cut[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(cut))
    assert max(b - a for a, b in cut) - min(b - a for a, b in cut) <= 1


def test_a_layer_that_cannot_fit_is_named_with_used_and_limit(compiled: Callable[..., Program]) -> None:
    program = compiled()
    with pytest.raises(DoesNotFit, match=r"layer 'lif0' .*: synaptic memory words per core 2/1"):
        partition(program.graph, replace(program.chip, synaptic_words_per_core=1))


def test_a_network_larger_than_the_system_is_refused(compiled: Callable[..., Program]) -> None:
    program = compiled()
    with pytest.raises(DoesNotFit, match=r"the whole network: cores 14/4"):
        partition(program.graph, replace(program.chip, usable_cores_per_chip=4, max_chips=1))


def test_a_chips_synapses_are_a_limit(compiled: Callable[..., Program]) -> None:
    program = compiled()
    with pytest.raises(DoesNotFit, match="chip 0: synapses per chip"):
        place(
            partition(program.graph, program.chip),
            program.graph,
            replace(program.chip, synapses_per_chip=10),
            program.options,
        )


def test_cores_fill_tiles_in_program_order(compiled: Callable[..., Program]) -> None:
    sites = compiled().mapping.sites
    assert [(s.x, s.y, s.core) for s in sites[:5]] == [(0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 0, 3), (1, 0, 0)]
