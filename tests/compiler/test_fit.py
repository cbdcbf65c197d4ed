"""The fit check: every violation in one error, and remedies that work when they are taken."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Graph, Node
from pumice.compiler.mapping.finest import finest
from pumice.compiler.mapping.fit import check_fit, oversized
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.mapping.needs import needs_of
from pumice.compiler.mapping.remedies import with_weight_bits
from pumice.compiler.mapping.usage import Network, network_of
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import load_chip


@cache
def program(masks: str = "live") -> Program:
    config = TinySpikformer()
    options = CompileOptions(masks=masks)  # type: ignore[arg-type]
    return compile_nir(tiny_spikformer(config), images(config, 8), load_chip("loihi2"), options)


def network(masks: str = "live", **limits: int | None) -> Network:
    found = program(masks)
    return network_of(found.graph, replace(found.chip, **limits))  # type: ignore[arg-type]


def refusal(masks: str = "live", **limits: int | None) -> DoesNotFit:
    with pytest.raises(DoesNotFit) as caught:
        check_fit(network(masks, **limits))
    return caught.value


def test_one_error_names_every_violation_with_layer_resource_used_and_limit() -> None:
    found = refusal(
        neurons_per_core=10,
        synaptic_words_per_core=6,
        input_axons_per_core=30,
        synapses_per_chip=100,
        usable_cores_per_chip=4,
        max_chips=1,
    )
    named = {(violation.where.split(",")[0], violation.resource) for violation in found.violations}
    whole = {where for where, _ in named if where.startswith("the whole network")}
    assert {what for where, what in named if where in whole} == {
        f"chips for its {x}" for x in ("neurons", "weights", "synapses")
    }
    assert ("layer 'rpe_lif' (from 'rpe_lif')", "synaptic memory words per core") in named
    assert ("layer 'rpe_lif' (from 'rpe_lif')", "input axons per core") in named
    assert ("layer 'block.0.ssa.context' (from 'block.0.ssa')", "input axons per core") in named
    assert all(violation.used > violation.limit for violation in found.violations)
    assert str(found).count("; ") == len(found.violations) - 1
    assert (found.resource, found.used) == (found.violations[0].resource, found.violations[0].used)


def test_the_finest_slice_is_the_neuron_with_the_most_inputs() -> None:
    net = network(input_axons_per_core=1)
    for name, layout in net.layouts.items():
        item, (channels, positions) = finest(net, name), layout.extent
        assert item is not None
        used = [
            net.slice_of(name, (c, c + 1), (p, p + 1)).input_axons for c in range(channels) for p in range(positions)
        ]
        assert net.slice_of(name, item.channels, item.positions).input_axons == max(used)


def fitting(text: str, pattern: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, text
    return int(found[1].replace(",", ""))


def test_as_many_chips_as_the_hint_says_are_enough_by_neurons() -> None:
    limits: dict[str, Any] = {"neurons_per_core": 200, "usable_cores_per_chip": 3}
    chips = fitting(refusal(**limits, max_chips=1).hint, r"allow ([\d,]+) chips or more")
    refusal(**limits, max_chips=chips - 1)
    roomy = replace(program().chip, **limits, max_chips=chips)
    assert mapping_problems(on_cores(program().graph, roomy)) == []


def test_as_few_weight_bits_as_the_hint_says_are_enough_and_no_more() -> None:
    words = {"synaptic_words_per_core": 6}
    hint = refusal(**words).hint
    bits = fitting(hint, r"rpe_lif: weights of at most (\d) bits")

    def words_of_rpe(width: int) -> int:
        net = with_weight_bits(network(**words), width)
        item = finest(net, "rpe_lif")
        assert item is not None
        return net.slice_of("rpe_lif", item.channels, item.positions).words

    assert words_of_rpe(bits) <= 6 < words_of_rpe(bits + 1)


def test_pruning_as_much_as_the_hint_says_is_enough() -> None:
    axons = {"input_axons_per_core": 40}
    share = fitting(refusal(**axons).hint, r"rpe_lif: prune (\d+)% of its neurons' weights")
    node = program().graph.nodes["rpe_conv"]
    assert isinstance(node, i.Synapse)
    flat = node.weight.reshape(len(node.weight), -1).copy()
    flat[:, : -(-flat.shape[1] * share // 100)] = 0
    pruned = replace(node, weight=flat.reshape(node.weight.shape))
    nodes: dict[str, Node] = {**program().graph.nodes, "rpe_conv": pruned}
    graph: Graph = replace(program().graph, nodes=nodes)
    with pytest.raises(DoesNotFit) as caught:  # attention has more inputs than weights could be pruned from
        check_fit(network_of(graph, replace(program().chip, input_axons_per_core=40)))
    assert not [violation for violation in caught.value.violations if "rpe_lif" in violation.where]


def test_a_lower_retention_is_a_remedy_only_where_static_masks_are() -> None:
    limits: dict[str, Any] = {"neurons_per_core": 200, "usable_cores_per_chip": 7, "max_chips": 1}
    assert "retention" not in refusal("live", **limits).hint
    share = fitting(refusal("static", **limits).hint, r"static masks route (\d+)% of the tokens")
    net = network("static", **limits)
    masked = [name for name, layout in net.layouts.items() if layout.extent[1] < net.groups[name].extent[1]]
    neurons = {name: int(np.prod(layout.extent)) for name, layout in net.layouts.items()}
    rest = sum(count for name, count in neurons.items() if name not in masked)
    assert masked
    for percent, fits in ((share, True), (share + 1, False)):
        assert (rest + sum(neurons[name] for name in masked) * percent / 100 <= 7 * 200) == fits


def test_the_least_needs_are_no_more_than_what_a_mapping_takes() -> None:
    limits: dict[str, Any] = {"neurons_per_core": 100, "synaptic_words_per_core": 20, "synapses_per_chip": 4000}
    chip = replace(program().chip, **limits)
    mapping, needs = on_cores(program().graph, chip).mapping, needs_of(network(**limits))
    parts = [part for core in mapping.cores for part in core]
    assert needs.neurons == sum(part.neurons for part in parts)
    assert 0 < needs.words <= sum(part.words for part in parts)
    assert 0 < needs.synapses <= sum(part.synapses for part in parts)
    assert needs.cores(chip) <= len(mapping.cores)
    assert max(needs.chips(chip).values()) <= mapping.chips


def test_layers_larger_than_a_core_are_told_with_the_split_that_fits() -> None:
    chip = replace(program().chip, neurons_per_core=100, synaptic_words_per_core=20)
    mapping = on_cores(program().graph, chip).mapping
    told = {found.layer: found for found in oversized(network_of(program().graph, chip), mapping)}
    rpe = told["rpe_lif"]
    assert [what for what, used, limit in rpe.exceeded] == ["synaptic memory words per core", "neurons per core"]
    assert rpe.pieces >= 80 // 20
    assert rpe.cores >= 80 // 20
    assert told["block.0.fc1_lif"].cores >= 3
    assert "time_mean" not in told


def test_the_log_tells_of_layers_larger_than_a_core() -> None:
    config = TinySpikformer()
    chip = replace(load_chip("loihi2"), neurons_per_core=100)
    made = compile_nir(tiny_spikformer(config), images(config, 8), chip, CompileOptions())
    (change,) = [change for change in made.graph.log if change.by == "fit"]
    assert "block.0.fc1_lif, neurons per core 256/100, on " in change.text
    assert len(change.data["layers"]) == int(change.text.split(" of ")[0])
    assert not [change for change in program().graph.log if change.by == "fit"]


def test_a_list_longer_than_an_axons_words_is_illegal_so_its_layer_is_cut() -> None:
    """Eight channels of 8 bits are two words dense; with one word an axon a core may hold fewer of them."""
    stored = {"synapse_prefix_bits": 10, "synapses_per_entry": 60, "index_bits_min": 6, "index_bits_max": 12}
    chip = replace(program().chip, **stored, words_per_axon=1)
    mapping = on_cores(program().graph, chip).mapping
    assert max(part.longest for core in mapping.cores for part in core) == 1
    assert mapping_problems(on_cores(program().graph, chip)) == []
    free = on_cores(program().graph, replace(chip, words_per_axon=None)).mapping
    assert max(part.longest for core in free.cores for part in core) > 1
