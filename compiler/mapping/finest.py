"""The finest slice of each group: the neuron that needs most. Where it does not fit a core alone, no cut of its layer does."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group
from pumice.compiler.mapping.pieces import Item
from pumice.compiler.mapping.taps import taps_of
from pumice.compiler.mapping.usage import Network

Ints = NDArray[np.int64]


def finest(network: Network, name: str) -> Item | None:
    """The neuron of a group with the most synapses; None where nothing of the group can ever send anything."""
    layout, group = network.layouts[name], network.groups[name]
    channels, positions = layout.extent
    if channels * positions == 0:
        return None
    channel = int(np.argmax(inputs_per_channel(group)[layout.channels]))
    place = int(np.argmax(_taps_per_position(network, group)[layout.positions]))
    return Item(name, (channel, channel + 1), (place, place + 1), "positions")


def inputs_per_channel(group: Group) -> Ints:
    """Weights that are not zero, of each channel of a group, [C]; without weights all channels are alike."""
    counts = np.zeros(group.extent[0], np.int64)
    for node in group.synapses:
        if isinstance(node, i.Synapse):
            counts += np.count_nonzero(node.weight.reshape(len(node.weight), -1), axis=1)
    return counts


def _taps_per_position(network: Network, group: Group) -> Ints:
    """Taps that lie inside the source's map, at each position of a group, [P]."""
    positions = np.arange(group.extent[1])
    counts = np.zeros(len(positions), np.int64)
    for node in group.synapses:
        if isinstance(node, i.Synapse | i.OrPool | i.MaxPool) and not isinstance(group.neurons, i.Readout):
            counts += (taps_of(node, network.graph.nodes[node.inputs[0]].out.shape, positions) >= 0).sum(axis=0)
    return counts
