"""The mapping: nothing lost, nothing doubled, every published limit held, or a named refusal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from mapped import on_cores
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler.mapping.fill import Filler
from pumice.compiler.mapping.layouts import layouts_of
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.mapping.order import in_columns, in_program_order, memory_share, segments
from pumice.compiler.mapping.partitions import layer_by_layer
from pumice.compiler.mapping.pieces import pieces_of, ranges
from pumice.compiler.mapping.usage import network_of
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
        program = on_cores(shared.graph, chip)
    except DoesNotFit as refusal:
        event("refused")
        if refusal.used <= refusal.limit or "layer" not in refusal.where:
            raise
        return
    assert mapping_problems(program) == []
    total = sum(int(np.prod(layout.extent)) for layout in layouts_of(shared.graph).values())
    assert sum(part.neurons for core in program.mapping.cores for part in core) == total


@given(st.integers(1, 1000), st.integers(1, 50))
def test_ranges_cover_without_overlap(length: int, pieces: int) -> None:
    cut = ranges(length, min(pieces, length))
    assert cut[0][0] == 0
    assert cut[-1][1] == length
    assert all(a[1] == b[0] for a, b in pairwise(cut))
    assert max(b - a for a, b in cut) - min(b - a for a, b in cut) <= 1


def test_a_layer_that_cannot_fit_is_named_with_used_and_limit(compiled: Callable[..., Program]) -> None:
    program = compiled()
    with pytest.raises(DoesNotFit, match=r"layer '.*' .*: synaptic memory words per core \d+/1"):
        on_cores(program.graph, replace(program.chip, synaptic_words_per_core=1))


def test_a_network_larger_than_the_system_is_refused(compiled: Callable[..., Program]) -> None:
    program = compiled()
    with pytest.raises(DoesNotFit, match=r"the whole network \(at least \d+ cores\): chips for its neurons \d+/1"):
        on_cores(program.graph, replace(program.chip, neurons_per_core=100, usable_cores_per_chip=4, max_chips=1))


def test_a_chips_synapses_are_a_limit(compiled: Callable[..., Program]) -> None:
    program = compiled()
    chip = replace(program.chip, neurons_per_core=200)
    most = max(sum(part.synapses for part in core) for core in on_cores(program.graph, chip).mapping.cores)
    spread = on_cores(program.graph, replace(chip, synapses_per_chip=most))
    assert spread.mapping.chips > 1
    assert mapping_problems(spread) == []
    with pytest.raises(DoesNotFit, match="synapses per chip"):
        on_cores(program.graph, replace(chip, synapses_per_chip=10))


def test_a_core_is_full_before_the_next_is_opened(compiled: Callable[..., Program]) -> None:
    program = compiled()
    cores = on_cores(program.graph, replace(program.chip, neurons_per_core=100)).mapping.cores
    assert all(sum(part.neurons for part in core) == 100 for core in cores[:-1])


def test_tokens_that_static_masks_never_route_need_no_neurons(compiled: Callable[..., Program]) -> None:
    static, live = compiled(masks="static"), compiled(masks="live")
    masks = [node for node in static.graph.nodes.values() if type(node).__name__ == "StaticMask"]
    never = ~masks[0].masks.any(axis=0)  # type: ignore[attr-defined]
    assert never.any()
    held = {
        name: layouts_of(program.graph)["block.0.q_lif"].positions for name, program in (("s", static), ("l", live))
    }
    assert set(held["l"]) - set(held["s"]) == set(np.flatnonzero(never))
    neurons = [sum(part.neurons for core in p.mapping.cores for part in core) for p in (static, live)]
    assert neurons[0] < neurons[1]


def test_columns_keep_a_place_of_several_layers_on_one_core(compiled: Callable[..., Program]) -> None:
    program = compiled(masks="off")
    chip = replace(program.chip, neurons_per_core=200)
    network = network_of(program.graph, chip)
    groups = {name: pieces_of(network, name) for name in network.groups}
    for cores in (2, 4):
        order = list(in_columns(network, groups, cores))
        assert sum(item.neurons for item in order) == sum(item.neurons for items in groups.values() for item in items)
        held = [{key[0] for key in core} for core in Filler(network).fill(order)]
        assert max(map(len, held)) > max(
            len({key[0] for key in core}) for core in Filler(network).fill(in_program_order(groups))
        )


def test_a_segment_has_no_more_weights_than_one_core_can_hold(compiled: Callable[..., Program]) -> None:
    program = compiled(masks="off")
    plain = network_of(program.graph, program.chip)
    groups = {name: pieces_of(plain, name) for name in plain.groups}
    assert len(segments(plain, groups, 4)) == 1
    limited = network_of(program.graph, replace(program.chip, synaptic_words_per_core=40))
    cut = segments(limited, groups, 4)
    assert len(cut) > 1
    for names in cut:
        shares = [memory_share(limited, groups[name][0]) for name in names]
        assert sum(shares) <= 1 or len(names) == 1


def test_layer_by_layer_shares_no_core(compiled: Callable[..., Program]) -> None:
    program = compiled()
    network = network_of(program.graph, replace(program.chip, neurons_per_core=100))
    assert all(len({part.group for part in core}) == 1 for core in layer_by_layer(network, {}))
