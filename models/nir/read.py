"""A spiking transformer read back from the NIR graph that `nir.export` wrote: configuration, weights and token pruning."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

from pumice.compiler.dialect import read_extension
from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.nir.export import to_nir
from pumice.models.nir.families import family_named, known
from pumice.models.nir.load import AGAIN, extension_at, load_layers
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.pruning.variants import apply_variant

NOT_NUMBERS = ("input_type", "output_type", "metadata", "nodes", "edges", "type_check")


def from_nir(graph: nir.NIRGraph) -> SpikingNetwork:
    """The model, in eval mode. Exporting it again gives the same arrays, byte for byte.

    What inference does not use (LayerNorms, counters) is not in NIR and starts fresh. Raises InputError for a graph that
    no family of `nir_families` wrote or that was rewired, UnsupportedNode for another version of the dialect.
    """
    facts = _facts(graph)
    model = _build(facts).to(_dtype(graph))
    pruning = _pruning(graph)
    if pruning is not None:
        model.pruning = pruning
    with torch.no_grad():
        load_layers(graph, model)
    _check_same(graph, to_nir(model, facts.get("encoding")), str(facts["family"]))
    return model


def _facts(graph: nir.NIRGraph) -> dict[str, Any]:
    entry = read_extension(graph.nodes["input"], "input") if "input" in graph.nodes else None
    facts = entry.attributes if entry else {}
    if family_named(facts.get("family")) is None:
        raise InputError(
            f"the NIR graph is of family {facts.get('family')!r}, which is none of ours",
            f"only exported models load as one ({known()}): {AGAIN}",
        )
    return facts


def _build(facts: dict[str, Any]) -> SpikingNetwork:
    """The network of the configuration, without its weights."""
    family = family_named(facts["family"])
    assert family is not None
    try:
        given = dict(facts["config"])
        steps = {"T": int(facts["timesteps"])} if "T" in given else {}
        model = family.build(family.config(**given | steps)).eval()
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"NIR node 'input': the configuration is damaged ({error})", AGAIN) from error
    apply_variant(model, facts.get("variant", {}))
    return model


def _dtype(graph: nir.NIRGraph) -> torch.dtype:
    """The precision that the model was exported in."""
    head = getattr(graph.nodes.get("head"), "weight", None)
    return torch.float64 if getattr(head, "dtype", None) == np.float64 else torch.float32


def _pruning(graph: nir.NIRGraph) -> TokenPruning | None:
    """The pruning of the graph's scoring gates; None without any, or where a learned selector scores."""
    gates = [extension_at(graph, name, "TokenGate").attributes for name in graph.nodes if _is_gate(graph, name)]
    try:
        scoring = sorted((gate for gate in gates if "mask_of" not in gate), key=lambda gate: int(gate["block"]))
        if not scoring or scoring[0]["criterion"] == {"rule": "selector"}:
            return None
        rules = [(Criterion(**gate["criterion"]), gate["state"]) for gate in scoring]
        retention = tuple(float(gate["retention"]) for gate in scoring)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a token gate's entry is damaged ({error})", AGAIN) from error
    if any(rule != rules[0] for rule in rules):
        raise InputError("the blocks' token gates differ in criterion or state", "use one rule for the whole model")
    return TokenPruning(retention, *rules[0])


def _is_gate(graph: nir.NIRGraph, name: str) -> bool:
    entry = read_extension(graph.nodes[name], name)
    return entry is not None and entry.op == "TokenGate"


def _check_same(graph: nir.NIRGraph, again: nir.NIRGraph, family: str) -> None:
    """The graph must mean what the model computes: a rewired or edited one would otherwise be read as the plain model."""
    edges, wanted = set(graph.edges), set(again.edges)
    if edges != wanted:
        edge = min(edges ^ wanted)
        raise InputError(f"the NIR graph is not wired as a {family}: edge {edge[0]} -> {edge[1]}", AGAIN)
    for name, node in again.nodes.items():
        _check_node(graph.nodes[name], node, name, family)


def _check_node(found: Any, wanted: Any, name: str, family: str) -> None:
    if type(found) is not type(wanted) or read_scalars(found, name) != read_scalars(wanted, name):
        raise InputError(f"NIR node {name!r} is not what a {family} has there", AGAIN)
    ours, theirs = _values(wanted, name), _values(found, name)
    for key in sorted(ours.keys() | theirs.keys()):
        if key not in ours or key not in theirs or not np.array_equal(ours[key], theirs[key]):
            raise InputError(f"NIR node {name!r}: {key} is not what a {family} has there", AGAIN)


def _values(node: Any, name: str) -> dict[str, NDArray[Any]]:
    """What a node says in numbers: its own fields and the arrays of its dialect entry. A nested graph's body says nothing."""
    entry = read_extension(node, name)
    own = {key: np.asarray(value) for key, value in vars(node).items() if key not in NOT_NUMBERS}
    return own | (entry.arrays if entry else {})


def read_scalars(node: Any, name: str) -> tuple[str, dict[str, Any], tuple[str, ...]] | None:
    """A node's dialect entry without its arrays: op, attributes, operands."""
    entry = read_extension(node, name)
    return None if entry is None else (entry.op, entry.attributes, entry.operands)
