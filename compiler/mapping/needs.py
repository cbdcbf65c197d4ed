"""What a network needs of a system at least, however it is cut and placed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.mapping.memory import WORD_BITS, stored_bits
from pumice.compiler.mapping.usage import Network
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec


@dataclass(frozen=True)
class Needs:
    """neurons: those that can ever send anything. words: 64-bit words of the weights' own bits, without indices or prefixes, each
    weight on one core only. synapses: stored ones, each on one core only."""

    neurons: int
    words: int
    synapses: int

    def cores(self, chip: ChipSpec) -> int:
        """The fewest cores that could do."""
        return max(self.cores_for_neurons(chip), self.cores_for_weights(chip))

    def cores_for_neurons(self, chip: ChipSpec) -> int:
        """As `cores`, by neurons alone."""
        return -(-self.neurons // chip.neurons_per_core)

    def cores_for_weights(self, chip: ChipSpec) -> int:
        """As `cores`, by synaptic memory alone; 0 where its size is not published."""
        return 0 if chip.synaptic_words_per_core is None else -(-self.words // chip.synaptic_words_per_core)

    def chips(self, chip: ChipSpec) -> dict[str, int]:
        """The fewest chips that could do, by what asks for them."""
        usable, most = chip.usable_cores_per_chip, chip.synapses_per_chip
        return {
            "neurons": -(-self.cores_for_neurons(chip) // usable),
            "weights": -(-self.cores_for_weights(chip) // usable),
            "synapses": 0 if most is None else -(-self.synapses // most),
        }


def needs_of(network: Network) -> Needs:
    """The least that any mapping of a network takes."""
    chip, living = network.chip, [name for name, layout in network.layouts.items() if all(layout.extent)]
    neurons = sum(layout.extent[0] * layout.extent[1] for layout in network.layouts.values())
    words = 0 if chip.synaptic_words_per_core is None else sum(least_words(network, name) for name in living)
    synapses = 0 if chip.synapses_per_chip is None else sum(_synapses(network, name) for name in living)
    return Needs(neurons, words, synapses)


def _synapses(network: Network, name: str) -> int:
    """Stored synapses of a group at one position: those that all positions share."""
    channels, positions = network.layouts[name].extent
    return network.slice_of(name, (0, channels), (positions // 2, positions // 2 + 1)).synapses


def least_words(network: Network, name: str) -> int:
    """Words of the weights of a group, rounded down."""
    return sum(_weight_bits(node) for node in network.groups[name].synapses if isinstance(node, i.Synapse)) // WORD_BITS


def _weight_bits(node: i.Synapse) -> int:
    """Bits of all weights of a layer, if each channel stores its own as narrow as they are."""
    rows = node.weight.reshape(len(node.weight), -1)
    counts = arith.synapse_counts(rows, node.signs).sum(axis=1)
    return int(counts @ np.array([stored_bits(row, node.signs) for row in rows]))
