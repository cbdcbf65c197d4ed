"""What would make a network fit that does not: each remedy computed, none guessed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Node
from pumice.compiler.mapping.fans import Wiring
from pumice.compiler.mapping.needs import Needs, needs_of
from pumice.compiler.mapping.partial_sums import why_whole
from pumice.compiler.mapping.pieces import Item
from pumice.compiler.mapping.usage import Network
from pumice.compiler.weight_grid import WeightGrid
from pumice.hwsim.spec import ChipSpec

INPUTS, WORDS = "input axons per core", "synaptic memory words per core"  # what fewer synapses make less


def for_slice(network: Network, item: Item, resource: str, used: int, limit: int) -> str:
    """What would make the finest slice of a group fit one limit of a core."""
    ways: list[str] = []
    if resource == WORDS:
        ways += _bits(network, lambda n: n.slice_of(item.group, item.channels, item.positions).words <= limit)
    inputs = resource in (INPUTS, WORDS)
    weights = any(isinstance(node, i.Synapse) for node in network.groups[item.group].synapses)
    if weights and inputs:
        ways.append(f"prune {_share(used, limit)} of its neurons' weights")
    reason = why_whole(network.groups[item.group], network.graph, network.chip) if inputs else ""
    ways = ways or [f"a chip with {resource} of {used:,} or more"]
    return f"{item.group}: {' or '.join(ways)}{f' ({reason})' if reason else ''}"


def for_network(network: Network, needs: Needs) -> Iterator[str]:
    """What would make a whole network fit the chips allowed, by what even the best mapping needs."""
    chip = network.chip
    chips, most = needs.chips(chip), chip.max_chips
    yield f"allow {max(chips.values()):,} chips or more"
    if chips["neurons"] > most:
        yield from _retention(network, needs)
    if chips["weights"] > most:
        yield from _bits(network, lambda n: needs_of(n).chips(chip)["weights"] <= most)
    share = max(_over(needs.words, _words_of(chip)), _over(needs.synapses, (chip.synapses_per_chip or 0) * most))
    if share:
        yield f"prune {share:.0%} of the weights or more"


def _words_of(chip: ChipSpec) -> int:
    return (chip.synaptic_words_per_core or 0) * chip.usable_cores_per_chip * chip.max_chips


def _over(used: int, limit: int) -> float:
    """Which share of `used` is beyond a limit; 0 where there is none."""
    return max(0.0, 1 - limit / used) if limit and used else 0.0


def _share(used: int, limit: int) -> str:
    return f"{-(-100 * (used - limit) // used)}%"


def _bits(network: Network, fits: Callable[[Network], bool]) -> Iterator[str]:
    """The widest weights, narrower than the chip's, with which something fits."""
    for bits in range(network.chip.weight_bits - 1, 1, -1):
        if fits(with_weight_bits(network, bits)):
            yield f"weights of at most {bits} bits"
            return


def with_weight_bits(network: Network, bits: int) -> Network:
    """The network as if its weights had fewer bits, and none became 0 by it."""
    nodes = {name: _narrowed(node, bits) for name, node in network.graph.nodes.items()}
    graph = replace(network.graph, nodes=nodes)
    groups = {
        name: replace(group, synapses=tuple(nodes[node.name] for node in group.synapses))
        for name, group in network.groups.items()
    }
    return Network(graph, network.chip, groups, network.layouts, Wiring(graph))


def _narrowed(node: Node, bits: int) -> Node:
    if not isinstance(node, i.Synapse):
        return node
    grid = WeightGrid(bits, node.signs)
    return replace(node, weight=node.weight.clip(grid.low * grid.step, grid.high * grid.step), synapses=1)


def _retention(network: Network, needs: Needs) -> Iterator[str]:
    """Which share of the tokens that static masks route now may still be routed."""
    masked = sum(
        layout.extent[0] * layout.extent[1]
        for name, layout in network.layouts.items()
        if layout.extent[1] < network.groups[name].extent[1]
    )
    chip = network.chip
    room = chip.neurons_per_core * chip.usable_cores_per_chip * chip.max_chips - (needs.neurons - masked)
    if masked and room > 0:
        yield f"a lower retention, so that static masks route {100 * room // masked}% of the tokens that they route now"
