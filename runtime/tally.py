"""What a batch of samples did, neuron by neuron: all that an executor hands over to be counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import Group, groups_of, mask_input, origin
from pumice.compiler.ir import Graph, Node
from pumice.compiler.spike_rates import carried
from pumice.compiler.streams import holds_reals
from pumice.hwsim import arith, counters

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]
SUMS = ("events", "payloads", "active", "coincidences", "products")  # of a tally: its arrays without samples


@dataclass(frozen=True, eq=False)
class Tally:
    """What one batch of samples did, summed over its samples. [C, P]: channels and flattened positions of the node of that name.

    events: by stream, how many samples' values are not 0, [T, C, P]. payloads: by stream, the sum of the values, [T, C, P].
    active: by layer, how many samples found each neuron active, [T, C, P]. coincidences: by `SpikeMatmul`, pairs of nonzero
    operands that meet at each of its outputs, [T, C, P]. products: the same pairs, each weighted by the product of its payloads.
    masks: by mask, which tokens are routed, [T, B, N]. silent: by gated membrane, where its value is 0, [T, B, C, P].
    """

    samples: int
    events: Mapping[str, Ints]
    payloads: Mapping[str, Ints]
    active: Mapping[str, Ints]
    coincidences: Mapping[str, Ints]
    products: Mapping[str, Ints]
    masks: Mapping[str, Bools]
    silent: Mapping[str, Bools]


@dataclass(frozen=True)
class Wanted:
    """The names of a tally's entries that a graph's counts need. matmuls: of both coincidences and products."""

    events: tuple[str, ...]
    payloads: tuple[str, ...]
    active: tuple[str, ...]
    matmuls: tuple[str, ...]
    masks: tuple[str, ...]
    silent: tuple[str, ...]


def wanted(graph: Graph) -> Wanted:
    """What an executor has to tally of a balanced graph: the streams that its neurons read, and what they themselves do."""
    groups = groups_of(graph)
    neurons = [group.neurons for group in groups]
    matmuls = [node for group in groups for node in group.synapses if isinstance(node, i.SpikeMatmul)]
    weighted = [name for group in groups for name in _weighted(group)]
    payloads = [*(name for name in weighted if not holds_reals(name, graph.nodes)), *map(spike_operand, matmuls)]
    return Wanted(
        events=_once(*carried(graph)),
        payloads=_once(*payloads),
        active=_once(*(n.name for n in neurons if isinstance(n, i.IntLif | i.Programmable | i.Levels | i.Membrane))),
        matmuls=_once(*(node.name for node in matmuls)),
        masks=_once(*(mask_of(node, graph) for node in neurons if mask_input(node))),
        silent=_once(*(node.name for node in neurons if isinstance(node, i.Membrane) and node.gated)),
    )


def spike_operand(node: i.SpikeMatmul) -> str:
    """Which operand's mean stands for the firing rate in a product's eq25: never the counts that the other half has made."""
    return node.inputs[1] if node.pattern == "scores-values" else node.inputs[0]


def mask_of(neurons: Node, graph: Graph) -> str:
    """The mask source that rules gated neurons, "" where nothing does; samples are tallied without its delays."""
    mask = mask_input(neurons)
    return origin(mask, graph).name if mask else ""


def _weighted(group: Group) -> tuple[str, ...]:
    """The streams whose operations are weighted by their payloads; those of products are by both operands' together."""
    synapses = [node for node in group.synapses if not isinstance(node, i.SpikeMatmul)]
    return (*(name for node in synapses for name in node.inputs), *group.streams)


