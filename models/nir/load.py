"""The parameters of a network's layers, copied out of a NIR graph whose nodes have the layers' names."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.compiler.dialect import Extension, read_extension
from pumice.errors import InputError
from pumice.models.multispike import MultiSpike
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import LIF
from pumice.models.nir.sparse_spikformer import selector_layers
from pumice.models.sparse_spikformer import SparseSpikformer

AGAIN = "export the model again with `pumice export`"
BATCH_NORM_KEYS = {"weight": "gamma", "bias": "beta", "running_mean": "mean", "running_var": "var"}
SELECTOR_KEYS = (("w1", "b1"), ("w2", "b2"))
UNUSED = ("talking_heads",)  # last parts of the names of layers that stand in a state dict and are never applied


def load_layers(graph: nir.NIRGraph, model: SpikingNetwork) -> None:
    """Copies every layer's parameters. Raises InputError for a node or an array that is missing or misshapen."""
    for name, module in model.named_modules():
        if name.rsplit(".", 1)[-1] not in UNUSED and not name.startswith("predictor."):
            _load(graph, name, module)
    if isinstance(model, SparseSpikformer):
        _load_selectors(graph, model)


def _load(graph: nir.NIRGraph, name: str, module: nn.Module) -> None:
    """Copies one layer's parameters; modules without any pass."""
    match module:
        case nn.BatchNorm1d() | nn.BatchNorm2d():
            arrays = extension_at(graph, name, "BatchNorm").arrays
            for key, stored in BATCH_NORM_KEYS.items():
                _copy(getattr(module, key), arrays.get(stored), f"{name}.{stored}")
        case nn.Linear() | nn.Conv1d() | nn.Conv2d():
            _load_linear(graph, name, module)
        case LIF():
            entry = read_extension(_node(graph, name), name) or Extension("")
            module.tau = _uniform(graph, name, "tau") / float(entry.attributes.get("dt", np.nan))
            module.v_threshold = _uniform(graph, name, "v_threshold")
        case MultiSpike():
            attributes = extension_at(graph, name, "MultiSpike").attributes
            try:
                module.levels, module.norm = int(attributes["levels"]), int(attributes["norm"])
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"NIR node {name!r}: the MultiSpike entry is damaged ({error})", AGAIN) from error


def _load_linear(graph: nir.NIRGraph, name: str, layer: nn.Linear | nn.Conv1d | nn.Conv2d) -> None:
    """A layer that runs on tokens stands in NIR as a Conv1d of kernel 1, `[O, I, 1]`, whatever it is in torch."""
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        arrays = extension_at(graph, name, "GroupedConv").arrays
        _copy(layer.weight, arrays.get("weight"), f"{name}.weight")
        if layer.bias is not None:
            _copy(layer.bias, arrays.get("bias"), f"{name}.bias")
        return
    weight, shape = _field(graph, name, "weight"), tuple(layer.weight.shape)
    on_tokens = weight.ndim == 3 and weight.shape == (*shape[:2], 1) and layer.weight[0, 0].numel() == 1
    _copy(layer.weight, weight.reshape(shape) if on_tokens else weight, f"{name}.weight")
    if layer.bias is not None:
        _copy(layer.bias, _field(graph, name, "bias"), f"{name}.bias")


def _load_selectors(graph: nir.NIRGraph, model: SparseSpikformer) -> None:
    """A token selector stands in the arrays of its block's gate."""
    for selector, block in enumerate(model.config.pruning_loc):
        gate = f"block.{block}.gate"
        arrays = extension_at(graph, gate, "TokenGate").arrays
        for layer, (weight, bias) in zip(selector_layers(model, selector), SELECTOR_KEYS, strict=True):
            _copy(layer.weight, arrays.get(weight), f"{gate}.{weight}")
            _copy(layer.bias, arrays.get(bias), f"{gate}.{bias}")


def extension_at(graph: nir.NIRGraph, name: str, op: str) -> Extension:
    """The dialect entry of a node. Raises InputError where there is no such node, or another operation."""
    entry = read_extension(_node(graph, name), name)
    if entry is None or entry.op != op:
        raise InputError(f"NIR node {name!r} is not a {op} of the Pumice dialect", AGAIN)
    return entry


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
        raise InputError(f"NIR node {name!r}: {key} differs between neurons; our models have one per layer", AGAIN)
    return float(values[0])


def _copy(target: Tensor, stored: NDArray[Any] | None, where: str) -> None:
    if stored is None or stored.shape != tuple(target.shape):
        found = "missing" if stored is None else f"{stored.shape}"
        raise InputError(f"NIR array {where} is {found}, not {tuple(target.shape)}", AGAIN)
    target.copy_(torch.from_numpy(np.ascontiguousarray(stored)))
