"""Messages of a run on the links of the mesh, against walking every message's way by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images

from pumice.compiler.mapping.mesh import LinkLoads, places_of
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable
from pumice.runtime.links import DIRECTIONS, busiest_links, run_loads
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2)
STEPS = {"east": (1, 0), "west": (-1, 0), "south": (0, 1), "north": (0, -1)}
Link = tuple[str, int, int]


def ran(program: Program, samples: int = 5) -> CountTable:
    counts = Reference().run(program, images(CONFIG, samples)).counts
    assert counts is not None
    return counts


@pytest.fixture
def spread(compiled: Callable[..., Program]) -> Program:
    """A network on many small cores, of a mesh of 3 x 2 tiles a chip."""
    whole = compiled(CONFIG)
    mesh = {"mesh_columns": 3, "mesh_rows": 2, "cores_per_tile": 2, "usable_cores_per_chip": 11, "chip_columns": 2}
    return on_cores(whole.graph, replace(whole.chip, neurons_per_core=60, **mesh), whole.options)


def way(a: tuple[int, int], b: tuple[int, int]) -> Iterator[Link]:
    """The links of a message: along X first, then along Y."""
    (x, y), (xb, yb) = a, b
    while (x, y) != (xb, yb):
        direction = ("east" if xb > x else "west") if x != xb else ("south" if yb > y else "north")
        yield direction, x, y
        x, y = x + STEPS[direction][0], y + STEPS[direction][1]


def walked(program: Program, counts: CountTable) -> Counter[Link]:
    """Messages over each link, each flow walked tile by tile."""
    places, found = places_of(program.mapping.sites, program.chip), Counter[Link]()
    at = list(zip(places.x.tolist(), places.y.tolist(), strict=True))
    for source, target, messages in zip(counts.flows.source, counts.flows.target, counts.flows.messages, strict=True):
        for link in way(at[source], at[target]):
            found[link] += messages.sum() / counts.samples
    return Counter({link: load for link, load in found.items() if load})


def by_link(loads: LinkLoads) -> dict[Link, float]:
    arrays = {direction: getattr(loads, direction) for direction in DIRECTIONS}
    return {(d, x, y): load for d, array in arrays.items() for (y, x), load in np.ndenumerate(array) if load}


def test_loads_are_those_of_every_message_walked(spread: Program) -> None:
    counts = ran(spread)
    assert spread.mapping.chips > 2
    expected = walked(spread, counts)
    got = by_link(run_loads(spread, counts))
    assert {direction for direction, _, _ in got} == set(DIRECTIONS)
    assert got == pytest.approx(expected)


def test_flows_are_the_messages_and_the_hops_that_rows_count(spread: Program) -> None:
    counts, flows = ran(spread), ran(spread).flows
    from_host = sum(row.messages.sum() for row in counts.rows) - flows.messages.sum()
    entering = {row.layer for row in counts.rows if row.macs.any()}
    assert from_host == sum(row.messages.sum() for row in counts.rows if row.layer in entering)
    hops = places_of(spread.mapping.sites, spread.chip).hops(flows.source, flows.target)
    for name, links in zip(("hops_ew", "hops_ns", "hops_chip"), hops, strict=True):
        assert counts.total(name) == (flows.messages.sum(axis=1) * links).sum() > 0
    for core in range(len(spread.mapping.cores)):
        arrived = flows.messages[flows.target == core].sum(axis=0)
        rows = [row for row in counts.rows if row.core == core]
        if not entering & {row.layer for row in rows}:
            assert np.array_equal(arrived, sum(row.messages for row in rows))


def test_flows_of_batches_add_up(spread: Program, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ran(spread, 6).flows
    monkeypatch.setattr("pumice.runtime.reference.batches", lambda *_: [slice(0, 1), slice(1, 4), slice(4, 6)])
    parts = ran(spread, 6).flows
    assert parts.layers == whole.layers
    assert np.array_equal(parts.messages, whole.messages)


def test_the_busiest_links_say_whose_messages_cross_them(spread: Program) -> None:
    counts = ran(spread)
    links, expected = busiest_links(spread, counts), walked(spread, counts)
    assert [link.messages for link in links] == pytest.approx([load for _, load in expected.most_common(5)])
    chip = spread.chip
    for link in links:
        row, column = divmod(link.chip, chip.chip_columns)
        x, y = column * chip.mesh_columns + link.x, row * chip.mesh_rows + link.y
        assert link.messages == pytest.approx(expected[link.direction, x, y])
        assert sum(link.layers.values()) == pytest.approx(link.messages)
        assert list(link.layers.values()) == sorted(link.layers.values(), reverse=True)
        assert set(link.layers) <= {row.layer for row in counts.rows}
        ahead = x + STEPS[link.direction][0], y + STEPS[link.direction][1]
        same = (ahead[0] // chip.mesh_columns, ahead[1] // chip.mesh_rows) == (column, row)
        assert link.between_chips != same


def test_a_program_on_one_tile_loads_no_link(compiled: Callable[..., Program]) -> None:
    program = compiled(TinySpikformer())
    assert len({(site.x, site.y) for site in program.mapping.sites}) == 1
    counts = Reference().run(program, images(TinySpikformer(), 2)).counts
    assert counts is not None
    assert busiest_links(program, counts) == []
    assert run_loads(program, counts).largest == 0