def _once(*names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def tally_of(graph: Graph, names: Wanted, values: Mapping[str, Ints], active: Mapping[str, Ints]) -> Tally:
    """The tally of a walk: its values by node [T, B, …], and active neurons by layer [T, C, …]."""
    samples = next(iter(values.values())).shape[1]
    matmuls = [node for node in map(graph.nodes.__getitem__, names.matmuls) if isinstance(node, i.SpikeMatmul)]
    payloads = _by_source(graph, names.payloads, lambda name: counters.payload_per_neuron(values[name]))
    coincidences = {node.name: _coincidences(node, values) for node in matmuls}
    return Tally(
        samples=samples,
        events=_by_source(graph, names.events, lambda name: _events(graph.nodes[name], values, payloads)),
        payloads=payloads,
        active={name: active[name].reshape(*active[name].shape[:2], -1) for name in names.active},
        coincidences=coincidences,
        products={node.name: products_of(node, graph, values, coincidences[node.name], samples) for node in matmuls},
        masks={name: values[name] != 0 for name in names.masks},
        silent={name: (values[name] == 0).reshape(*values[name].shape[:3], -1) for name in names.silent},
    )


def _by_source(graph: Graph, names: Iterable[str], sums: Callable[[str], Ints]) -> dict[str, Ints]:
    """Sums by stream; a delayed stream's are those of the stream itself, summed once."""
    sources = {name: _undelayed(name, graph) for name in names}
    found = {source: sums(source) for source in dict.fromkeys(sources.values())}
    return {name: found[source] for name, source in sources.items()}


def _events(node: Node, values: Mapping[str, Ints], payloads: Mapping[str, Ints]) -> Ints:
    """Samples' values that are not 0; of spikes, which are 0 or 1, these are the payloads."""
    if node.out.low < 0 or node.out.high > 1:
        return counters.spikes_per_neuron(values[node.name])
    return payloads[node.name] if node.name in payloads else counters.payload_per_neuron(values[node.name])


def _undelayed(name: str, graph: Graph) -> str:
    while isinstance(graph.nodes[name], i.Delay):
        name = graph.nodes[name].inputs[0]
    return name


def _coincidences(node: i.SpikeMatmul, values: Mapping[str, Ints]) -> Ints:
    a, b = (values[name] for name in node.inputs)
    return counters.coincidences(*arith.head_operands(node.pattern, a, b, node.heads))


def products_of(
    node: i.SpikeMatmul, graph: Graph, values: Mapping[str, Ints], coincidences: Ints, samples: int
) -> Ints:
    """A product's entry in `Tally.products`, from its operands' values [T, B, …] and its coincidences."""
    types = [graph.nodes[name].out for name in node.inputs]
    if all(out.high <= 1 for out in types):
        return coincidences
    a, b = (values[name] for name in node.inputs)
    bound = samples * max(i.largest_sum(node, *types), 1)
    return counters.products(*arith.head_operands(node.pattern, a, b, node.heads), bound)


def added(total: Tally | None, more: Tally) -> Tally:
    """A total with one batch more, or the first; single samples (masks, silent) are not kept. The total's own arrays are written
    on, since those of a large network fill a GiB. Arrays that stand in several places (spikes' events are their payloads) are
    added once and stay shared."""
    pairs = {
        (field, name): (getattr(total, field)[name] if total else None, new)
        for field in SUMS
        for name, new in getattr(more, field).items()
    }
    different = {(id(old), id(new)): (old, new) for old, new in pairs.values()}
    partners = Counter(old for old, _ in different)
    sums = {key: _plus(*pair, alone=partners[key[0]] == 1) for key, pair in different.items()}

    def of(field: str) -> dict[str, Ints]:
        return {name: sums[id(old), id(new)] for (where, name), (old, new) in pairs.items() if where == field}

    samples = more.samples + (total.samples if total else 0)
    events, payloads, active, coincidences, products = map(of, SUMS)
    return Tally(samples, events, payloads, active, coincidences, products, {}, {})


def _plus(old: Ints | None, new: Ints, alone: bool) -> Ints:
    """alone: nobody else adds something else to `old`, so that it may be written on."""
    if old is None:
        return np.array(new, np.int64, order="C")
    return np.add(old, new, out=old if alone else None)
