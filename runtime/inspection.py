"""What a `.pumice` artifact holds: options, layers, masks, mapping, what each pass did. And which kind of file a file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import FORMAT, read_artifact
from pumice.compiler.groups import Group, groups_of, mask_input
from pumice.compiler.ir import Node
from pumice.compiler.passes.materialize_token_masks import kept_tokens
from pumice.compiler.program import Program
from pumice.errors import InputError
from pumice.runtime.pruning import scoring_gates
from pumice.runtime.report import mask_nodes, report_dict

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TOKEN, NO_TOKEN = "█", "·"


@dataclass(frozen=True)
class Layer:
    """A neuron group. low, high: range of its inputs' payloads. weights: stored nonzero ones and all; 0 and 0 where the layer
    has none. scale: current units per unit of the float model, for a stream payload units, for a read-out logits per unit.
    None: has no such number."""

    name: str
    kind: str
    shape: tuple[int, ...]
    low: int
    high: int
    nonzero_weights: int
    weights: int
    scale: float | None
    vth: int | None
    bias_exp: int | None
    gated: bool
    cores: int


@dataclass(frozen=True)
class Mask:
    """A block's routing. kept: tokens routed at each step, None where the schedule comes with each sample. token_map: per
    step, the token grid's rows as text; for static masks only."""

    block: int
    source: str
    tokens: int
    grid: tuple[int, int]
    retention: float
    rule: str
    state: str
    kept: tuple[int, ...] | None
    token_map: tuple[tuple[str, ...], ...]


@dataclass(frozen=True)
class ArtifactContents:
    """report: see `runtime.report.report_dict`."""

    path: str
    bytes: int
    format: int
    source_hash: str
    timesteps: int
    encoding: str
    neurons: int
    stored_weights: int
    layers: tuple[Layer, ...]
    masks: tuple[Mask, ...]
    report: dict[str, Any]


def kind_of(path: Path) -> Literal["nir", "artifact"]:
    """What to read a file as: its suffix decides, its first bytes where the suffix says nothing. Raises InputError."""
    by_suffix: dict[str, Literal["nir", "artifact"]] = {".nir": "nir", ".pumice": "artifact"}
    if path.suffix in by_suffix:
        return by_suffix[path.suffix]
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a .nir or .pumice file")
    with path.open("rb") as file:
        start = file.read(9)
    if start.startswith(HDF5_MAGIC):
        return "nir"
    if start[8:] == b"{":  # safetensors: eight bytes of header length, then JSON
        return "artifact"
    raise InputError(f"{path}: neither a NIR file nor a Pumice artifact", "give a .nir or .pumice file")


def inspect_artifact(path: Path) -> ArtifactContents:
    """The contents of an artifact. Raises ArtifactError for a missing, truncated, foreign or inconsistent file."""
    program = read_artifact(path)
    slices = [part for core in program.mapping.cores for part in core]
    return ArtifactContents(
        str(path),
        path.stat().st_size,
        FORMAT,
        program.source_hash,
        program.graph.timesteps,
        program.graph.encoding,
        sum(part.neurons for part in slices),
        sum(part.synapses for part in slices),
        tuple(_layer(group, program) for group in groups_of(program.graph)),
        tuple(_mask(node, program) for node in mask_nodes(program)),
        report_dict(program),
    )


def _layer(group: Group, program: Program) -> Layer:
    node = group.neurons
    fed = [name for synapse in group.synapses for name in synapse.inputs]
    streams = [program.graph.nodes[name].out for name in (*fed, *group.streams)]
    weights = [synapse.weight.reshape(-1) for synapse in group.synapses if isinstance(synapse, i.Synapse)]
    weight = np.concatenate([np.zeros(0, np.int64), *weights])
    return Layer(
        group.name,
        _kind(node, group.synapses),
        node.out.shape,
        min(stream.low for stream in streams),
        max(stream.high for stream in streams),
        int(np.count_nonzero(weight)),
        weight.size,
        node.scale if isinstance(node, i.Neurons | i.TokenSum) else None,
        node.vth if isinstance(node, i.IntLif) else None,
        node.bias_exp if isinstance(node, i.IntLif | i.Levels) else None,
        mask_input(node) != "",
        len(program.mapping.slices_of()[group.name]),
    )


def _kind(neurons: Node, synapses: tuple[Node, ...]) -> str:
    fed = " and ".join(_fed_by(neurons, synapse) for synapse in synapses)
    match neurons:
        case i.IntLif():
            return f"LIF of {fed}"
        case i.Programmable():
            return f"{'programmable neurons' if neurons.params.most else 'integrators'} of {fed}"
        case i.Levels():
            return f"levels of {fed}"
        case i.Membrane():
            return f"membrane of {fed}"
        case i.Readout():
            return "read-out"
        case i.OrPool() | i.MaxPool():
            return f"{'OR' if isinstance(neurons, i.OrPool) else 'max'} pool {neurons.kernel}×{neurons.kernel}"
        case i.SpikeMatmul():
            return f"counts of {neurons.pattern}"
        case i.TokenSum():
            return "sum over tokens"
        case i.SpikeAnd():
            return "spikes that a gate lets pass"
        case _:
            return "sum"


def _fed_by(neurons: Node, synapse: Node) -> str:
    match synapse:
        case i.SpikeMatmul():
            return synapse.pattern
        case i.OneToOne():
            return "a stream"
        case i.Synapse() if len(neurons.out.shape) == 3:
            grouped = f" in {synapse.groups} groups" if synapse.groups > 1 else ""
            return f"conv {synapse.weight.shape[2]}×{synapse.weight.shape[3]}{grouped}"
        case _:
            return "tokens"


def _mask(node: i.MaskSource, program: Program) -> Mask:
    gate = next(g for g in scoring_gates(program) if g.block == node.block)
    source = {i.StaticMask: "static", i.LiveMask: "live", i.GivenMask: "given"}[type(node)]
    kept: tuple[int, ...] | None = None
    rows: tuple[tuple[str, ...], ...] = ()
    if isinstance(node, i.StaticMask):
        kept = tuple(int(n) for n in node.masks.sum(axis=1))
        rows = tuple(_map_rows(mask.reshape(gate.grid)) for mask in node.masks)
    elif isinstance(node, i.LiveMask):
        kept = (kept_tokens(node),) * program.graph.timesteps
    rule = gate.criterion.rule if gate.criterion else ""
    return Mask(node.block, source, node.out.shape[0], gate.grid, gate.retention, rule, gate.state, kept, rows)


def _map_rows(mask: np.ndarray[Any, np.dtype[np.bool_]]) -> tuple[str, ...]:
    return tuple("".join(TOKEN if on else NO_TOKEN for on in row) for row in mask)
