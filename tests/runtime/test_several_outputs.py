"""A network of several outputs: one read-out for each, from one run."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import pytest
from cycle_networks import SIZE, compiled, fire, in_float, layer, meaning_of, spikes
from small_graphs import wired

from pumice.compiler.artifact import dumps, read_artifact, write_artifact
from pumice.compiler.exporting.nir_program import nir_program
from pumice.errors import UnsupportedNode
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli import main
from pumice.runtime.inspection_nir import inspect_nir
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.recording import readouts
from pumice.runtime.reference import Reference


def network() -> nir.NIRGraph:
    """Spikes of the first layer, a current, spikes of the last; and those once more, under another name."""
    nodes = {
        "input": nir.Input(np.array([SIZE])),
        "a": layer(1),
        "n": fire(),
        "b": layer(2),
        "c": layer(3),
        "m": fire(),
    }
    ends = {name: nir.Output(np.array([SIZE])) for name in ("early", "current", "late", "again")}
    edges = [("input", "a"), ("a", "n"), ("n", "early"), ("n", "b"), ("b", "current"), ("n", "c"), ("c", "m")]
    return wired({**nodes, **ends}, [*edges, ("m", "late"), ("m", "again")])


FROM = {"early": "n", "current": "b", "late": "m", "again": "m"}


def test_each_output_is_the_sum_of_what_its_node_sends() -> None:
    x, meaning = spikes(network(), 30, 2), meaning_of()
    program, wanted = compiled(network(), meaning), in_float(network(), meaning, x)
    run = Reference().run(program, x, record=True)
    scales = {name: node.scale for name, node in readouts(program.graph)}
    assert run.named.keys() == FROM.keys() == scales.keys()
    for name, totals in run.named.items():
        assert totals.any()
        assert np.array_equal(totals * scales[name], wanted[FROM[name]].sum(axis=0)), name
    assert np.array_equal(run.outputs, run.named[next(iter(run.named))])
    assert {"n", "b", "m"} <= run.spikes.keys()


def test_lava_and_an_artifact_give_the_same(tmp_path: Path) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    x, program = spikes(network(), 3, 3), compiled(network(), meaning_of())
    write_artifact(program, tmp_path / "net.pumice")
    again = read_artifact(tmp_path / "net.pumice")
    assert dumps(again) == dumps(program)
    reference, lava = Reference(counts=False).run(program, x), LavaBackend().run(again, x)
    assert reference.named.keys() == lava.named.keys()
    assert all(np.array_equal(lava.named[name], totals) for name, totals in reference.named.items())


def test_the_command_writes_each_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", network())
    np.save("x.npy", spikes(network(), 8, 2))
    words = [
        "compile",
        "net.nir",
        "--from",
        "nir",
        "--if-gain",
        "one",
        "--calibration",
        "x.npy",
        "-o",
        "net.pumice",
        "-q",
    ]
    assert main(words) == 0
    assert main(["run", "net.pumice", "--input", "x.npy", "--output", "y.npz"]) == 0
    with np.load("y.npz") as y:
        assert set(y) == {"output", "logits", *FROM, *(f"{name}.logits" for name in FROM)}
        assert np.array_equal(y["late"], y["again"])
        assert not np.array_equal(y["late"], y["early"])


def test_it_is_called_supported_and_a_file_of_it_refused(tmp_path: Path) -> None:
    nir.write(tmp_path / "net.nir", network())
    assert inspect_nir(tmp_path / "net.nir", meaning_of(), load_chip("loihi2")).refused == ""
    with pytest.raises(UnsupportedNode, match="the network has 4 outputs"):
        nir_program(compiled(network(), meaning_of()))
