"""Messages, hops and link loads of a run, against every spike followed link by link over the joined meshes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mapped import on_cores
from mapping_networks import NETS, network, synapses_of
from stream_networks import schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.groups import groups_of, origin
from pumice.compiler.mapping.mesh import places_of
from pumice.compiler.mapping.score import loads
from pumice.compiler.mapping.traffic import traffic_of
from pumice.compiler.mapping.usage import network_of
from pumice.compiler.program import Program, Site
from pumice.compiler.walk import walk
from pumice.hwsim.spec import ChipSpec, load_chip
from pumice.runtime.reference import Reference, input_frames, mask_schedule

Message = tuple[int, int, int, int]  # timestep, from core (-1 for the host), to core, how many
Link = tuple[int, int, int, int]  # from tile (x, y) to tile (x, y), over all chips


@st.composite
def spread(draw: st.DrawFn) -> Callable[[Program], Program]:
    """Cores of a few neurons at random sites of small chips, several in a row."""
    rows, columns, tiles = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    neurons, in_row, seed = draw(st.integers(20, 90)), draw(st.integers(1, 4)), draw(st.integers(0, 99))
    chip = replace(
        load_chip("loihi2"),
        **{"mesh_rows": rows, "mesh_columns": columns, "cores_per_tile": tiles, "chip_columns": in_row},
        usable_cores_per_chip=rows * columns * tiles,
        neurons_per_core=neurons,
        max_chips=400,
    )

    def make(program: Program) -> Program:
        cut = on_cores(program.graph, chip)
        every = [
            Site(n, *at, core)
            for n in range(chip.max_chips)
            for at in np.ndindex(columns, rows)
            for core in range(tiles)
        ]
        order = np.random.default_rng(seed).permutation(len(every))[: len(cut.mapping.cores)]
        sites = tuple(every[k] for k in order)
        return replace(cut, mapping=replace(cut.mapping, sites=sites))

    return make


def inputs_of(name: str) -> tuple[np.ndarray, np.ndarray | None]:
    """Two random samples, and their masks where they need some."""
    graph = network(name).graph
    entry = next(node for node in graph.nodes.values() if isinstance(node, i.GradedInput))
    steps = (graph.timesteps,) if graph.encoding == "frames" else ()
    x = np.random.default_rng(1).integers(0, 2, (2, *steps, *entry.out.shape)).astype(np.float64)
    return x, schedule(2) if name == "every operation" else None


def values_of(program: Program, name: str) -> dict[str, np.ndarray]:
    x, masks = inputs_of(name)
    frames = input_frames(program.graph, x)
    return walk(program.graph, frames, mask_schedule(program.graph, masks, len(x)))[0]


def carried(name: str, program: Program, values: dict[str, np.ndarray]) -> np.ndarray:
    """Which spikes of a stream's neurons get through on this way, at the time when they are sent, [T, B, neurons]."""
    node, steps = program.graph.nodes[name], program.graph.timesteps
    match node:
        case i.Past() | i.Feedback():
            sent = carried(node.of if isinstance(node, i.Feedback) else node.inputs[0], program, values)
            late = np.arange(steps)[:, None] + np.broadcast_to(node.steps, node.out.shape).ravel() >= steps
            return sent & ~late[:, None]
        case i.Delay() | i.Reshape():
            return carried(node.inputs[0], program, values)
        case i.TokenGate():
            sent, mask = carried(node.inputs[0], program, values), values[node.inputs[1]] > 0
            return (sent.reshape(*sent.shape[:2], -1, mask.shape[2]) & mask[:, :, None]).reshape(sent.shape)
        case _:
            return values[name].reshape(*values[name].shape[:2], -1) != 0


def messages(program: Program, values: dict[str, np.ndarray]) -> Iterator[Message]:
    """Each spike once to each core that has a synapse for it, if it is routed there on any way."""
    graph, mapping = program.graph, program.mapping
    groups = {group.name: group for group in groups_of(graph)}
    owner: dict[str, np.ndarray] = {}
    for core, cuts in enumerate(mapping.cores):
        for cut in cuts:
            extent = groups[cut.group].extent
            held = owner.setdefault(cut.group, np.full(extent, -1))
            held[np.ix_(mapping.channels_of(cut), mapping.positions_of(cut))] = core
    reach = {name: list(synapses_of(group, graph)) for name, group in groups.items()}
    for core, cuts in enumerate(mapping.cores):
        arrived: dict[str, np.ndarray] = {}
        for cut in cuts:
            targets = mapping.channels_of(cut)[:, None] * groups[cut.group].extent[1] + mapping.positions_of(cut)
            for stream, every in reach[cut.group]:
                sent = carried(stream, program, values)
                sender = origin(stream, graph).name
                reached = sent & every[:, targets.ravel()].any(axis=1)
                arrived[sender] = arrived.get(sender, np.zeros_like(reached)) | reached
        for sender, spikes in arrived.items():
            from_core = owner[sender].ravel() if sender in owner else np.full(spikes.shape[2], -1)
            for t, _, neuron in np.argwhere(spikes):
                yield int(t), int(from_core[neuron]), core, 1


