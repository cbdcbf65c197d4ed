"""The artifact: a compiled program in one `.pumice` file.

A safetensors file whose single metadata entry `pumice` is a JSON manifest: format version, source hash, chip and its hash,
options, graph, mapping, report. Arrays are tensors named `<node>/<field>`; routing masks are packed, one bit a token. The
same program gives the same bytes. No pickle anywhere; loading checks everything it relies on.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from pumice.compiler import int_nodes
from pumice.compiler.ir import Change, Graph, Node, TensorType, in_topological_order
from pumice.compiler.mapping.layouts import layouts_of
from pumice.compiler.mapping.legality import mapping_problems
from pumice.compiler.options import options_of_dict
from pumice.compiler.program import CoreMapping, Program, Site, Slice
from pumice.compiler.verify import verify
from pumice.errors import ArtifactError, InputError, PumiceError, VerifyError
from pumice.files import write_atomically
from pumice.hwsim.programmable import NeuronParams
from pumice.hwsim.scoring import Criterion
from pumice.hwsim.spec import ChipSpec

FORMAT = 2
KEY = "pumice"
NODE_TYPES: Mapping[str, type[Node]] = {
    cls.__name__: cls
    for cls in (
        int_nodes.GradedInput,
        int_nodes.Synapse,
        int_nodes.OneToOne,
        int_nodes.IntLif,
        int_nodes.Programmable,
        int_nodes.Levels,
        int_nodes.Membrane,
        int_nodes.OrPool,
        int_nodes.MaxPool,
        int_nodes.TokenSum,
        int_nodes.SpikeAnd,
        int_nodes.Sum,
        int_nodes.Reshape,
        int_nodes.SpikeMatmul,
        int_nodes.TokenGate,
        int_nodes.StaticMask,
        int_nodes.LiveMask,
        int_nodes.GivenMask,
        int_nodes.Delay,
        int_nodes.Past,
        int_nodes.Feedback,
        int_nodes.Currents,
        int_nodes.Readout,
    )
}
COMMON = ("name", "inputs", "out", "source")


def dumps(program: Program) -> bytes:
    """The artifact's bytes; equal programs give equal bytes."""
    tensors: dict[str, NDArray[Any]] = {}
    graph = program.graph
    manifest = {
        "format": FORMAT,
        "source_hash": program.source_hash,
        "chip": program.chip.as_dict(),
        "chip_hash": program.chip.digest(),
        "options": program.options.as_dict(),
        "graph": {
            "nodes": [_node_entry(node, tensors) for node in graph.nodes.values()],
            "output": graph.output,
            "timesteps": graph.timesteps,
            "encoding": graph.encoding,
            **({"outputs": [list(pair) for pair in graph.outputs]} if len(graph.outputs) > 1 else {}),
        },
        "mapping": {
            "cores": [[asdict(part) for part in slices] for slices in program.mapping.cores],
            "sites": [asdict(site) for site in program.mapping.sites],
        },
        "report": [{"by": c.by, "node": c.node, "text": c.text, "data": dict(c.data)} for c in graph.log],
    }
    return save(tensors, {KEY: json.dumps(manifest, sort_keys=True)})


def write_artifact(program: Program, path: Path) -> None:
    """Writes the artifact beside `path` and renames it into place, so that a failure leaves the old file whole."""
    write_atomically(path, dumps(program))


def read_artifact(path: Path) -> Program:
    """The program in `path`. Raises ArtifactError for a missing, truncated, foreign or inconsistent file."""
    if not path.is_file():
        raise ArtifactError(f"{path}: no such file", "give the path of a .pumice file, written by `pumice compile`")
    try:
        with safe_open(str(path), framework="numpy") as file:
            manifest = json.loads((file.metadata() or {})[KEY])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if manifest["format"] != FORMAT:
            raise ArtifactError(
                f"{path}: artifact format {manifest['format']}, this Pumice reads {FORMAT}", "compile it again"
            )
        program = _program(manifest, tensors)
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise ArtifactError(f"{path}: not a whole .pumice file ({error})", "compile it again") from error
    except (VerifyError, InputError) as error:
        raise ArtifactError(f"{path}: {error}", "compile it again") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArtifactError(
            f"{path}: not a Pumice artifact ({type(error).__name__}: {error})", "compile it again"
        ) from error
    check(program, path)
    return program


