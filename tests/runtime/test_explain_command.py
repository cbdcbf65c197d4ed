"""`pumice explain`: a page for a node, a table for a network, JSON for either; everything wrong is one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import read_artifact
from pumice.runtime.cli import main

CONFIG = TinySpikformer(pool=True, size=6)


@pytest.fixture
def workdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.nir and cal.npy in it, and the process in it."""
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", tiny_spikformer(CONFIG))
    np.save("cal.npy", images(CONFIG, 10))
    return tmp_path


def explained(*words: str) -> int:
    return main(["explain", "net.nir", "--calibration", "cal.npy", *words])


def page(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert explained(*words) == 0
    return capsys.readouterr().out


def compiled() -> dict[str, Any]:
    assert main(["compile", "net.nir", "-o", "net.pumice", "--calibration", "cal.npy", "--masks", "off", "-q"]) == 0
    return dict(read_artifact(Path("net.pumice")).graph.nodes)


def test_a_node_s_page_has_the_integers_of_the_artifact(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = compiled()
    capsys.readouterr()
    text = page(capsys, "--node", "block.0.fc1_bn")
    lif, synapse = nodes["block.0.fc1_lif"], nodes["block.0.fc1_linear"]
    assert isinstance(lif, i.IntLif)
    assert isinstance(synapse, i.Synapse)
    assert text.startswith("block.0.fc1_lif (with block.0.fc1_linear, block.0.fc1_bn)\n")
    assert f"rint(2·1·{lif.scale:.6g}) = {lif.vth} " in text
    assert f"rint(4096/2) = {lif.dv} " in text
    assert f" = {lif.bias_mant[np.abs(lif.bias_mant).argmax()]} " in text
    assert f"V > 64·{lif.vth} = {64 * lif.vth} " in text
    assert f"weights: {synapse.weight.size:,}, of them " in text
    assert "of the spikes changed" in text


def test_the_table_has_every_node_that_rounds(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = compiled()
    capsys.readouterr()
    text = page(capsys)
    assert max(len(line) for line in text.splitlines()) <= 140
    rows = {line.split()[0]: line for line in text.splitlines() if line}
    for node in nodes.values():
        if isinstance(node, i.IntLif):
            assert f"vth {node.vth}, dv {node.dv}" in rows[node.name]
    assert "exact, so not in the table: 7 nodes" in text  # a pool, three sums, a flattening, two gates


def test_json_has_the_table_s_nodes_with_whole_numbers(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nodes = compiled()
    page(capsys, "--json", "all.json")
    page(capsys, "--node", "lif0", "--json", "one.json")
    every, one = (json.loads(Path(name).read_text()) for name in ("all.json", "one.json"))
    assert (every["chip"], every["weight_bits"]) == ("loihi2", 8)
    by_name = {node["node"]: node for node in every["nodes"]}
    assert one["nodes"] == [by_name["lif0"]]
    lif = nodes["lif0"]
    steps = {step["result"]: step for step in by_name["lif0"]["steps"]}
    assert steps["vth"]["numbers"] == {"tau": 2.0, "theta": 1.0, "s": lif.scale}
    assert steps["bias"]["integers"] == lif.bias_mant.tolist()


def test_fewer_weight_bits_cost_more(workdir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page(capsys, "--json", "8.json")
    page(capsys, "--weight-bits", "3", "--json", "3.json")
    few, many = (json.loads(Path(f"{bits}.json").read_text())["nodes"] for bits in (3, 8))
    errors = [
        (a["weights"]["mean_error"], b["weights"]["mean_error"]) for a, b in zip(few, many, strict=True) if a["weights"]
    ]
    assert len(errors) == 9
    assert all(rough > 8 * fine for rough, fine in errors)


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--node", "nothing"), "error: no node 'nothing' among the compiled ones"),
        (("--chip", "loihi9"), "error: unknown chip 'loihi9'"),
        (("--weight-bits", "9"), "error: weight bits 9/8"),
        (("--synapses", "5"), "error: 5/4 synapses for a weight"),
        (("--from", "nobody"), "error: "),
    ],
)
def test_what_is_wrong_is_one_line(
    workdir: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], complaint: str
) -> None:
    assert explained(*words, "--json", "a.json") == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(complaint)
    assert captured.err.count("\n") == 1
    assert not Path("a.json").exists()


def test_a_tau_that_does_not_fit_is_one_line_with_the_nearest(
    workdir: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    graph = tiny_spikformer(CONFIG)
    graph.nodes["rpe_lif"].tau[:] = 1e-4
    nir.write("net.nir", graph)
    assert explained() == 2
    text = capsys.readouterr().err
    assert text.startswith("error: node 'rpe_lif': tau of 1 timesteps is too short for the 12-bit decay")
    assert "1.000244" in text
