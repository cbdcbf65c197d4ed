"""A Spikformer read back from the NIR graph that `nir_export` wrote: configuration, weights and token pruning."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.compiler.dialect import Extension, read_extension
from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.neuron import LIF
from pumice.models.nir_export import FAMILY, to_nir
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.token_pruning import TokenPruning

AGAIN = "export the model again with `pumice export`"
BATCH_NORM_KEYS = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}


def from_nir(graph: nir.NIRGraph) -> Spikformer:
    """The model, in eval mode. Exporting it again gives the same arrays, byte for byte.

    What inference does not use (LayerNorms, counters) is not in NIR and starts fresh. Raises InputError for a graph that
    is not a Spikformer or that was rewired, UnsupportedNode for another version of the dialect.
    """
    config = _config(graph)
    model = Spikformer(config, _pruning(graph, config)).eval()
    with torch.no_grad():
        for name, module in model.named_modules():
            _load(graph, name, module)
    _check_same(graph, to_nir(model))
    return model


def _config(graph: nir.NIRGraph) -> SpikformerConfig:
    entry = read_extension(graph.nodes["input"], "input") if "input" in graph.nodes else None
    family = entry.attributes.get("family") if entry else None
    if entry is None or family != FAMILY:
        raise InputError(
            f"the NIR graph is of family {family!r}, not {FAMILY!r}", f"only exported Spikformers load as one: {AGAIN}"
        )
    try:
        return SpikformerConfig(**{**entry.attributes["config"], "T": int(entry.attributes["timesteps"])})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"NIR node 'input': the configuration is damaged ({error})", AGAIN) from error


def _pruning(graph: nir.NIRGraph, config: SpikformerConfig) -> TokenPruning | None:
    if "block.0.gate" not in graph.nodes:
        return None
    gates = [_extension(graph, f"block.{block}.gate", "TokenGate").attributes for block in range(config.depths)]
    try:
        rules = [(Criterion(**gate["criterion"]), gate["state"]) for gate in gates]
        retention = tuple(float(gate["retention"]) for gate in gates)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a token gate's entry is damaged ({error})", AGAIN) from error
    if any(rule != rules[0] for rule in rules):
        raise InputError("the blocks' token gates differ in criterion or state", "use one rule for the whole model")
    return TokenPruning(retention, *rules[0])


def _load(graph: nir.NIRGraph, name: str, module: nn.Module) -> None:
    """Copies one layer's parameters out of the graph; modules without any pass."""
    if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
        arrays = _extension(graph, name, "BatchNorm").arrays
        for key, stored in BATCH_NORM_KEYS.items():
            _copy(getattr(module, key), arrays.get(stored), f"{name}.{stored}")
    elif isinstance(module, nn.Conv2d):
        _copy(module.weight, _field(graph, name, "weight"), f"{name}.weight")
    elif isinstance(module, nn.Linear):
        weight = _field(graph, name, "weight")
        _copy(module.weight, weight[..., 0] if weight.ndim == 3 else weight, f"{name}.weight")
        _copy(module.bias, _field(graph, name, "bias"), f"{name}.bias")
    elif isinstance(module, LIF):
        entry = read_extension(_node(graph, name), name) or Extension("")
        module.tau = _uniform(graph, name, "tau") / float(entry.attributes.get("dt", np.nan))
        module.v_threshold = _uniform(graph, name, "v_threshold")


def _node(graph: nir.NIRGraph, name: str) -> Any:
    if name not in graph.nodes:
        raise InputError(f"the NIR graph has no node {name!r}, which its configuration asks for", AGAIN)
    return graph.nodes[name]


def _field(graph: nir.NIRGraph, name: str, key: str) -> NDArray[Any]:
    value = getattr(_node(graph, name), key, None)
    if value is None:
        raise InputError(f"NIR node {name!r} is a {type(_node(graph, name)).__name__} without {key!r}", AGAIN)
    return np.asarray(value)


def _uniform(graph: nir.NIRGraph, name: str, key: str) -> float:
    values = np.unique(_field(graph, name, key))
    if values.size != 1:
        raise InputError(f"NIR node {name!r}: {key} differs between neurons; a Spikformer has one per layer", AGAIN)
    return float(values[0])


def _extension(graph: nir.NIRGraph, name: str, op: str) -> Extension:
    entry = read_extension(_node(graph, name), name)
    if entry is None or entry.op != op:
        raise InputError(f"NIR node {name!r} is not a {op} of the Pumice dialect", AGAIN)
    return entry


def _copy(target: Tensor, stored: NDArray[Any] | None, where: str) -> None:
    if stored is None or stored.shape != tuple(target.shape):
        found = "missing" if stored is None else f"{stored.shape}"
        raise InputError(f"NIR array {where} is {found}, not {tuple(target.shape)}", AGAIN)
    target.copy_(torch.from_numpy(np.ascontiguousarray(stored)))


def _check_same(graph: nir.NIRGraph, again: nir.NIRGraph) -> None:
    """The graph must mean what the model computes: a rewired or edited one would otherwise be read as the plain model."""
    edges, wanted = set(graph.edges), set(again.edges)
    if edges != wanted:
        edge = min(edges ^ wanted)
        raise InputError(f"the NIR graph is not wired as a Spikformer: edge {edge[0]} -> {edge[1]}", AGAIN)
    for name, node in again.nodes.items():
        _check_node(graph.nodes[name], node, name)


def _check_node(found: Any, wanted: Any, name: str) -> None:
    if type(found) is not type(wanted) or read_scalars(found, name) != read_scalars(wanted, name):
        raise InputError(f"NIR node {name!r} is not what a Spikformer has there", AGAIN)
    for key, value in vars(wanted).items():
        if isinstance(value, np.ndarray) and not np.array_equal(value, np.asarray(getattr(found, key))):
            raise InputError(f"NIR node {name!r}: {key} is not what a Spikformer has there", AGAIN)


def read_scalars(node: Any, name: str) -> tuple[str, dict[str, Any], tuple[str, ...]] | None:
    """A node's dialect entry without its arrays: op, attributes, operands."""
    entry = read_extension(node, name)
    return None if entry is None else (entry.op, entry.attributes, entry.operands)
