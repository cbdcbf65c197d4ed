"""The picture of a mapping: a whole PNG for one chip and for twenty, every core striped as it is filled, links where they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images
from pngs import size_of

from pumice.compiler.mapping.mesh import LinkLoads
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.runtime.links import DIRECTIONS, run_loads
from pumice.runtime.mapping_picture import Canvas, canvas_of, draw_mapping, shade, tiles
from pumice.runtime.picture_cores import PlacedCore, legend, placed_cores, stripes, tile_boxes
from pumice.runtime.picture_panels import FAMILIES, FREE
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2)


def loads_of(program: Program) -> LinkLoads:
    counts = Reference().run(program, images(CONFIG, 2)).counts
    assert counts is not None
    return run_loads(program, counts)


def on_chips(program: Program, cores_per_chip: int) -> Program:
    chip = replace(program.chip, neurons_per_core=16, usable_cores_per_chip=cores_per_chip)
    return on_cores(program.graph, chip, program.options)


def test_one_chip_is_drawn_the_same_every_time(tmp_path: Path, compiled: Callable[..., Program]) -> None:
    pytest.importorskip("matplotlib")
    program = compiled(CONFIG)
    loads = loads_of(program)
    for name in ("a.png", "b.png"):
        draw_mapping(tmp_path / name, program, loads, "tiny")
    assert program.mapping.chips == 1
    width, height = size_of((tmp_path / "a.png").read_bytes())
    assert width == 1600
    assert 700 < height < 1300
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_twenty_chips_are_drawn_on_one_page(tmp_path: Path, compiled: Callable[..., Program]) -> None:
    pytest.importorskip("matplotlib")
    program = on_chips(compiled(CONFIG), 9)
    assert program.mapping.chips >= 20
    draw_mapping(tmp_path / "a.png", program, loads_of(program), "tiny")
    width, height = size_of((tmp_path / "a.png").read_bytes())
    assert width == 1600
    assert 400 < height < 1600


def test_a_picture_that_cannot_be_written_leaves_nothing(tmp_path: Path, compiled: Callable[..., Program]) -> None:
    pytest.importorskip("matplotlib")
    program = compiled(CONFIG)
    with pytest.raises(InputError, match="cannot be written"):
        draw_mapping(tmp_path / "missing" / "a.png", program, loads_of(program), "tiny")
    assert list(tmp_path.iterdir()) == []


def test_the_headline_counts_cores_chips_hops_and_the_busiest_link(compiled: Callable[..., Program]) -> None:
    program = on_chips(compiled(CONFIG), 60)
    counts = Reference().run(program, images(CONFIG, 2)).counts
    assert counts is not None
    loads = run_loads(program, counts)
    hops = sum(counts.per_sample(name) for name in ("hops_ew", "hops_ns", "hops_chip"))
    assert sum(getattr(loads, direction).sum() for direction in DIRECTIONS) == pytest.approx(hops)
    numbers = {what: number for number, what, _ in tiles(program, loads)}
    assert numbers["cores"] == str(len(program.mapping.cores))
    assert numbers["chips"] == str(program.mapping.chips)
    assert numbers["spike-weighted hops"] == f"{hops / 1000:.3g} k"


def test_links_join_the_tiles_that_they_name_and_no_two_lie_on_each_other(compiled: Callable[..., Program]) -> None:
    canvas = Canvas(compiled(CONFIG).chip, 2, 2)
    last = canvas.chip.mesh_columns - 1
    (xa, y), (xb, _) = canvas.ends("east", last, 0)
    assert canvas.left(last) < xa < xb == canvas.left(last + 1)  # across the border of two chips
    assert xb - xa > canvas.ends("east", 0, 0)[1][0] - canvas.ends("east", 0, 0)[0][0]
    assert canvas.ends("west", last + 1, 0)[0][1] != y
    (_, start), (_, end) = canvas.ends("north", 0, 1)
    assert start == canvas.top(1) > end > canvas.top(0)


def test_the_canvas_holds_all_chips_in_use(compiled: Callable[..., Program]) -> None:
    program = on_chips(compiled(CONFIG), 9)
    canvas, columns = canvas_of(program), program.chip.chip_columns
    assert canvas.columns == columns
    assert canvas.rows == max(site.chip for site in program.mapping.sites) // columns + 1


def test_a_core_is_striped_in_proportion_to_its_neurons() -> None:
    core = PlacedCore(0, 0, 0, 0, (("block.0.q_lif", 30), ("head", 10), ("block.0.k_lif", 60)), 200)
    boxes = stripes(core, (0.0, 0.0, 1.0, 1.0))
    assert [color for _, color in boxes] == [FAMILIES["queries, keys, values"][0], FAMILIES["read-out"][0]]
    assert [box for box, _ in boxes] == [(0, 0, 1, pytest.approx(0.9)), (0, pytest.approx(0.9), 1, pytest.approx(0.1))]
    assert [color for _, color in tile_boxes([None, None], 0, 0, 1)] == [FREE, FREE]


def test_the_legend_shares_cores_out_among_families() -> None:
    mixed = PlacedCore(0, 0, 0, 0, (("block.0.q_lif", 75), ("head", 25)), 200)
    full = PlacedCore(0, 0, 0, 1, (("block.0.q_lif", 200),), 200)
    entries = {entry.family: entry for entry in legend([mixed, full])}
    assert entries["queries, keys, values"].cores == 1.75
    assert entries["queries, keys, values"].full == pytest.approx((0.75 * 0.5 + 1) / 1.75)
    assert (entries["read-out"].cores, entries["read-out"].full) == (0.25, 0.5)
    assert entries["MLP"].detail == "no core"
    assert entries["queries, keys, values"].detail == "1.8 cores, 79% full"
    assert next(entry.detail for entry in legend([full]) if entry.cores) == "1 core, 100% full"


def test_the_cores_of_a_program_are_all_in_the_legend(compiled: Callable[..., Program]) -> None:
    program = compiled(CONFIG)
    cores = placed_cores(program)
    assert any(len(core.layers) > 1 for core in cores)
    assert sum(entry.cores for entry in legend(cores)) == pytest.approx(len(program.mapping.cores))
    assert sum(core.neurons for core in cores) == sum(part.neurons for core in program.mapping.cores for part in core)


def test_links_darken_with_their_load() -> None:
    colors = shade(np.array([0.0, 0.3, 0.6, 1.0]))
    assert np.all(np.diff(colors[:, 1]) < 0)  # less and less green
    assert colors.min() >= 0
    assert colors.max() <= 1