def check(program: Program, where: Path | str) -> None:
    """Raises ArtifactError, with every violation, where a program breaks the rules of its chip or of its own mapping."""
    problems: list[str] = []
    try:
        verify(program.graph, program.chip, "loading")
    except PumiceError as error:
        problems.append(str(error))
    else:
        problems += mapping_problems(program)
    if problems:
        raise ArtifactError(f"{where}: {'; '.join(problems)}", "compile it again")


def _node_entry(node: Node, tensors: dict[str, NDArray[Any]]) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": type(node).__name__, "name": node.name, "inputs": list(node.inputs)}
    entry |= {"source": node.source, "out": asdict(node.out), "fields": {}}
    for field in fields(node):
        if field.name in COMMON:
            continue
        entry["fields"][field.name] = _field_entry(getattr(node, field.name), f"{node.name}/{field.name}", tensors)
    return entry


def _field_entry(value: Any, key: str, tensors: dict[str, NDArray[Any]]) -> Any:
    if isinstance(value, NeuronParams):
        return {p.name: _field_entry(getattr(value, p.name), f"{key}/{p.name}", tensors) for p in fields(value)}
    if isinstance(value, np.ndarray):
        tensors[key] = _packed(value)
        return {"array": list(value.shape), "bits": value.dtype == np.bool_}
    return value.as_dict() if isinstance(value, Criterion) else value


def _packed(array: NDArray[Any]) -> NDArray[Any]:
    """Masks as bits; integers in the narrowest type that holds them."""
    if array.dtype == np.bool_:
        return np.packbits(array)
    for dtype in (np.int8, np.int16, np.int32):
        if array.size == 0 or (array.min() >= np.iinfo(dtype).min and array.max() <= np.iinfo(dtype).max):
            return np.ascontiguousarray(array.astype(dtype))
    return np.ascontiguousarray(array)


def _program(manifest: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Program:
    g, m = manifest["graph"], manifest["mapping"]
    nodes = {entry["name"]: _node(entry, tensors) for entry in g["nodes"]}
    log = tuple(Change(c["by"], c["node"], c["text"], c["data"]) for c in manifest["report"])
    outputs = tuple((str(name), str(node)) for name, node in g.get("outputs", ()))
    graph = Graph(in_topological_order(nodes), g["output"], "balanced", g["timesteps"], g["encoding"], log, outputs)
    cores = tuple(tuple(_slice(part) for part in slices) for slices in m["cores"])
    mapping = CoreMapping(cores, tuple(Site(**site) for site in m["sites"]), layouts_of(graph))
    chip = ChipSpec(**manifest["chip"])
    if chip.digest() != manifest["chip_hash"]:
        raise ValueError("the chip's numbers do not match their hash")
    return Program(graph, mapping, chip, options_of_dict(manifest["options"]), manifest["source_hash"])


def _slice(entry: dict[str, Any]) -> Slice:
    ranges = {key: tuple(entry[key]) for key in ("channels", "positions", "formats")}
    return Slice(**(entry | ranges))


def _node(entry: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Node:
    cls = NODE_TYPES[entry["type"]]
    out = TensorType(**(entry["out"] | {"shape": tuple(entry["out"]["shape"])}))
    values = {key: _field(value, tensors, f"{entry['name']}/{key}") for key, value in entry["fields"].items()}
    if isinstance(values.get("criterion"), dict):
        values["criterion"] = Criterion(**values["criterion"])
    if isinstance(values.get("params"), dict):
        key = f"{entry['name']}/params"
        values["params"] = NeuronParams(**{k: _field(v, tensors, f"{key}/{k}") for k, v in values["params"].items()})
    return cls(entry["name"], tuple(entry["inputs"]), out, entry["source"], **values)


def _field(value: Any, tensors: dict[str, NDArray[Any]], key: str) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict) or "array" not in value:
        return value
    shape = tuple(value["array"])
    if value["bits"]:
        return np.unpackbits(tensors[key], count=int(np.prod(shape))).reshape(shape).astype(np.bool_)
    return tensors[key].reshape(shape).astype(np.int64)
