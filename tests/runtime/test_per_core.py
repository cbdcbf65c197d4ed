"""Core by core, from what reaches each core and with its own weights, a program does what it does as a whole, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cycle_networks import NETWORKS, meaning_of
from cycle_networks import compiled as compiled_cycle
from cycle_networks import spikes as cycle_spikes
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from mapped import on_cores
from networks import TinySpikformer, images
from numpy.typing import NDArray
from random_graphs import RandomGraph, random_graphs
from stream_networks import CHANNELS, TIMESTEPS, Builder, every_node, on_cores_of, placed
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule
from torch_networks import TINY

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import write_artifact
from pumice.compiler.mapping import fans
from pumice.compiler.options import CompileOptions
from pumice.compiler.passes.balance_delays import depths
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import PumiceError, UnsupportedNode
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import load_chip
from pumice.models.nir.export import to_nir
from pumice.runtime.cli import main
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.per_core.paths import lags
from pumice.runtime.per_core.run import PerCore
from pumice.runtime.reference import Reference
from pumice.runtime.result import RunResult

LIVE = TinySpikformer(pool=True, size=6, retention=0.6)
BY_SEED = settings(
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


def with_cores(program: Program, neurons: int) -> Program:
    """The program on cores of at most so many neurons."""
    chip = replace(program.chip, neurons_per_core=neurons, max_chips=100)
    return on_cores(program.graph, chip, program.options)


def same(one: RunResult, other: RunResult) -> bool:
    """Whether outputs, masks and all recorded spikes are equal, also in type."""
    if one.spikes.keys() != other.spikes.keys() or one.masks.keys() != other.masks.keys():
        return False
    pairs = [(getattr(one, k)[n], getattr(other, k)[n]) for k in ("spikes", "masks", "named") for n in getattr(one, k)]
    pairs += [(one.outputs, other.outputs), (one.logits, other.logits)]
    return all(np.array_equal(a, b) and a.dtype == b.dtype for a, b in pairs)


def whole(program: Program, x: NDArray[Any], masks: NDArray[np.bool_] | None = None) -> RunResult:
    found = Reference(counts=False).run(program, x, masks, record=True)
    assert any(spikes.any() for spikes in found.spikes.values())
    return found


@pytest.mark.parametrize("masks", ["live", "static", "off"])
@pytest.mark.parametrize("neurons", [8192, 130, 16])
def test_a_spikformer(compiled: Callable[..., Program], masks: str, neurons: int) -> None:
    program, x = with_cores(compiled(LIVE, masks=masks), neurons), images(LIVE, 11)
    assert same(PerCore().run(program, x, record=True), whole(program, x))


@settings(deadline=None, max_examples=12)
@given(st.integers(1, 200), st.one_of(st.none(), st.integers(8, 60)), st.integers(0, 3))
def test_every_operation_on_random_chips(neurons: int, axons: int | None, seed: int) -> None:
    """Streams of real values, levels, products, gates, pools, masks that come with the samples."""
    program, x, masks = streams(), stream_samples(3, seed), stream_schedule(3, seed)
    chip = replace(program.chip, neurons_per_core=neurons, input_axons_per_core=axons, max_chips=100)
    try:
        cut = on_cores(program.graph, chip)
    except PumiceError:
        return
    assert same(PerCore().run(cut, x, masks, record=True), whole(program, x, masks))


@cache
def streams() -> Program:
    return every_node()


@pytest.mark.parametrize("family", ["spikformer-dvs", "sparse-spikformer", "sdt-v1", "qkformer"])
def test_every_family(family: str) -> None:
    tiny = TINY[family]
    model = tiny.model()
    if tiny.blocks:
        model.pruning = tiny.pruning(Criterion(alpha=1.0))
    options = CompileOptions(masks="live" if tiny.blocks else "static")
    program = compile_nir(to_nir(model), tiny.samples(8, seed=3), load_chip("loihi2"), options)
    cut, x = with_cores(program, 200), tiny.samples(2)
    assert len(cut.mapping.cores) > 40
    assert same(PerCore().run(cut, x, record=True), whole(program, x))


def test_random_graphs_with_cycles_and_delays() -> None:
    ran: list[bool] = []

    @settings(BY_SEED, max_examples=40)
    @given(random_graphs(), st.sampled_from([9, 3]))
    def check(case: RandomGraph, neurons: int) -> None:
        try:
            program = compile_nir(
                case.graph, case.samples(4, 5, seed=0), load_chip("loihi2"), CompileOptions(reading=case.reading)
            )
        except PumiceError:
            return
        x, cut = case.samples(2, 5, seed=1), with_cores(program, neurons)
        expected = Reference(counts=False).run(program, x, record=True)
        assert same(PerCore().run(cut, x, record=True), expected)
        ran.append(any(spikes.any() for spikes in expected.spikes.values()))

    check()
    assert sum(ran) > 20


def test_a_stream_takes_as_long_as_the_compiler_says(compiled: Callable[..., Program]) -> None:
    """Where neurons add no stream of neurons beside them, a core has nothing to wait for beyond the balanced delays."""
    graph = compiled(LIVE, masks="live").graph
    at, depth = lags(graph), depths(graph)
    sending = [n.name for n in graph.nodes.values() if isinstance(n, i.Neurons | i.SelfFed | i.LiveMask)]
    assert {name: at[name] for name in sending} == {name: depth[name] for name in sending}


def without_a_source(found: fans.Fan) -> fans.Fan:
    """The fan as if the last of its source positions did not reach the slice."""
    targets = None if found.targets is None else found.targets[:, :-1]
    return replace(found, sources=found.sources[:-1], taps=found.taps[:, :-1], targets=targets)


@pytest.mark.parametrize("layer", ["rpe_conv", "pool", "block.0.fc1_linear", "block.0.ssa.context"])
def test_a_fan_that_misses_a_source_changes_spikes(
    compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    """What a core does not receive is really missing."""
    program, x = with_cores(compiled(LIVE, masks="off"), 60), images(LIVE, 11)
    every = fans.Wiring.fans

    def fewer(self: fans.Wiring, *args: Any) -> list[fans.Fan]:
        return [without_a_source(f) if f.reader.name == layer else f for f in every(self, *args)]

    assert layer in program.graph.nodes
    assert same(PerCore().run(program, x, record=True), whole(program, x))
    monkeypatch.setattr(fans.Wiring, "fans", fewer)
    assert not same(PerCore().run(program, x, record=True), whole(program, x))


def test_a_cycle_of_streams_without_time_between_is_refused() -> None:
    """b adds what a sends within the step, and a what b sent a step before: two cores need two steps for that."""
    b = Builder(np.random.default_rng(0))
    b.add(i.GradedInput("input", (), b.graded((CHANNELS, 1), (-16, 15)), "input", 1.0))
    for name in ("to_a", "to_b"):
        b.synapse(name, "input", CHANNELS)
    past = b.graded((CHANNELS, 1), (-3000, 2999))
    b.add(i.Feedback("past", (), past, "a", "b", np.ones(1, np.int64), real=True))
    b.membrane("b", "to_b", b.membrane("a", "to_a", "past"))
    b.synapse("classes", "b", 3)
    readout(b)
    program = placed(b.nodes, "out")
    x = np.ones((1, TIMESTEPS, CHANNELS, 1))
    assert Reference(counts=False).run(program, x).outputs.any()
    with pytest.raises(UnsupportedNode, match="fewer timesteps of delay than its spikes need from core to core"):
        PerCore().run(program, x)


def readout(b: Builder) -> None:
    b.add(i.Readout("out", ("classes",), b.graded((3,), (-(1 << 23), 1 << 23)), "out", np.zeros(3, np.int64), 1.0))


LAVA: dict[str, tuple[Callable[[], Program], Callable[[], tuple[Any, ...]]]] = {
    "streams": (lambda: on_cores_of(streams(), 50), lambda: (stream_samples(3), stream_schedule(3))),
    "a recurrent layer": (
        lambda: with_cores(compiled_cycle(NETWORKS["two recurrent layers"], meaning_of()), 3),
        lambda: (cycle_spikes(NETWORKS["two recurrent layers"], 3, 2), None),
    ),
}


@pytest.mark.parametrize("case", LAVA)
def test_one_lava_process_for_each_core(case: str) -> None:
    """Samples stream through one after the other."""
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    program, (x, masks) = LAVA[case][0](), LAVA[case][1]()
    assert len(program.mapping.cores) > 3
    assert same(LavaBackend(per_core=True).run(program, x, masks, record=True), whole(program, x, masks))


def test_live_masks_on_lava_and_without_recording(compiled: Callable[..., Program]) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    program, x = with_cores(compiled(LIVE, masks="live"), 130), images(LIVE, 3)
    found, expected = LavaBackend(per_core=True).run(program, x), whole(program, x)
    assert np.array_equal(found.outputs, expected.outputs)
    assert all(np.array_equal(found.masks[name], mask) for name, mask in expected.masks.items())
    assert not found.spikes


def test_more_cores_than_a_process_has_ports_are_refused() -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    b = Builder(np.random.default_rng(0))
    b.add(i.GradedInput("input", (), b.graded((2, 1), (-16, 15)), "input", 1.0))
    b.synapse("classes", b.lif("n", b.synapse("in", "input", 100), 40), 3)
    readout(b)
    program = with_cores(placed(b.nodes, "out"), 1)
    with pytest.raises(UnsupportedNode, match=r"core \d+: \d+ cores and sources send to it, .* has 64 ports"):
        LavaBackend(per_core=True).run(program, np.ones((1, TIMESTEPS, 2, 1)))


@pytest.fixture
def files(tmp_path: Path, compiled: Callable[..., Program], monkeypatch: pytest.MonkeyPatch) -> Path:
    write_artifact(with_cores(compiled(LIVE), 130), tmp_path / "a.pumice")
    np.save(tmp_path / "x.npy", images(LIVE, 2))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_runs_core_by_core(files: Path) -> None:
    words = "run a.pumice --input x.npy --record --output"
    assert main([*words.split(), "whole.npz"]) == 0
    assert main([*words.split(), "cores.npz", "--per-core"]) == 0
    one, other = (dict(np.load(files / name)) for name in ("whole.npz", "cores.npz"))
    assert one.keys() == other.keys()
    assert all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--backend loihi2", "error: --per-core: the loihi2 backend leaves cores to Lava"),
        ("--backend float", "error: --per-core: a model that runs in float is on no cores"),
        ("--json c.json", "error: the reference backend core by core does not count"),
    ],
)
def test_what_does_not_go_core_by_core_is_said_in_one_line(
    files: Path, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    assert main(["run", "a.pumice", "--input", "x.npy", "--output", "y.npz", "--per-core", *words.split()]) == 2
    said = capsys.readouterr().err
    assert said.startswith(complaint)
    assert said.count("\n") == 1
    assert not (files / "y.npz").exists()
