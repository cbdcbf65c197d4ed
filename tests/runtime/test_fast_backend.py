"""What the `fast` backend alone has: threads, cuts, plans, and how it fails. `test_exact_backends` has the networks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from backend_runs import assert_equal_to_reference, assert_same_run
from dirty_memory import DirtyMemory
from mapped import on_cores
from networks import TinySpikformer, images, tiny_spikformer
from numpy.typing import NDArray
from stream_networks import every_node
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import write_artifact
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.hwsim.spec import load_chip
from pumice.runtime.backends import make_backend
from pumice.runtime.cli import main
from pumice.runtime.fast import backend
from pumice.runtime.fast.backend import Fast, batch_size, threads_allowed
from pumice.runtime.fast.plan import Plan, plan_of
from pumice.runtime.reference import Reference

LIVE = TinySpikformer(pool=True, size=6, retention=0.6)


@pytest.fixture(autouse=True)
def memory_full_of_garbage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "Memory", DirtyMemory)


@pytest.mark.parametrize("threads", [1, 2, 3, 16])
@pytest.mark.parametrize("most", [1, 2, 64])
def test_threads_and_cuts_change_nothing(threads: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "BATCH", most)
    assert_equal_to_reference(every_node(), stream_samples(7), Fast(threads=threads), stream_schedule(7))


@pytest.mark.parametrize("samples", [1, 2, 63, 64, 65])
def test_any_number_of_samples(compiled: Callable[..., Program], samples: int) -> None:
    assert_equal_to_reference(compiled(LIVE, masks="live"), images(LIVE, samples), Fast(threads=1))


def test_large_networks_run_a_few_samples_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    program = every_node()
    plan = plan_of(program.graph)
    values = program.graph.timesteps * sum(int(np.prod(node.out.shape)) for node in program.graph.nodes.values())
    for bytes_, size in ((5 * values, 5), (1, 1), (1 << 40, backend.BATCH)):
        monkeypatch.setattr(backend, "BYTES", bytes_)
        assert batch_size(plan) == size


@pytest.mark.parametrize("state", ["hold", "decay"])
@pytest.mark.parametrize("retention", [0.2, 0.5, 0.9])
def test_tokens_that_are_not_routed(compiled: Callable[..., Program], state: str, retention: float) -> None:
    config = TinySpikformer(size=9, channels=16, blocks=2, retention=retention, state=state)
    run = assert_equal_to_reference(compiled(config, masks="live"), images(config, 3), Fast(threads=1))
    assert 0 < np.mean([mask.mean() for mask in run.masks.values()]) < 1


def pruned(config: TinySpikformer, density: float) -> Program:
    """A Spikformer most of whose synapses are gone."""
    graph, rng = tiny_spikformer(config), np.random.default_rng(1)
    for name, node in graph.nodes.items():
        if isinstance(node, nir.Conv1d | nir.Conv2d):
            weight = node.weight * (rng.random(node.weight.shape) < density) / np.sqrt(density)
            graph.nodes[name] = replace(node, weight=weight)
    return compile_nir(graph, images(config, 8), load_chip("loihi2"), CompileOptions(masks="live"))


def test_a_pruned_network_runs_on_lists() -> None:
    config = TinySpikformer(channels=32, size=6, retention=0.6)
    program = pruned(config, 0.1)
    plan = plan_of(program.graph)
    lists = [name for name, made in plan.synapses.items() if not made.dense]
    assert len(lists) > 5
    assert set(lists) & set(plan.fused.values())
    run = assert_equal_to_reference(program, images(config, 5), Fast(threads=1))
    assert sum(spikes.any() for spikes in run.spikes.values()) > 5


def test_signed_samples_are_flipped_borders_and_all() -> None:
    config = TinySpikformer(size=6, pool=True)
    x = images(config, 8) - 0.5
    program = compile_nir(tiny_spikformer(config), x, load_chip("loihi2"), CompileOptions(masks="off"))
    plan = plan_of(program.graph)
    assert plan.border == 1
    assert [made.flip for made in plan.synapses.values()].count(128) == 1
    assert_equal_to_reference(program, x, Fast(threads=1))


@pytest.mark.parametrize(
    "config", [TinySpikformer(size=1), TinySpikformer(timesteps=1), TinySpikformer(channels=12, size=11)]
)
def test_odd_sizes(compiled: Callable[..., Program], config: TinySpikformer) -> None:
    """One token, one timestep, channels and tokens that fill no tile."""
    for masks in ("off", "live"):
        assert_equal_to_reference(compiled(config, masks=masks), images(config, 5), Fast(threads=2))


def test_a_graph_is_planned_once(monkeypatch: pytest.MonkeyPatch) -> None:
    planned: list[Plan] = []

    def plan(graph: Any) -> Plan:
        planned.append(plan_of(graph))
        return planned[-1]

    monkeypatch.setattr(backend, "plan_of", plan)
    fast, program = Fast(threads=1), every_node()
    for count in (3, 5):
        assert_equal_to_reference(program, stream_samples(count), fast, stream_schedule(count))
    assert len(planned) == 1
    assert_equal_to_reference(every_node(seed=5), stream_samples(2), fast, stream_schedule(2))
    assert len(planned) == 2


def test_a_run_without_counts_or_records_has_none(compiled: Callable[..., Program]) -> None:
    program, x = compiled(LIVE, masks="live"), images(LIVE, 5)
    for counts, record in ((False, False), (True, False), (False, True)):
        run, same = (kind(counts).run(program, x, record=record) for kind in (Fast, Reference))
        assert (run.counts is None) == (not counts)
        assert bool(run.spikes) == record
        if counts:
            assert_same_run(run, same)
        assert np.array_equal(run.outputs, same.outputs)


def test_it_tells_how_far_it_is_and_what_each_node_took(compiled: Callable[..., Program]) -> None:
    program, told, took = compiled(LIVE), list[tuple[int, int]](), dict[str, float]()
    fast = Fast(threads=2, progress=lambda done, of: told.append((done, of)), clock=lambda n, s: took.update({n: s}))
    fast.run(program, images(LIVE, 9))
    assert [of for _, of in told] == [9] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (9, 9)
    untold = program.graph.nodes.keys() - took.keys()  # they are computed with their neurons
    assert took.keys() | untold == program.graph.nodes.keys()
    assert all(isinstance(program.graph.nodes[name], i.Synapse) for name in untold)


def test_what_goes_wrong_on_a_thread_ends_the_run(compiled: Callable[..., Program]) -> None:
    def broken(name: str, seconds: float) -> None:
        raise ZeroDivisionError(name)

    with pytest.raises(ZeroDivisionError):
        Fast(threads=3, clock=broken).run(compiled(LIVE), images(LIVE, 9))


@pytest.mark.parametrize(("said", "threads"), [("1", 1), ("0", 1), ("", None), ("all", None), ("100000", None)])
def test_as_many_threads_as_cores_or_fewer_where_that_is_said(
    monkeypatch: pytest.MonkeyPatch, said: str, threads: int | None
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2})
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_allowed() == (threads or 3)


@pytest.mark.parametrize("shape", [(0, 1, 6, 6), (3, 1, 6, 5), (3, 6, 6), (3, 2, 6, 6)])
def test_samples_of_another_shape_are_refused(compiled: Callable[..., Program], shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"^input: shape .*the network's 'input' takes \[samples, 1, 6, 6\]$"):
        Fast().run(compiled(LIVE), np.zeros(shape))


def test_samples_that_are_no_numbers_are_refused(compiled: Callable[..., Program]) -> None:
    with pytest.raises(InputError, match="non-finite"):
        Fast().run(compiled(LIVE), np.full((2, 1, 6, 6), np.nan))


@pytest.mark.parametrize("masks", [None, stream_schedule(2), stream_schedule(3)[:, :1], stream_schedule(3)[..., :-1]])
def test_masks_that_do_not_fit_are_refused_as_by_reference(masks: NDArray[np.bool_] | None) -> None:
    said = []
    for kind in (Fast, Reference):
        with pytest.raises(InputError) as caught:
            kind().run(every_node(), stream_samples(3), masks)
        said.append(str(caught.value))
    assert said[0] == said[1]


@pytest.fixture
def files(tmp_path: Path, compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> Path:
    write_artifact(on_cores(compiled(LIVE).graph, load_chip("loihi2")), tmp_path / "a.pumice")
    np.save(tmp_path / "x.npy", images(LIVE, 3))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_runs_on_fast(files: Path) -> None:
    words = "run a.pumice --input x.npy --record"
    for name in ("reference", "fast"):
        assert main([*words.split(), "--backend", name, "--output", f"{name}.npz", "--json", f"{name}.json"]) == 0
    one, other = (dict(np.load(files / f"{name}.npz")) for name in ("reference", "fast"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)
    assert (files / "reference.json").read_text() == (files / "fast.json").read_text()


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--backend fast --per-core", "error: --per-core: the fast backend runs programs as a whole"),
        ("--backend fast --device cpu", "error: --device cpu: the fast backend takes none"),
    ],
)
def test_what_does_not_go_together_is_said_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert main(["run", "a.pumice", "--input", "x.npy", "--output", "y.npz", *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(complaint)
    assert said.count("\n") == 1
    assert not (files / "y.npz").exists()


def test_fast_by_its_name() -> None:
    assert isinstance(make_backend("fast"), Fast)


WITHOUT_NUMBA = """
import sys
sys.modules["numba"] = None
import pumice.runtime.cli
from pumice.errors import BackendUnavailable
from pumice.runtime.backends import make_backend
from pumice.runtime.fast.rates import measure_rates
try:
    make_backend("fast").run(None, None)
except BackendUnavailable as error:
    assert "needs numba" in str(error) and error.hint == "pip install 'pumice[fast]'", error
else:
    raise AssertionError
"""


def test_without_numba_it_says_what_to_install() -> None:
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_NUMBA], capture_output=True, text=True, timeout=120, check=False
    )
    assert run.returncode == 0, run.stderr
