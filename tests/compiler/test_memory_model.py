"""Words of synaptic memory: the published figures, and what must hold of every list."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group
from pumice.compiler.ir import Graph, TensorType
from pumice.compiler.mapping.fans import Fan, Wiring
from pumice.compiler.mapping.memory import (
    Stored,
    dense_words,
    fan_lists,
    index_bits,
    run_length_words,
    sparse_words,
    stored,
    weight_bits,
)
from pumice.hwsim.spec import ChipSpec, load_chip

LOIHI1 = load_chip("loihi1")
SIZES = st.integers(0, 3000)


def test_the_worked_figures_of_nxtf() -> None:
    """A dense 8-bit axon to 1024 targets: 134 words, of which 122 fill a core; as a sparse list 291, which is illegal."""
    index = index_bits(1024, LOIHI1)
    assert dense_words(1024, 8, index, LOIHI1) == 134
    assert sparse_words(1024, 8, index, LOIHI1) == 291
    assert LOIHI1.words_per_axon is not None
    assert LOIHI1.synaptic_words_per_core is not None
    assert 134 <= LOIHI1.words_per_axon < 291
    assert LOIHI1.synaptic_words_per_core // 134 == 122


@given(SIZES, st.integers(0, 3000), st.integers(1, 9), st.integers(1, 4096))
def test_more_synapses_bits_or_targets_never_take_fewer_words(
    synapses: int, zeros: int, bits: int, targets: int
) -> None:
    index = index_bits(targets, LOIHI1)
    for words in (dense_words, sparse_words):
        held = words(synapses, bits, index, LOIHI1)
        assert held <= words(synapses + 1, bits, index, LOIHI1)
        assert held <= words(synapses, bits + 1, index, LOIHI1)
        assert held <= words(synapses, bits, index_bits(targets + 1, LOIHI1), LOIHI1)
        assert held * 64 >= synapses * bits
    held = run_length_words(synapses, zeros, bits, index, LOIHI1)
    assert held <= run_length_words(synapses + 1, zeros, bits, index, LOIHI1)
    assert held <= run_length_words(synapses, zeros + 1, bits, index, LOIHI1)
    assert held * 64 >= synapses * bits


def conv_fan(weight: np.ndarray, grid: tuple[int, int], padding: int, positions: np.ndarray | None = None) -> Fan:
    """What feeds all channels of a convolution, at some positions or all."""
    kernel = weight.shape[2]
    rows, columns = (n + 2 * padding - kernel + 1 for n in grid)
    source = i.GradedInput("x", (), TensorType((weight.shape[1], *grid), "graded", -16, 15), "x", 1.0)
    current = TensorType((len(weight), rows, columns), "current", -(1 << 20), 1 << 20)
    node = i.Synapse("w", ("x",), current, "w", weight, (1, 1), (padding, padding), 1.0)
    lif = i.IntLif(
        "n", ("w",), TensorType(current.shape, "spike", 0, 1), "n", 9, 0, np.zeros(len(weight), np.int64), 0, 1.0
    )
    graph = Graph({n.name: n for n in (source, node, lif)}, "n", "balanced", 1, "repeat")
    held = np.arange(rows * columns) if positions is None else positions
    (fan,) = Wiring(graph).fans(Group(lif, (node,)), np.arange(len(weight)), held)
    return fan


def words_of(fan: Fan, positions: int = 1, chip: ChipSpec = LOIHI1) -> Stored:
    """Of all channels of a layer at as many positions."""
    channels = np.arange(fan.reader.out.shape[0])
    return stored(fan, chip, channels, positions, weight_bits(fan.reader, channels))


def dense_fan(targets: int, sources: int, density: float = 1.0) -> Fan:
    rng = np.random.default_rng(targets)
    weight = rng.choice((-1, 1), (targets, sources, 1, 1)) * 2 * rng.integers(1, 128, (targets, sources, 1, 1))
    return conv_fan(np.where(rng.random(weight.shape) < density, weight, 0), (1, 1), 0)


def test_a_full_layer_is_stored_dense_and_one_axon_takes_134_words() -> None:
    found = words_of(dense_fan(1024, 7))
    assert found.format.endswith(" dense")
    assert (found.longest, found.words, found.synapses) == (134, 7 * 134, 7 * 1024)


@pytest.mark.parametrize("targets", [64, 300, 1024])
def test_ninety_percent_pruned_takes_less_than_half(targets: int) -> None:
    full, pruned = words_of(dense_fan(targets, 20)), words_of(dense_fan(targets, 20, 0.1))
    assert "dense" in full.format
    assert "dense" not in pruned.format
    assert pruned.words < full.words / 2
    assert pruned.synapses < 0.2 * full.synapses


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9999), st.floats(0.05, 1.0), st.integers(1, 3), st.integers(2, 7), st.integers(1, 7))
def test_shared_lists_are_never_larger_than_lists_of_each_neuron(
    seed: int, density: float, kernel: int, height: int, width: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.integers(-100, 100, (5, 3, kernel, kernel)) * 2 * (rng.random((5, 3, kernel, kernel)) < density)
    grid = max(height, kernel), max(width, kernel)
    fan = conv_fan(weight, grid, kernel // 2)
    lists = fan_lists(fan, np.arange(5))
    assert lists.shared.count <= lists.discrete.count
    assert (lists.shared.synapses, lists.shared.targets) == (lists.discrete.synapses, lists.discrete.targets)
    places = fan.reader.out.shape[1] * fan.reader.out.shape[2]
    free = words_of(fan, places)
    alone = words_of(fan, places, replace(LOIHI1, shared_axon_positions=None))
    assert free.words <= alone.words
    assert free.synapses == alone.synapses <= int((weight != 0).sum())


def test_a_token_wise_layer_shares_its_weights_over_all_tokens() -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 100, (16, 12, 1, 1)) * 2
    one, many = (words_of(conv_fan(weight, (n, 1), 0), n) for n in (1, 50))
    assert many.format.startswith("shared")
    assert many.words <= 2 * one.words  # a longer index, no more weights
    assert many.synapses == one.synapses == weight.size


def test_pruning_a_convolution_never_adds_words() -> None:
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 100, (8, 4, 3, 3)) * 2
    order, words = rng.permutation(weight.size), []
    for kept in (288, 200, 100, 50, 20, 5, 1):
        pruned = np.zeros(weight.size, np.int64)
        pruned[order[:kept]] = weight.ravel()[order[:kept]]
        words.append(words_of(conv_fan(pruned.reshape(weight.shape), (6, 6), 1), 36).words)
    assert words == sorted(words, reverse=True)
    assert words[-1] < words[0] / 20
