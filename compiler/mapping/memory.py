"""Synaptic memory: how many 64-bit words the synapses of a slice take, in each format that is legal for them.

A stream's synapses are lists, one per axon. Discrete: one list for each source neuron. Shared: one for each source channel and
each pattern of targets around a base, which the axon names (convolutions, token-wise layers). A list is stored dense (a weight
for every target), sparse (an index beside each weight) or run-length (the zeros skipped beside each weight). Source of the
formula: NxTF, arXiv 2101.04261, and Intel's code for it; the figures are the chip's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.mapping.fans import Fan
from pumice.hwsim import arith
from pumice.hwsim.arith import Signs
from pumice.hwsim.spec import ChipSpec

Ints = NDArray[np.int64]
WORD_BITS = 64
FULL_WORD = 59  # bits in a last word from which on one more is taken
SKIP_BITS = (2, 3, 4, 5)
ONE_BITS = 2  # of a shared weight of 1


@dataclass(frozen=True)
class Stored:
    """How one stream's synapses are stored: format, words in all, words of the longest list, lists, axons into the core,
    synapses."""

    format: str
    words: int
    longest: int
    axons: int
    synapses: int


def stored(fan: Fan, chip: ChipSpec, channels: Ints, positions: int, weight: int) -> Stored:
    """The cheapest legal form of a stream's synapses in a slice of `channels` and as many `positions`. weight: bits of one."""
    neurons = int(np.count_nonzero(fan.reached))
    if fan.targets is None:
        return Stored("products", 0, 0, neurons, 0)
    bits = weight + fan.delay.bit_length()
    synapses = int(fan.per_channel[:, (fan.targets >= 0).any(axis=1)].sum())  # at a border some taps join nothing
    if chip.synapse_prefix_bits is None:  # what is known of the format: that it holds the weights
        return Stored("weights alone", -(-synapses * bits // WORD_BITS), 0, neurons, synapses)
    lists, width = fan_lists(fan, channels), len(channels) * positions
    forms = [_form("discrete", lists.discrete, bits, width, chip, neurons, synapses)]
    if positions <= (chip.shared_axon_positions or 0):
        forms.append(_form("shared", lists.shared, bits, width, chip, shared_axons(fan, chip), synapses))
    return min(forms, key=lambda form: (_illegal(form, chip), form.words, form.axons))


def shared_axons(fan: Fan, chip: ChipSpec) -> int:
    """Axons of a stream whose neurons share their channel's lists: one for each position, for as many channels as it can tell
    apart."""
    most = chip.shared_axon_channels or len(fan.per_channel)
    return len(fan.sources) * -(-len(fan.per_channel) // most)


def _illegal(form: Stored, chip: ChipSpec) -> bool:
    return chip.words_per_axon is not None and form.longest > chip.words_per_axon


@dataclass(frozen=True, eq=False)
class Lists:
    """Synapse lists of a stream: `count` of them, the longest with `synapses` of `targets` that a dense list would name."""

    count: int
    synapses: int
    targets: int


@dataclass(frozen=True, eq=False)
class BothLists:
    """The lists of a stream when each source neuron has its own, and when the neurons of a channel share theirs."""

    discrete: Lists
    shared: Lists


def fan_lists(fan: Fan, channels: Ints) -> BothLists:
    """The lists of a fan into `channels`, whose synapses are stored."""
    assert fan.targets is not None
    of_channel = reachable_channels(fan, channels)
    patterns, repeats = np.unique(_patterns(fan.targets), axis=1, return_counts=True)
    held = (patterns >= 0).astype(np.int64)  # [K, U]
    synapses = fan.per_channel @ held  # [C, U]
    used = synapses > 0
    longest, targets = (
        int(synapses.max(initial=0)),
        int((held.sum(axis=0) * (used * of_channel[:, None])).max(initial=0)),
    )
    discrete = Lists(int((used * repeats).sum()), longest, targets)
    return BothLists(discrete, Lists(int(used.sum()), longest, targets))


def _patterns(targets: Ints) -> Ints:
    """Targets of each source position relative to its first one, [K, P']; -1 stays."""
    base = np.where(targets < 0, np.iinfo(np.int64).max, targets).min(axis=0, initial=np.iinfo(np.int64).max)
    return np.where(targets < 0, -1, targets - base)


def reachable_channels(fan: Fan, channels: Ints) -> Ints:
    """How many of `channels` a dense list of each source channel names, [C]."""
    node, size = fan.reader, len(fan.per_channel)
    if not isinstance(node, i.Synapse):
        return np.ones(size, np.int64)
    of_group = np.bincount(channels // (node.weight.shape[0] // node.groups), minlength=node.groups)
    return np.repeat(of_group, size // node.groups)


def weight_bits(reader: Node, channels: Ints) -> int:
    """Bits of one weight that a node stores for some of its channels."""
    return stored_bits(reader.weight[channels], reader.signs) if isinstance(reader, i.Synapse) else ONE_BITS


def stored_bits(weights: NDArray[np.int64], signs: Signs) -> int:
    """Bits of one stored weight: what the layer's own largest weight 2q needs for q and its sign; or the largest magnitude, where
    a list has the sign."""
    low, high = arith.ONE_SYNAPSE[signs]
    largest = max(min(int(weights.max(initial=0)), high), -max(int(weights.min(initial=0)), low))
    return max(largest, 1).bit_length() if signs == "split" else max(largest >> 1, 1).bit_length() + 1


def _form(kind: str, lists: Lists, bits: int, width: int, chip: ChipSpec, axons: int, synapses: int) -> Stored:
    """Lists in their cheapest layout. Every list of a group of axons takes the room of its longest."""
    index = index_bits(width, chip)
    sizes = {
        "dense": dense_words(lists.targets, bits, index, chip),
        "sparse": sparse_words(lists.synapses, bits, index, chip),
        "run-length": run_length_words(lists.synapses, lists.targets - lists.synapses, bits, index, chip),
    }
    name, longest = min(sizes.items(), key=lambda item: item[1])
    return Stored(f"{kind} {name}", lists.count * longest, longest, axons, synapses)


def index_bits(targets: int, chip: ChipSpec) -> int:
    """Bits of an index to one of `targets` neurons."""
    assert chip.index_bits_min is not None
    assert chip.index_bits_max is not None
    return min(max((targets - 1).bit_length(), chip.index_bits_min), chip.index_bits_max)


def dense_words(targets: int, bits: int, index: int, chip: ChipSpec) -> int:
    """Words of a list with a weight for each of `targets` neurons."""
    return _words(targets, bits, index, chip)


def sparse_words(synapses: int, bits: int, index: int, chip: ChipSpec) -> int:
    """Words of a list of weights with the index of each target."""
    return _words(synapses, bits + index, 0, chip)


def run_length_words(synapses: int, zeros: int, bits: int, index: int, chip: ChipSpec) -> int:
    """Words of a list of weights with the zeros skipped before each: at most, since a run longer than the skip field's reach
    takes a weight of 0, and how the zeros are spread is not looked at."""
    return min(_words(synapses + (zeros >> skip), bits + skip, index, chip) for skip in SKIP_BITS)


def _words(synapses: int, bits_each: int, index: int, chip: ChipSpec) -> int:
    """Words of one list: entries of a prefix, an index where the format has one, and up to 60 synapses."""
    assert chip.synapse_prefix_bits is not None
    assert chip.synapses_per_entry is not None
    entries = -(-synapses // chip.synapses_per_entry)
    bits = entries * (chip.synapse_prefix_bits + index) + synapses * bits_each
    words, rest = -(-bits // WORD_BITS), bits % WORD_BITS
    return words + (rest == 0 or rest >= FULL_WORD)
