"""The mapped network as SANA-FE's network file: groups of neurons, one edge for each synapse, and the core of each neuron."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.int_nodes import Ints
from pumice.runtime.sanafe.architecture import host_core
from pumice.runtime.sanafe.neurons import UNIT
from pumice.runtime.sanafe.plan import Plan, Population
from pumice.runtime.sanafe.synapses import Edges, edges_of


def network_lines(plan: Plan, frames: Ints) -> Iterator[str]:
    """The file, line by line. frames: spikes of the input, [T, …]."""
    yield "network:"
    yield "  name: network"
    yield "  groups:"
    trains = frames.reshape(len(frames), -1).T
    for host in plan.hosts.values():
        yield from _host_group(host, trains)
    for population in plan.populations.values():
        yield from _group(population)
    yield "  edges:"
    for population in plan.populations.values():
        for edges in edges_of(population.group, plan.program.graph):
            yield from _edges(plan, population, edges)
    yield "mappings:"
    for tile, host in plan.hosts.items():
        core = f"{_tile_number(plan, *tile)}.{host_core(plan)}"
        yield from (f'  - {host}.{k}: {{core: {core}, soma: "input[{k}]"}}' for k in range(plan.inputs))
    for population in plan.populations.values():
        yield from _mappings(plan, population)


def _host_group(name: str, trains: Ints) -> Iterator[str]:
    yield f"    - name: {name}"
    yield "      attributes: {log_spikes: true}"
    yield "      neurons:"
    for number, train in enumerate(trains):
        yield f"        - {number}: {{soma: {{spikes: [{', '.join(map(str, train))}]}}}}"


def _group(population: Population) -> Iterator[str]:
    soma, (_, positions) = population.soma, population.group.extent
    said = {"threshold": exact(soma.threshold), "reset": "0.0", "reset_mode": soma.reset}
    said |= {"leak_decay": repr(soma.kept / 4096), "input_decay": "0.0"}
    if soma.floor is not None:
        said |= {"reverse_threshold": exact(soma.floor), "reverse_reset_mode": "saturate"}
    watched = str(isinstance(population.group.neurons, i.Readout)).lower()
    yield f"    - name: {population.name}"
    yield "      attributes:"
    yield "        log_spikes: true"
    yield f"        log_potential: {watched}"
    yield f"        soma: {{{', '.join(f'{key}: {value}' for key, value in said.items())}}}"
    yield "      neurons:"
    for channel, (bias, start) in enumerate(zip(soma.bias, soma.start, strict=True)):
        own = f"soma: {{bias: {exact(bias)}, potential: {exact(start)}}}"
        yield f"        - {_range(channel * positions, (channel + 1) * positions - 1)}: {{{own}}}"


def _edges(plan: Plan, population: Population, edges: Edges) -> Iterator[str]:
    """A line for each synapse. The host's neurons stand on each tile that reads them."""
    if not isinstance(edges.source, i.GradedInput):
        source = plan.populations[edges.source.name].name
        names: Iterable[str] = (source,) * len(edges.targets)
    else:
        host = np.empty(population.neurons, object)
        for part in population.parts:
            host[part.members] = plan.hosts[part.site.x, part.site.y]
        names = host[edges.targets]
    for name, a, b, weight in zip(names, edges.sources, edges.targets, edges.weights, strict=True):
        yield f"    - {name}.{a} -> {population.name}.{b}: {{weight: {weight}}}"


def _mappings(plan: Plan, population: Population) -> Iterator[str]:
    for part in population.parts:
        core = f"{_tile_number(plan, part.site.x, part.site.y)}.{part.site.core}"
        units = f"soma: soma_{part.unit}, dendrite: dendrite_{part.unit}, synapse: {population.synapse}"
        for first, last in _runs(part.members):
            yield f"  - {population.name}.{_range(first, last)}: {{core: {core}, {units}}}"


def _tile_number(plan: Plan, x: int, y: int) -> int:
    """SANA-FE counts tiles down the columns of the mesh."""
    return x * plan.program.chip.mesh_rows + y


def _runs(members: Ints) -> Iterator[tuple[int, int]]:
    """Ascending numbers as ranges, (first, last) each."""
    for run in np.split(members, np.flatnonzero(np.diff(members) != 1) + 1):
        yield int(run[0]), int(run[-1])


def _range(first: int, last: int) -> str:
    return f"{first}..{last}" if last > first else str(first)


def exact(units: int) -> str:
    """1/64 current units as SANA-FE reads them, in currents: 24 bits and 6 binary places are exact."""
    return repr(int(units) / UNIT)
