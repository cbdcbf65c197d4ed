"""`pumice convert --to sanafe` and `pumice export --to sanafe`: the files, and what is refused; without SANA-FE itself."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from convert_networks import compiled, dense, lif, one_neuron, pooled, real_maps, residual, spikes
from networks import TinySpikformer, images, tiny_spikformer
from sanafe_networks import dense_layers
from sanafe_runs import DOCUMENT
from small_graphs import wired

from pumice.compiler.artifact import write_artifact
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.arith import DECAY_UNITY, LifParams, lif_step
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli import main
from pumice.runtime.sanafe.files import NAMES, write_sanafe
from pumice.runtime.sanafe.neurons import soma_of, start_of


def skipping() -> Program:
    """Currents of a layer and of the one before it meet in a third."""
    rng, one = np.random.default_rng(0), {n: lif((5,), 1.0) for n in ("n", "m", "o")}
    nodes = {"input": nir.Input(np.array([5])), **one, "output": nir.Output(np.array([5]))}
    nodes |= {name: dense(rng, 5, 5) for name in "abcd"}
    edges = [("input", "a"), ("a", "n"), ("n", "b"), ("b", "m"), ("m", "c"), ("n", "d"), ("c", "o"), ("d", "o")]
    return compiled(wired(nodes, [*edges, ("o", "output")]), spikes((8, 6, 5), 0)).program


def attention() -> Program:
    """A Spikformer on images of 0 and 1."""
    config = TinySpikformer()
    x = (images(config, 4) > 0.5).astype(np.float64)
    return compile_nir(tiny_spikformer(config), x, load_chip("loihi2"), CompileOptions())


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a program and its samples, and the process in it."""
    net = dense_layers()
    write_artifact(net.program, tmp_path / "a.pumice")
    np.save(tmp_path / "a.npy", net.samples)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_both_commands_write_the_same_files(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command, folder in (("convert", "one"), ("export", "two")):
        words = [command, "a.pumice", "--to", "sanafe", "-o", folder, "--input", "a.npy", "--sample", "1"]
        assert main(words) == 0
    said = capsys.readouterr().out
    assert "one: architecture.yaml, network.yaml, index.json; sample 1 of 3; run it for 12 steps" in said
    for name in NAMES:
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()
    index = json.loads(Path("one", "index.json").read_text())
    assert (index["steps"], index["timesteps"]) == (12, 8)
    assert [layer["first_step"] for layer in index["layers"]] == [1, 2, 3, 4]


def test_the_document_s_commands_run(workdir: Path) -> None:
    (block,) = re.findall(r"```console\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    Path("a.pumice").rename("net.pumice")
    Path("a.npy").rename("x.npy")
    lines = [shlex.split(line[2:], comments=True) for line in block.splitlines()]
    assert len(lines) == 2
    for words in lines:
        assert main(words[1:]) == 0, words


def test_every_neuron_is_mapped_once(workdir: Path) -> None:
    plan = write_sanafe(dense_layers().program, workdir / "out")
    for population in plan.populations.values():
        held = np.concatenate([part.members for part in population.parts])
        assert np.array_equal(np.sort(held), np.arange(population.neurons))


WRONG = [
    ("convert a.pumice --to sanafe -o no/out", "error: no/out: cannot be a folder"),
    ("convert a.pumice --to sanafe -o a.npy", "error: a.npy: cannot be a folder"),
    ("convert a.pumice --to sanafe -o out --input a.npy --sample 3", "error: --sample 3: the input has 3 samples"),
    ("convert a.pumice --to sanafe -o out --dt 1", "error: --dt goes with --to nir"),
    ("convert a.pumice --to nir -o a.nir --input a.npy", "error: --input goes with --to sanafe"),
    ("export a.pumice -o a.nir", "error: --to nir: export writes a model to nir, and a .pumice program to sanafe"),
    ("export spikformer-digits --to sanafe -o out", "error: spikformer-digits: SANA-FE takes mapped networks"),
    ("export a.pumice --to sanafe -o out --retention 0.5", "error: --retention goes with a model"),
]


@pytest.mark.parametrize(("words", "complaint"), WRONG)
def test_what_is_wrong_is_one_line_and_writes_nothing(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: str, complaint: str
) -> None:
    before = sorted(workdir.iterdir())
    assert main(words.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(complaint)
    assert captured.err.count("\n") == 1
    assert sorted(workdir.iterdir()) == before


def test_samples_that_are_no_spikes_are_refused(tmp_path: Path) -> None:
    net = dense_layers()
    with pytest.raises(InputError, match="sample 0: values other than 0 and 1"):
        write_sanafe(net.program, tmp_path / "out", net.samples * 2)


def test_several_chips_are_refused(tmp_path: Path) -> None:
    program = dense_layers().program
    sites = tuple(replace(site, chip=k % 2) for k, site in enumerate(program.mapping.sites))
    with pytest.raises(InputError, match="mapped to 2 chips"):
        write_sanafe(replace(program, mapping=replace(program.mapping, sites=sites)), tmp_path / "out")


@pytest.mark.parametrize(
    ("program", "complaint"),
    [
        (skipping, r"node 'd' .*is an axonal delay"),
        (lambda: residual().program, r"node 'sum' .*adds up spikes to payloads"),
        (lambda: pooled().program, r"node 'p' .*sends or sums up payloads"),
        (lambda: real_maps().program, r"node 'input' .*takes payloads from -\d+ to \d+"),
        (attention, r"is an attention product"),
    ],
)
def test_what_sanafe_cannot_express_is_refused_by_node(tmp_path: Path, program: Any, complaint: str) -> None:
    with pytest.raises(UnsupportedNode, match=complaint):
        write_sanafe(program(), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"reset": "next"}, "it resets 'next'"),
        ({"reset": "both"}, "it resets 'both'"),
        ({"reset": "soft", "inclusive": True}, "subtracts the threshold"),
        ({"reset": "soft", "vth": 1 << 16, "steps": 1000}, "can saturate at 24 bits"),
        ({"gate_state": "hold"}, "a routing mask gates"),
        ({"vth": 0, "inclusive": True}, "with a bias of 0 and no input it fires before its sample begins"),
    ],
)
def test_neurons_that_sanafe_has_not_are_refused(changes: dict[str, Any], complaint: str) -> None:
    said = {"weight": (200, 200), "vth": 90, "steps": 5, "dv": 0} | changes
    program: Program = one_neuron(**said)
    with pytest.raises(UnsupportedNode, match=complaint):
        soma_of(program.graph.nodes["n"], program.graph, 1)


@pytest.mark.parametrize("dv", [0, 1, 1365, 2048, 4095])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_membranes_arrive_at_0_when_the_sample_begins(dv: int, depth: int) -> None:
    """Without a leak in the very first step, as SANA-FE does."""
    vth = 90
    for bias in (-700, -64, -1, 0, 1, 64, 700):
        start = start_of(bias, DECAY_UNITY - dv, depth, vth << 6)
        if start is None:
            assert bias < 0 or dv == 4095  # it would fire on the way, or not fit 24 bits
            continue
        v = np.array([start + bias])
        assert v[0] <= vth << 6
        for _ in range(depth - 1):
            _, v, spikes = lif_step(
                np.zeros(1, np.int64), v, np.zeros(1, np.int64), LifParams(vth, dv, np.array([bias]))
            )
            assert not spikes.any()
        assert v[0] == 0