def tile(site: Site, chip: ChipSpec) -> tuple[int, int]:
    down, across = divmod(site.chip, chip.chip_columns)
    return across * chip.mesh_columns + site.x, down * chip.mesh_rows + site.y


def way(a: tuple[int, int], b: tuple[int, int]) -> Iterator[Link]:
    """Step by step along X, then along Y."""
    x, y = a
    while x != b[0]:
        step = 1 if b[0] > x else -1
        yield x, y, x + step, y
        x += step
    while y != b[1]:
        step = 1 if b[1] > y else -1
        yield x, y, x, y + step
        y += step


def kind(link: Link, chip: ChipSpec) -> str:
    """Between chips, or within one from east to west or from north to south."""
    x, y, to_x, to_y = link
    if x // chip.mesh_columns != to_x // chip.mesh_columns or y // chip.mesh_rows != to_y // chip.mesh_rows:
        return "hops_chip"
    return "hops_ew" if x != to_x else "hops_ns"


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(sorted(NETS)), spread())
def test_every_spike_followed(name: str, make: Callable[[Program], Program]) -> None:
    program = make(network(name))
    chip, x, masks = program.chip, *inputs_of(name)
    tiles = [tile(site, chip) for site in program.mapping.sites]
    wanted, over = Counter[tuple[str, int, int]](), Counter[Link]()
    delayed = any(isinstance(node, i.Past | i.Feedback) for node in program.graph.nodes.values())
    for t, source, target, count in messages(program, values_of(program, name)):
        t *= not delayed  # a delayed spike is counted when it takes effect
        wanted["messages", target, t] += count
        for link in way(tiles[source], tiles[target]) if source >= 0 else ():
            wanted[kind(link, chip), target, t] += count
            over[link] += count
    counts = Reference().run(program, x, masks).counts
    assert counts is not None
    found = Counter[tuple[str, int, int]]()
    for row in counts.rows:
        for field in ("messages", "hops_ew", "hops_ns", "hops_chip"):
            for t, number in enumerate(getattr(row, field)):
                found[field, row.core, t * (not delayed)] += int(number)
    assert +found == +wanted
    assert link_loads_of(program, name) == over


def link_loads_of(program: Program, name: str) -> Counter[Link]:
    """What the placement is judged by, for the rates of this very run."""
    values = values_of(program, name)
    rates = {
        stream: (value != 0).sum(axis=(0, 1)).reshape(value.shape[2], -1).astype(np.float32)
        for stream, value in values.items()
        if value.ndim > 2
    }
    traffic = traffic_of(program.mapping.cores, network_of(program.graph, program.chip), rates)
    sites = program.mapping.sites
    found, over = loads(traffic, places_of(sites, program.chip)), Counter[Link]()
    steps = {"east": (1, 0), "west": (-1, 0), "south": (0, 1), "north": (0, -1)}
    for side, (dx, dy) in steps.items():
        for (y, x), load in np.ndenumerate(getattr(found, side)):
            if load:
                over[int(x), int(y), int(x) + dx, int(y) + dy] = int(load)
    return over


@pytest.mark.parametrize("name", ["static masks", "every operation"])
def test_the_networks_send_over_all_kinds_of_links(name: str) -> None:
    chip = replace(
        load_chip("loihi2"), mesh_rows=2, mesh_columns=2, cores_per_tile=1, usable_cores_per_chip=4, neurons_per_core=40
    )
    program = on_cores(network(name).graph, replace(chip, chip_columns=2))
    x, masks = inputs_of(name)
    counts = Reference().run(program, x, masks).counts
    assert counts is not None
    assert all(counts.total(field) > 0 for field in ("messages", "hops_ew", "hops_ns", "hops_chip"))
