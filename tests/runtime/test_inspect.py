"""`pumice inspect`: both kinds of file, on real files; everything wrong with a file is one line."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from networks import TinySpikformer, images, tiny_spikformer
from small_graphs import cuba, fire, wired
from stream_networks import every_node

from pumice.compiler.artifact import write_artifact
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions, MaskMode
from pumice.compiler.pipeline import compile_nir
from pumice.errors import ArtifactError, InputError
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli import main
from pumice.runtime.inspection import inspect_artifact, kind_of
from pumice.runtime.inspection_nir import inspect_nir

CONFIG = TinySpikformer(pool=True, size=6)


def write_network(path: Path, config: TinySpikformer = CONFIG) -> Path:
    nir.write(path, tiny_spikformer(config))
    return path


def write_program(path: Path, masks: MaskMode = "static", config: TinySpikformer = CONFIG) -> Path:
    network = tiny_spikformer(config)
    write_artifact(compile_nir(network, images(config, 8), load_chip("loihi2"), CompileOptions(masks=masks)), path)
    return path


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["inspect", *words]) == 0
    return capsys.readouterr().out


def test_a_network_is_listed_in_dataflow_order_with_what_it_becomes(tmp_path: Path) -> None:
    found = inspect_nir(write_network(tmp_path / "a.nir"))
    by_name = {node.name: node for node in found.nodes}
    seen: set[str] = set()
    for node in found.nodes:
        assert set(node.inputs) <= seen, node
        seen.add(node.name)
    assert found.problem == ""
    assert by_name["bn0"].type == "pumice:BatchNorm"
    assert by_name["bn0"].lowered == ("folded away",)
    assert by_name["block.0.ssa"].inputs == ("block.0.q_lif", "block.0.k_lif", "block.0.v_lif")
    assert by_name["block.0.ssa"].imported == ("Attention",)
    assert by_name["block.0.fc1_linear"].shape == (16, 9)
    assert by_name["block.0.fc1_linear"].parameters == 16 * 8 + 16
    assert by_name["block.0.fc1_bn"].parameters == 4 * 16


def test_neurons_gates_and_facts_are_read(tmp_path: Path) -> None:
    config = replace(CONFIG, criterion=Criterion("firing-rate"), state="decay", retention=0.3)
    found = inspect_nir(write_network(tmp_path / "a.nir", config))
    lif = {layer.name: layer for layer in found.lif}
    assert (lif["lif0"].tau_steps, lif["lif0"].threshold, lif["lif0"].comparator, lif["lif0"].reset) == (
        2.0,
        1.0,
        ">=",
        "hard",
    )
    assert lif["block.0.attn_lif"].threshold == 0.5
    (gate,) = found.gates
    assert (gate.block, gate.grid, gate.retention, gate.kept, gate.state) == (0, (3, 3), 0.3, 3, "decay")
    assert gate.criterion["rule"] == "firing-rate"
    assert found.facts == {"timesteps": 4, "encoding": "repeat"}


def test_a_network_that_pumice_cannot_import_is_still_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ones = np.ones(3)
    nodes = {
        "input": nir.Input(np.array([4])),
        "fc": nir.Affine(np.ones((3, 4)), ones),
        "lif": nir.LIF(tau=2 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones),
        "output": nir.Output(np.array([3])),
    }
    path = tmp_path / "foreign.nir"
    nir.write(path, nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")]))
    text = shown(capsys, str(path))
    assert "Pumice cannot import it: node 'lif': the file does not say its dt, comparator, reset" in text
    assert "not said" in text


def write_general(path: Path) -> Path:
    """Spikes that are filtered, delayed and fed back."""
    nodes = {"input": nir.Input(np.array([3])), "soma": cuba((3,)), "axon": nir.Delay(np.full(3, 2e-4))}
    nodes |= {"back": nir.Linear(np.eye(3)), "last": nir.LI(np.full(3, 4e-4), np.ones(3), np.zeros(3))}
    nodes["output"] = nir.Output(np.array([3]))
    nodes["relay"] = fire((3,))
    edges = [("input", "soma"), ("soma", "axon"), ("axon", "relay"), ("relay", "back"), ("back", "soma")]
    nir.write(path, wired(nodes, [*edges, ("soma", "last"), ("last", "output")]))
    return path


def test_general_nodes_are_told_with_what_only_calibration_shows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, said = write_general(tmp_path / "a.nir"), str(tmp_path / "a.json")
    text = shown(capsys, str(path), "--from", "nir", "--dt", "1e-4", "--json", said)
    found = {node["name"]: node["lowered"] for node in json.loads(Path(said).read_text())["nodes"]}
    assert found == {
        "input": ["graded input"],
        "soma": ["sum neurons, or currents that add up", "programmable neurons"],
        "relay": ["LIF neurons"],
        "axon": ["2 steps around a cycle"],
        "back": ["synapses"],
        "last": ["neurons that send their membrane"],
        "output": [],
    }
    assert "nothing is known that keeps it from running on loihi2" in text
    assert "only with calibration data: whether the layers' numbers fit" in text


def test_what_a_chip_cannot_do_is_told_node_by_node(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, reading = write_general(tmp_path / "a.nir"), ("--from", "nir", "--dt", "1e-4")
    text = shown(capsys, str(path), *reading, "--chip", "loihi1")
    assert "Pumice can run it in float, but not on loihi1: last, soma\n" in text
    assert "only with calibration data" not in text
    # one step of delay for the two layers of the cycle
    short = shown(capsys, str(path), "--from", "nir", "--dt", "2e-4")
    assert "but not on loihi2: soma\n" in short
    assert "the cycle behind it has 1 timestep of delay" in short


def test_static_masks_are_drawn_token_by_token(tmp_path: Path) -> None:
    found = inspect_artifact(write_program(tmp_path / "a.pumice"))
    (mask,) = found.masks
    assert (mask.source, mask.tokens, mask.kept) == ("static", 9, (5, 5, 5, 5))
    assert [len(rows) for rows in mask.token_map] == [3, 3, 3, 3]
    assert all("".join(rows).count("█") == 5 for rows in mask.token_map)


@pytest.mark.parametrize(("masks", "kept"), [("live", (5, 5, 5, 5)), ("given", None)])
def test_other_masks_have_no_map(tmp_path: Path, masks: MaskMode, kept: tuple[int, ...] | None) -> None:
    (mask,) = inspect_artifact(write_program(tmp_path / "a.pumice", masks)).masks
    assert (mask.source, mask.kept, mask.token_map) == (masks, kept, ())


def test_an_artifact_tells_its_layers_and_limits(tmp_path: Path) -> None:
    found = inspect_artifact(write_program(tmp_path / "a.pumice", "off"))
    layers = {layer.name: layer for layer in found.layers}
    assert found.masks == ()
    assert layers["lif0"].kind == "LIF of conv 3×3"
    assert (layers["lif0"].low, layers["lif0"].high, layers["lif0"].weights) == (0, 31, 72)
    assert 0 < layers["lif0"].nonzero_weights <= 72
    assert layers["pool"].kind == "OR pool 3×3"
    assert layers["block.0.residual"].high == 2  # of the wider input
    assert layers["block.0.fc1_lif"].vth is not None
    assert found.report["unchecked_limits"] == list(load_chip("loihi2").unchecked())
    assert "synaptic_words_per_core" in found.report["unchecked_limits"]
    assert {layer.cores for layer in found.layers} == {found.report["cores"]} == {1}  # all of them share it


def test_the_artifact_page_is_plain_and_no_wider_than_140(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_program(tmp_path / "a.pumice")
    text = shown(capsys, str(path))
    assert "\x1b" not in text
    assert max(len(line) for line in text.splitlines()) <= 140
    for wanted in (
        "chip: loihi2; unpublished, so unchecked: synaptic_words",
        "masks static",
        "█",
        "mapping",
        "folded 8 BatchNorms",
    ):
        assert wanted in text, wanted
    assert "folded bn0 into conv0" in shown(capsys, str(path), "--full")


def test_an_artifact_tells_how_its_network_was_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    without, given = write_program(tmp_path / "a.pumice"), tmp_path / "b.pumice"
    options = CompileOptions(reading=reading("spikingjelly", reset="subtract", dt=5e-4))
    write_artifact(compile_nir(tiny_spikformer(CONFIG), images(CONFIG, 8), load_chip("loihi2"), options), given)
    text = shown(capsys, str(given), "--json", str(tmp_path / "b.json"))
    (line,) = (line for line in text.splitlines() if line.startswith("read as"))
    assert line.startswith(
        "read as spikingjelly: euler steps of 0.0005 s, fires when v >= threshold, reset by subtraction"
    )
    said = json.loads((tmp_path / "b.json").read_text())["report"]["options"]["reading"]
    assert (said["name"], said["reset"], said["dt"]) == ("spikingjelly", "subtract", 5e-4)
    assert "read as" not in shown(capsys, str(without), "--json", str(tmp_path / "a.json"))
    assert "reading" not in json.loads((tmp_path / "a.json").read_text())["report"]["options"]


@pytest.mark.parametrize("kind", ["network", "artifact"])
def test_json_has_everything(tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    path = write_network(tmp_path / "a.nir") if kind == "network" else write_program(tmp_path / "a.pumice")
    shown(capsys, str(path), "--json", str(tmp_path / "a.json"))
    value: dict[str, Any] = json.loads((tmp_path / "a.json").read_text())
    assert value["bytes"] == path.stat().st_size
    assert set(value) >= (
        {"nodes", "lif", "gates", "facts"} if kind == "network" else {"layers", "masks", "report", "format"}
    )


def test_a_file_without_a_telling_suffix_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    network, program, other = tmp_path / "a", tmp_path / "b", tmp_path / "c.txt"
    write_network(tmp_path / "a.nir").rename(network)
    write_program(tmp_path / "b.pumice").rename(program)
    other.write_text("hello")
    assert (kind_of(network), kind_of(program)) == ("nir", "artifact")
    with pytest.raises(InputError, match="neither a NIR file nor a Pumice artifact"):
        kind_of(other)
    with pytest.raises(InputError, match="no such file"):
        kind_of(tmp_path / "d")


def test_truncated_and_missing_files_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cut = tmp_path / "cut.nir"
    cut.write_bytes(write_network(tmp_path / "a.nir").read_bytes()[:3000])
    with pytest.raises(InputError, match="not a readable HDF5 file"):
        inspect_nir(cut)
    cut = tmp_path / "cut.pumice"
    cut.write_bytes(write_program(tmp_path / "a.pumice").read_bytes()[:3000])
    with pytest.raises(ArtifactError, match=r"not a whole \.pumice file"):
        inspect_artifact(cut)
    assert main(["inspect", str(tmp_path / "none.pumice")]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("error: ")
    assert complaint.count("\n") == 1


def test_streams_levels_and_gates_are_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_artifact(every_node(), tmp_path / "a.pumice")
    layers = {layer.name: layer for layer in inspect_artifact(tmp_path / "a.pumice").layers}
    kinds = {name: layer.kind for name, layer in layers.items()}
    assert kinds["stream"] == "membrane of conv 3×3 in 2 groups"
    assert kinds["mid"] == "membrane of tokens"
    assert kinds["pool"] == "max pool 3×3"
    assert kinds["q"] == "levels of a stream"
    assert kinds["y"] == "levels of queries-context"
    assert kinds["gate_1"] == "LIF of keys-values"
    assert kinds["mean"] == "sum over tokens"
    assert kinds["passed_1"] == "spikes that a gate lets pass"
    mid = layers["mid"]
    assert (mid.low, mid.high, mid.gated, mid.vth, mid.bias_exp) == (-3000, 2999, True, None, None)
    assert (layers["q"].scale, layers["q"].vth, layers["q"].bias_exp) == (1.0, None, 2)
    assert "max pool" in shown(capsys, str(tmp_path / "a.pumice"))


def test_a_network_that_does_not_fit_the_chips_is_told_so_before_it_is_compiled(tmp_path: Path) -> None:
    """Neurons need no calibration data to be counted; and one pool's window is more than three axons, whatever the weights."""
    path = write_network(tmp_path / "net.nir")
    small = replace(load_chip("loihi2"), neurons_per_core=10, usable_cores_per_chip=10, max_chips=2)
    found = inspect_nir(path, chip=small)
    assert re.search(r"the whole network \(at least \d+ cores\): chips for its neurons \d+/2", found.refused)
    assert re.search(r"allow \d+ chips or more", found.refused)
    found = inspect_nir(path, chip=replace(load_chip("loihi2"), input_axons_per_core=3))
    lowered = {node.name: "; ".join(node.lowered) for node in found.nodes}
    assert "unsupported: layer 'pool' (from 'pool'), one neuron alone: input axons per core 9/3" in lowered["pool"]
