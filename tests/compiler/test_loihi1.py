"""Loihi 1 has every limit published: binary networks compile for it, and what they take is what its formats say."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import nir
import numpy as np
import pytest
from general_networks import if_reading
from mapped import on_cores
from small_graphs import chain

from pumice.compiler.mapping.axons import RESOURCE, entries_of_groups, output_axons
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.mapping.traffic import traffic_of
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program, Slice
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference

READING = if_reading("zero", "spike", ">")
STEPS = 3


def weights(*shape: int, density: float = 1.0, seed: int = 0) -> np.ndarray:
    """8-bit weights, the largest among them, so that quantization leaves them as they are; `density` of them not 0."""
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 128, shape) * rng.choice((-1.0, 1.0), shape) * (rng.random(shape) < density)
    values.flat[0] = 127
    return np.asarray(values)


def fire(*shape: int) -> nir.IF:
    return nir.IF(np.ones(shape), np.full(shape, 127.0), np.zeros(shape))


def dense(inputs: int, hidden: int, outputs: int, density: float = 1.0) -> nir.NIRGraph:
    first = nir.Affine(weights(hidden, inputs, density=density), np.zeros(hidden))
    second = nir.Affine(weights(outputs, hidden, density=density, seed=1), np.zeros(outputs))
    return chain((inputs,), (outputs,), a=first, n=fire(hidden), b=second, m=fire(outputs))


def convs(channels: int, side: int) -> nir.NIRGraph:
    def layer(into: int, out: int, seed: int) -> nir.Conv2d:
        return nir.Conv2d((side, side), weights(out, into, 3, 3, seed=seed), 1, 1, 1, 1, np.zeros(out))

    shape = (channels, side, side)
    return chain(
        (2, side, side), shape, a=layer(2, channels, 0), n=fire(*shape), b=layer(channels, channels, 1), m=fire(*shape)
    )


NETWORKS = {
    "dense": (dense(300, 800, 10), (300,)),
    "sparse": (dense(300, 800, 10, density=0.1), (300,)),
    "fans out": (dense(50, 1000, 400), (50,)),
    "conv": (convs(4, 20), (2, 20, 20)),
    "wide conv": (convs(2, 40), (2, 40, 40)),
}


@cache
def compiled(name: str) -> Program:
    graph, shape = NETWORKS[name]
    options = CompileOptions(reading=READING, signs="mixed", synapses=1)
    return compile_nir(graph, spikes(4, *shape), load_chip("loihi1"), options)


def spikes(samples: int, *shape: int) -> np.ndarray:
    return (np.random.default_rng(samples).random((samples, STEPS, *shape)) < 0.3).astype(np.float64)


def slices(name: str, group: str) -> list[Slice]:
    return [part for core in compiled(name).mapping.cores for part in core if part.group == group]


@pytest.mark.parametrize("name", NETWORKS)
def test_binary_networks_compile_and_run(name: str) -> None:
    program = compiled(name)
    assert mapping_problems(program) == []
    assert (len(program.mapping.cores) == 1) == (name == "sparse")
    run = Reference().run(program, spikes(2, *NETWORKS[name][1]), record=True)
    assert all(found.any() for found in run.spikes.values())


def test_a_dense_layer_takes_a_weight_for_every_target() -> None:
    """300 lists, one a source, of 8-bit weights in entries of 60 with 10 bits of prefix and an index."""
    for part in slices("dense", "n"):
        index = max((part.neurons - 1).bit_length(), 6)
        bits = -(-part.neurons // 60) * (10 + index) + part.neurons * 8
        assert part.formats[0].endswith("dense")
        assert part.longest == bits // 64 + (2 if bits % 64 >= 59 else 1)
        assert part.words == 300 * part.longest <= 16_384


def test_a_pruned_layer_is_stored_without_its_zeros() -> None:
    full, pruned = slices("dense", "n"), slices("sparse", "n")
    assert {part.formats[0].split()[1] for part in pruned} <= {"sparse", "run-length"}
    assert sum(part.words for part in pruned) < 0.4 * sum(part.words for part in full)
    assert len(pruned) < len(full)


def test_positions_beyond_what_an_axon_can_name_do_not_share_lists() -> None:
    found = [part for name in ("conv", "wide conv") for group in "nm" for part in slices(name, group)]
    wide = [part for part in found if part.positions[1] - part.positions[0] > 256]
    assert wide
    assert all(part.formats[0].startswith("discrete") for part in wide)
    assert any(part.formats[0].startswith("shared") for part in found)


def test_shared_lists_make_a_convolution_smaller() -> None:
    program = compiled("conv")
    alone = on_cores(program.graph, replace(program.chip, shared_axon_positions=None))
    words = [sum(part.words for core in p.mapping.cores for part in core) for p in (program, alone)]
    assert words[0] < words[1] / 2


def test_neurons_that_reach_many_cores_are_spread_until_their_axons_fit() -> None:
    """A thousand neurons, each with two entries for every core of the next layer: more than 4,096 on one core."""
    program = compiled("fans out")
    free = on_cores(program.graph, replace(program.chip, output_axons_per_core=None))
    used = [output_axons_of(found) for found in (free, program)]
    assert used[0].max() > 4096 >= used[1].max()
    strict = replace(free, chip=program.chip)
    assert [text for text in mapping_problems(strict) if f"{RESOURCE} {used[0].max():,}/4,096" in text]
    assert len(program.mapping.cores) <= len(free.mapping.cores) + 2


def output_axons_of(program: Program) -> np.ndarray:
    network = network_of(program.graph, program.chip)
    return output_axons(traffic_of(program.mapping.cores, network, {}), program.mapping.sites, program.chip)


@pytest.mark.parametrize("name", NETWORKS)
def test_output_axons_of_groups_add_up_to_those_of_cores(name: str) -> None:
    program = compiled(name)
    found = entries_of_groups(program.mapping, network_of(program.graph, program.chip))
    assert np.array_equal(np.sum(list(found.values()), axis=0), output_axons_of(program))
