"""The artifact: same input, same bytes; what is read is what was written; anything else is one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mapped import on_cores
from networks import TinySpikformer, images
from safetensors import safe_open
from safetensors.numpy import save
from stream_networks import every_node
from stream_networks import samples as stream_samples
from stream_networks import schedule as stream_schedule

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import NODE_TYPES, dumps, read_artifact, write_artifact
from pumice.compiler.importing.readings import READINGS
from pumice.compiler.ir import Node
from pumice.compiler.program import Program
from pumice.compiler.text import graph_text
from pumice.errors import ArtifactError, InputError
from pumice.runtime.reference import Reference

CONFIG = TinySpikformer(blocks=2, pool=True, size=6)


@pytest.mark.parametrize("masks", ["live", "static", "given", "off"])
def test_compiled_twice_the_bytes_are_equal(compiled: Callable[..., Program], masks: str) -> None:
    assert dumps(compiled(CONFIG, masks=masks)) == dumps(compiled(CONFIG, masks=masks))


@pytest.mark.parametrize("masks", ["live", "static", "off"])
def test_reading_gives_back_the_program(compiled: Callable[..., Program], tmp_path: Path, masks: str) -> None:
    program = compiled(CONFIG, masks=masks)
    write_artifact(program, tmp_path / "net.pumice")
    read = read_artifact(tmp_path / "net.pumice")
    assert graph_text(read.graph) == graph_text(program.graph)
    assert (read.mapping, read.options, read.source_hash) == (program.mapping, program.options, program.source_hash)
    assert dumps(read) == dumps(program)
    x = images(CONFIG, 3)
    assert np.array_equal(Reference().run(read, x).outputs, Reference().run(program, x).outputs)


def test_lists_of_synapses_are_read_as_they_were_written(compiled: Callable[..., Program], tmp_path: Path) -> None:
    program = compiled(CONFIG, signs="split", synapses=3)
    write_artifact(program, tmp_path / "net.pumice")
    read = read_artifact(tmp_path / "net.pumice")
    assert (dumps(read), read.options) == (dumps(program), program.options)
    made = {(n.signs, n.synapses) for n in read.graph.nodes.values() if isinstance(n, i.Synapse)}
    assert made == {("split", 3)}


@pytest.mark.parametrize("name", READINGS)
def test_a_reading_is_read_as_it_was_written(compiled: Callable[..., Program], tmp_path: Path, name: str) -> None:
    program = compiled(CONFIG, reading=READINGS[name])
    write_artifact(program, tmp_path / "net.pumice")
    assert read_artifact(tmp_path / "net.pumice").options.reading == READINGS[name]


def test_a_program_without_a_reading_holds_no_word_of_one(compiled: Callable[..., Program]) -> None:
    plain = {"signs": "mixed", "synapses": 1}
    without, given = compiled(CONFIG, **plain), compiled(CONFIG, reading=READINGS["norse"], **plain)
    assert b'"undecided"' not in dumps(without)
    assert "reading" not in without.options.as_dict()
    assert dumps(replace(given, graph=without.graph, options=replace(given.options, reading=None))) == dumps(without)


def test_a_reading_that_nobody_knows_is_refused(compiled: Callable[..., Program], tmp_path: Path) -> None:
    path = tmp_path / "net.pumice"
    data = dumps(compiled(CONFIG, reading=READINGS["norse"]))
    for old, new, complaint in ((b"euler", b"ruler", "decay 'ruler' is unknown"), (b"floor", b"flaor", "'flaor'")):
        assert old in data
        path.write_bytes(data.replace(old, new))
        with pytest.raises(ArtifactError, match=complaint):
            read_artifact(path)


def test_streams_and_levels_are_read_as_they_were_written(tmp_path: Path) -> None:
    program = every_node()
    write_artifact(program, tmp_path / "net.pumice")
    read = read_artifact(tmp_path / "net.pumice")
    assert graph_text(read.graph) == graph_text(program.graph)
    assert read.mapping == program.mapping
    assert dumps(read) == dumps(program)
    runs = [Reference().run(p, stream_samples(3), stream_schedule(3), record=True) for p in (read, program)]
    assert np.array_equal(runs[0].outputs, runs[1].outputs)
    assert all(np.array_equal(runs[0].spikes[name], runs[1].spikes[name]) for name in runs[1].spikes)


def test_every_node_of_a_program_can_be_stored() -> None:
    """All integer nodes, but for whole attention, which is lowered before a program is made."""
    nodes = {cls for cls in vars(i).values() if isinstance(cls, type) and issubclass(cls, Node) and cls is not Node}
    assert set(NODE_TYPES.values()) == nodes - {i.IntAttention}


def test_another_network_has_another_source_hash(compiled: Callable[..., Program]) -> None:
    variants = [TinySpikformer(), TinySpikformer(seed=1), TinySpikformer(retention=0.6), TinySpikformer(state="decay")]
    assert len({compiled(config).source_hash for config in variants}) == len(variants)


def altered(program: Program, path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    """An artifact whose manifest was edited by hand."""
    path.write_bytes(dumps(program))
    with safe_open(str(path), "numpy") as file:
        manifest = json.loads(file.metadata()["pumice"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    change(manifest)
    path.write_bytes(save(tensors, {"pumice": json.dumps(manifest)}))
    return path


def set_format(manifest: dict[str, Any]) -> None:
    manifest["format"] = 99


def widen_threshold(manifest: dict[str, Any]) -> None:
    next(n for n in manifest["graph"]["nodes"] if n["name"] == "lif0")["fields"]["vth"] = 1 << 20


def lose_a_core(manifest: dict[str, Any]) -> None:
    manifest["mapping"]["cores"].pop()
    manifest["mapping"]["sites"].pop()


def double_a_site(manifest: dict[str, Any]) -> None:
    manifest["mapping"]["sites"][1] = manifest["mapping"]["sites"][0]


def cheapen_a_core(manifest: dict[str, Any]) -> None:
    manifest["mapping"]["cores"][0][0]["words"] = 0


def raise_a_limit(manifest: dict[str, Any]) -> None:
    manifest["chip"]["neurons_per_core"] = 1 << 30


def forge_a_type(manifest: dict[str, Any]) -> None:
    manifest["graph"]["nodes"][0]["type"] = "os.system"


EDITS: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (set_format, "artifact format 99, this Pumice reads 2"),
    (widen_threshold, "lif0: threshold 1048576/131071"),
    (lose_a_core, r"\d+/\d+ neurons are on no core"),
    (double_a_site, "core 1: site .* is also that of core 0"),
    (cheapen_a_core, "stored resource counts do not match"),
    (raise_a_limit, "do not match their hash"),
    (forge_a_type, "not a Pumice artifact"),
]


@pytest.mark.parametrize(("change", "message"), EDITS, ids=[e[0].__name__ for e in EDITS])
def test_a_manifest_edited_into_nonsense_is_refused(
    compiled: Callable[..., Program], tmp_path: Path, change: Callable[[dict[str, Any]], None], message: str
) -> None:
    program = compiled()
    several = on_cores(program.graph, replace(program.chip, neurons_per_core=200), program.options)
    path = altered(several, tmp_path / "net.pumice", change)
    with pytest.raises(ArtifactError, match=message):
        read_artifact(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not this", None])
def test_a_foreign_or_missing_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "net.pumice"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ArtifactError, match=str(path)):
        read_artifact(path)


def test_a_truncated_artifact_is_refused(compiled: Callable[..., Program], tmp_path: Path) -> None:
    path = tmp_path / "net.pumice"
    path.write_bytes(dumps(compiled())[:-100])
    with pytest.raises(ArtifactError, match=r"not a whole \.pumice file"):
        read_artifact(path)


def test_a_plain_safetensors_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.pumice"
    path.write_bytes(save({"x": np.zeros(3)}))
    with pytest.raises(ArtifactError, match="not a Pumice artifact"):
        read_artifact(path)


def test_a_write_that_fails_leaves_nothing_behind(compiled: Callable[..., Program], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        write_artifact(compiled(), tmp_path / "missing" / "net.pumice")
    assert list(tmp_path.iterdir()) == []
