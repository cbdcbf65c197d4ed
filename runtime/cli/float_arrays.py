"""The float backend on the command line: a model of our own from its file, or any NIR graph by a reading."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.dialect import read_extension
from pumice.compiler.importing.ambiguity import open_question
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nir_file import NirFile, read_nir, read_nir_file
from pumice.compiler.importing.readings import NIR, READINGS, Reading
from pumice.errors import InputError
from pumice.runtime.cli.common import read_array, read_samples

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class RunArrays:
    """arrays: what the command writes. samples: how many there were. log: what was assumed and mended. facts: what `--json`
    holds, None where the backend has nothing for it. outputs: which of the arrays are no layer's."""

    arrays: Arrays
    samples: int
    log: tuple[str, ...] = ()
    facts: Mapping[str, Any] | None = None
    outputs: tuple[str, ...] = ("output", "logits")


def float_arrays(
    path: Path, where: str, masks: NDArray[np.bool_] | None, record: bool, reading: Reading | None, named: bool
) -> RunArrays:
    """Runs a `.nir` file. Without a reading, a file that names its model family runs as that torch model; every other runs as a
    graph. named: whether the reading is a framework's, so that nothing is left to warn of."""
    if path.suffix != ".nir":
        raise InputError(f"{path}: the float backend runs the model, not an artifact", "give the .nir file")
    file = read_nir_file(path)
    if reading is None and _has_family(file.graph):
        return _model_arrays(path, where, masks, record)
    if masks is not None:
        raise InputError("--masks goes with programs and with the torch model", "leave it out")
    _warn(file.graph, reading or NIR, named)
    return _graph_arrays(file, where, record, reading or NIR)


def _has_family(graph: nir.NIRGraph) -> bool:
    inputs = [(name, node) for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    entries = [read_extension(node, name) for name, node in inputs]
    return any(entry and "family" in entry.attributes for entry in entries)


def _warn(graph: nir.NIRGraph, reading: Reading, named: bool) -> None:
    question = open_question(graph, reading, named)
    if question:
        options = " and ".join(f"--{field}" for field in reading.undecided) if named else f"--from {'|'.join(READINGS)}"
        sys.stderr.write(f"warning: {question} — say which is meant with {options}\n")


def _model_arrays(path: Path, where: str, masks: NDArray[np.bool_] | None, record: bool) -> RunArrays:
    from pumice.runtime.float_model import run_float, torch_device

    torch_device()
    from pumice.models.nir.read import from_nir

    samples = read_samples(where).inputs
    result = run_float(from_nir(read_nir(path)), samples, masks, record)
    arrays: Arrays = {"output": result.logits, "logits": result.logits, **result.spikes}
    return RunArrays(arrays, len(samples))


def _graph_arrays(file: NirFile, where: str, record: bool, reading: Reading) -> RunArrays:
    from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph

    graph = import_nir(file.graph, reading, file.repairs)
    given, batched = graph_frames(graph, _samples(where, [node.name for node in input_nodes(graph)]))
    result = run_graph(graph, given)
    outputs = dict(result.outputs)
    found = {"output": next(iter(outputs.values()))} if len(outputs) == 1 else outputs
    clash = sorted(set(found) & set(result.values)) if record else []
    if clash:
        raise InputError(
            f"output {clash[0]!r} and node {clash[0]!r} have one name", "rename one, or leave out --record"
        )
    arrays = {name: _sample_first(x, batched) for name, x in {**(result.values if record else {}), **found}.items()}
    samples = next(iter(given.values())).shape[1]
    log = tuple(change.text for change in graph.log)
    return RunArrays(arrays, samples, log, {"reading": reading.as_dict(), "log": log}, tuple(found))


def _samples(where: str, names: list[str]) -> Mapping[str, NDArray[Any]]:
    """A `.npy` array for the one input, or an `.npz` with one array for each."""
    if not where.endswith(".npz"):
        if len(names) > 1:
            raise InputError(f"{where}: one array for the inputs {', '.join(names)}", "give an .npz with one for each")
        return {names[0]: read_array(Path(where)) if where.endswith(".npy") else read_samples(where).inputs}
    if not Path(where).is_file():
        raise InputError(f"{where}: no such file", "give the path of an .npz archive")
    try:
        with np.load(where, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive}
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{where}: not a whole .npz archive ({error})", "write it with numpy.savez") from error


def _sample_first(x: NDArray[Any], batched: bool) -> NDArray[Any]:
    """[T, B, …] as [samples, T, …], or [T, …] of a single sample that came without an axis for it."""
    return np.moveaxis(x, 0, 1) if batched else x[:, 0]
