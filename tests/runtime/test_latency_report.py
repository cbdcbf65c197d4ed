"""The latency model of a run: by hand from the program's own counts, and what of it the reports say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images

from pumice.compiler.passes.balance_delays import depths, latency_steps
from pumice.compiler.program import Program
from pumice.hwsim.counters import CountTable
from pumice.hwsim.times import load_times
from pumice.runtime.latency_report import latency_dict, mesh_of, run_latency
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2)


@pytest.fixture
def program(compiled: Callable[..., Program]) -> Program:
    """A network on some forty cores of a chip."""
    whole = compiled(CONFIG)
    return on_cores(whole.graph, replace(whole.chip, neurons_per_core=130), whole.options)


def ran(program: Program, samples: int = 3) -> CountTable:
    counts = Reference().run(program, images(CONFIG, samples)).counts
    assert counts is not None
    return counts


def test_the_slowest_core_of_each_step_is_the_slowest_by_hand(program: Program) -> None:
    counts, times = ran(program), load_times("loihi1_davies2018")
    depth, steps = depths(program.graph), program.graph.timesteps
    busy = np.zeros((len(program.mapping.cores), steps))
    for row in counts.rows:
        for t in range(steps):
            spent = 3.5 * (row.synops[t] + row.macs[t]) + 8.4 * row.active[t] + 5.3 * (row.idle[t] + row.gated[t])
            busy[row.core, (t + depth[row.layer]) % steps] += (spent + 2.1 * row.spikes[t]) / 3
    model = run_latency(program, counts, times)
    assert model.core_ns == pytest.approx(busy.max(axis=0))
    assert model.slowest is not None
    assert model.slowest.ns == pytest.approx(busy.max())
    assert set(model.slowest.layers) == {part.group for part in program.mapping.cores[model.slowest.core]}


def test_the_longest_way_is_within_the_mesh(program: Program) -> None:
    counts = ran(program)
    mesh, model = mesh_of(program, counts), run_latency(program, counts, load_times("loihi1_davies2018"))
    sent = counts.flows.messages.any(axis=1)
    longest = (4.1 * mesh.hops_ew + 6.5 * mesh.hops_ns)[sent].max()
    assert model.hops_ns is not None
    assert 0 < model.hops_ns.max() == pytest.approx(longest)
    assert mesh.tiles == len({(s.x, s.y) for s in program.mapping.sites}) > 1


def test_the_report_follows_from_the_steps(program: Program) -> None:
    counts = ran(program)
    reports = latency_dict(program, counts)
    assert set(reports) == {"horowitz45", "loihi1_davies2018", "loihi1_sanafe"}
    assert reports["horowitz45"]["step_ns"] is None
    assert reports["horowitz45"]["unknown"]
    report, steps = reports["loihi1_sanafe"], program.graph.timesteps
    mean = report["step_ns"]["mean"]
    assert sum(report["parts_ns"].values()) == pytest.approx(mean)
    assert mean <= report["step_ns"]["max"]
    assert report["us_per_sample"] == pytest.approx(mean * steps / 1000)
    assert report["samples_per_second"] * report["us_per_sample"] == pytest.approx(1e6)
    assert report["latency_us"] == pytest.approx(mean * latency_steps(program.graph) / 1000)
    assert report["slowest"]["ns"] == pytest.approx(sum(report["slowest"]["parts"].values()))


def test_several_chips_make_the_time_unknown_and_leave_the_slowest_core(program: Program) -> None:
    chip = replace(program.chip, mesh_columns=2, mesh_rows=2, usable_cores_per_chip=16)
    several = on_cores(program.graph, chip, program.options)
    assert several.mapping.chips > 1
    report = latency_dict(several, ran(several))["loihi1_davies2018"]
    assert (report["step_ns"], report["us_per_sample"], report["samples_per_second"], report["latency_us"]) == (
        None,
    ) * 4
    assert report["unknown"] == ["barrier", "hop_chip"]
    assert report["slowest"]["ns"] > 0


def test_pruned_tokens_save_time_on_the_slowest_core(compiled: Callable[..., Program]) -> None:
    times = [
        latency_dict(p, ran(p))["loihi1_sanafe"]["slowest"]["ns"]
        for p in (compiled(CONFIG), compiled(CONFIG, masks="off"))
    ]
    assert times[0] < times[1]
