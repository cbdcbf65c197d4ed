"""Placement: the curve, the mesh and its routes, and searches that know exactly what a swap changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.compiler.mapping.curve import grid_coordinates, hilbert_index
from pumice.compiler.mapping.mesh import Places, distances, link_loads, places_of
from pumice.compiler.mapping.placing.exchange import exchange, swapped, tiles_swapped
from pumice.compiler.mapping.placing.force import force_directed
from pumice.compiler.mapping.placing.greedy import greedy
from pumice.compiler.mapping.placing.search import Ints, Task, begin
from pumice.compiler.mapping.placing.sites import along_curve, curve_of_tiles, row_by_row, spread, to_and_fro, trimmed
from pumice.compiler.program import Site
from pumice.errors import DoesNotFit
from pumice.hwsim.spec import load_chip

LOIHI = load_chip("loihi2")


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_the_curve_visits_every_cell_and_steps_to_neighbours(order: int) -> None:
    side = 1 << order
    x, y = (axis.reshape(-1) for axis in np.meshgrid(np.arange(side), np.arange(side)))
    index = hilbert_index(x, y, order)
    assert sorted(index) == list(range(side * side))
    walk = np.argsort(index)
    assert np.all(np.abs(np.diff(x[walk])) + np.abs(np.diff(y[walk])) == 1)


def test_the_same_place_has_the_same_coordinate_at_every_resolution() -> None:
    coarse, fine = grid_coordinates(8, 8).reshape(8, 8), grid_coordinates(16, 16).reshape(16, 16)
    for y in range(8):
        for x in range(8):
            inside = fine[2 * y : 2 * y + 2, 2 * x : 2 * x + 2]
            assert inside.min() - 1 / 64 < coarse[y, x] < inside.max() + 1 / 64
    assert np.all(np.diff(grid_coordinates(1, 9)) > 0)


def test_neighbours_on_the_walk_over_tiles_and_chips_are_neighbours_on_the_mesh() -> None:
    tiles = curve_of_tiles(LOIHI)
    assert sorted(tiles) == sorted((x, y) for y in range(4) for x in range(8))
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in pairwise(tiles))
    chips = [divmod(to_and_fro(n, 8), 8) for n in range(20)]
    assert all(abs(a[0] - b[0]) + abs(a[1] - b[1]) == 1 for a, b in pairwise(chips))


def test_distances_run_over_the_joined_meshes() -> None:
    sites = [Site(0, 7, 3, 0), Site(1, 0, 3, 1), Site(8, 7, 0, 0), Site(0, 7, 3, 2)]
    places = places_of(sites, LOIHI)
    assert distances(places)[0].tolist() == [0, 1, 1, 0]
    assert distances(places, 1.0)[0].tolist() == [0, 2, 2, 0]
    across, down, between = places.hops(np.array([1]), np.array([2]))
    assert (across[0], down[0], between[0]) == (0, 0, 2)


def random_places(rng: np.random.Generator, count: int) -> Places:
    x, y = rng.integers(0, 12, count), rng.integers(0, 7, count)
    return Places(x, y, x // 4, y // 4)


@given(st.integers(0, 1 << 30))
def test_link_loads_are_those_of_every_message_walked_link_by_link(seed: int) -> None:
    rng = np.random.default_rng(seed)
    places = random_places(rng, 6)
    a, b, messages = rng.integers(0, 6, 15), rng.integers(0, 6, 15), rng.integers(1, 9, 15).astype(float)
    loads = link_loads(places, a, b, messages)
    walked: dict[tuple[str, int, int], float] = {}
    for source, target, count in zip(a, b, messages, strict=True):
        for link in route(places, source, target):
            walked[link] = walked.get(link, 0.0) + count
    given = {
        (name, x, y): load
        for name in ("east", "west", "south", "north")
        for (y, x), load in np.ndenumerate(getattr(loads, name))
        if load
    }
    assert given == walked
    assert loads.largest == max(walked.values(), default=0)


def route(places: Places, a: int, b: int) -> list[tuple[str, int, int]]:
    """The links from place a to place b, along X, then along Y, each named by the tile that it leaves."""
    x, y, links = int(places.x[a]), int(places.y[a]), []
    while x != places.x[b]:
        step = 1 if places.x[b] > x else -1
        links.append(("east" if step > 0 else "west", x, y))
        x += step
    while y != places.y[b]:
        step = 1 if places.y[b] > y else -1
        links.append(("south" if step > 0 else "north", x, y))
        y += step
    return links


def random_task(seed: int, size: int = 24, limit: int | None = 60) -> Task:
    """Cores on three chips of eight sites, four a tile."""
    rng = np.random.default_rng(seed)
    between = rng.integers(0, 50, (size, size)) * (rng.random((size, size)) < 0.3)
    between = np.triu(between, 1)
    tile = np.arange(size) // 4
    apart = np.abs(tile[:, None] - tile).astype(float)
    synapses = rng.integers(1, 7, size)
    return Task((between + between.T).astype(float), apart, np.arange(size) // 8, synapses, limit, np.ones(size, bool))


def way(task: Task, site: Ints) -> float:
    return float((task.between * task.apart[np.ix_(site, site)]).sum() / 2)


def held(task: Task, site: Ints) -> int:
    return int(np.bincount(task.chip[site], task.synapses).max())


@settings(deadline=None)
@given(st.integers(0, 1 << 30))
def test_a_swaps_gain_is_what_it_changes(seed: int) -> None:
    task, rng = random_task(seed, limit=None), np.random.default_rng(seed)
    search = begin(task, rng.permutation(24))
    for a, b in rng.integers(0, 24, (20, 2)):
        before, gain = way(task, search.site), search.gain(a, b)
        assert search.gains(a)[b] == gain
        if a != b:
            search.swap(a, b)
            assert way(task, search.site) - before == gain
    assert np.array_equal(search.cost, task.between @ task.apart[search.site])


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 1 << 30))
def test_searches_only_improve_and_hold_the_chips_limit(seed: int) -> None:
    task = random_task(seed)
    first = np.arange(24)
    tight = replace(task, limit=held(task, first))
    force = force_directed(tight, first, tight.apart)
    cores = swapped(tight, first)
    tiles = tiles_swapped(tight, cores, np.arange(24) // 4)
    both = exchange(tight, first, np.arange(24) // 4)
    for found in (force, cores, tiles, both, greedy(replace(tight, limit=None), 24)):
        assert sorted(found) == list(range(24))
    assert way(task, both) <= way(task, tiles) <= way(task, cores) <= way(task, first)
    assert way(task, force) <= way(task, first)
    assert max(held(task, found) for found in (force, cores, tiles, both)) <= tight.limit  # type: ignore[operator]


def test_no_pair_is_left_that_would_save_anything() -> None:
    task = random_task(7, limit=None)
    search = begin(task, swapped(task, np.arange(24)))
    assert min(search.gains(a).min() for a in range(24)) == 0


@pytest.mark.parametrize("walk", [row_by_row, along_curve])
def test_a_new_chip_begins_where_one_has_no_core_or_no_room(walk: Callable[..., Callable[[int], list[Site]]]) -> None:
    chip = replace(LOIHI, usable_cores_per_chip=6, synapses_per_chip=10, max_chips=3)
    sites, first = spread(walk(chip), [1, 1, 1, 1, 1, 1, 1, 8, 2], chip)
    assert [sites[k].chip for k in first[:9]] == [0] * 6 + [1] * 2 + [2]
    assert sorted(first) == list(range(18))
    few, order = trimmed(sites, first, 9)
    assert [few[k] for k in order] == [sites[k] for k in first[:10]]
    with pytest.raises(DoesNotFit, match="chips 4/3"):
        spread(walk(chip), [10, 10, 10, 10], chip)
    with pytest.raises(DoesNotFit, match="core 1: synapses per chip 11/10"):
        spread(walk(chip), [1, 11], chip)
