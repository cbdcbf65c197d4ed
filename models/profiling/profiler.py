"""Synaptic operations of any torch module, layer by layer, by every definition in use. No compilation: forward passes.

The definitions are those of `pumice.hwsim.counters` (`events`, `events_weighted`, `eq25`, `dense`), computed here by running
the layers themselves on 0/1 copies of their inputs and weights, so that stride, padding, dilation and groups mean what torch
says they mean. Counts are per sample; a layer that runs once per timestep is counted once per timestep, one that runs once
per sample is counted once (`LayerProfile.runs` says which). Products of activations: see `profile_products`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from pumice.errors import InputError
from pumice.models.multispike import MultiSpike
from pumice.models.profiling.activations import activation_layers, count_outputs
from pumice.models.profiling.layers import count_layer
from pumice.models.profiling.products import Products, settle_sums
from pumice.models.profiling.tally import (
    ActivationProfile,
    Frame,
    Layer,
    LayerProfile,
    NeuroBench,
    Tally,
    activation_profile,
    layer_profile,
)

__all__ = ["ActivationProfile", "LayerProfile", "NeuroBench", "Profile", "profile"]


@dataclass(frozen=True)
class Profile:
    """layers in the order of their first call; activations: the activation layers, likewise; samples profiled; steps: the
    timesteps T, where the module names them; parameters: how many; neurobench: the same by NeuroBench's definitions;
    uncounted: arithmetic that ran and is in no count, with how often."""

    layers: tuple[LayerProfile, ...]
    activations: tuple[ActivationProfile, ...]
    samples: int
    steps: int | None
    parameters: int
    neurobench: NeuroBench
    uncounted: tuple[tuple[str, int], ...]

    def total(self, field: str, spike_valued: bool | None = None) -> float:
        """Sum of one count per sample, over all layers or over those with (or without) whole-numbered input."""
        chosen = [layer for layer in self.layers if spike_valued in (None, layer.spike_valued)]
        return float(sum(getattr(layer, field) for layer in chosen))


def profile(module: nn.Module, batches: Iterable[Tensor], activations: tuple[type[nn.Module], ...] = ()) -> Profile:
    """Runs `module` on `batches` (the first axis of each is its samples) and counts what its layers did.

    Counts `Linear`, `Conv1d`, `Conv2d`, `Conv3d` and products of two activations (attention; see `profile_products`).
    activations: classes of activation layers besides those of `activations.is_activation`. The module is run as it is, in
    its present mode, without gradients. Raises InputError where nothing was counted.
    """
    tally = Tally(_levels(module))
    footprint = _footprint(module)  # before the run: snnTorch keeps its membranes as buffers
    samples = calls = 0
    reset = _resetter(module)
    with ExitStack() as stack, torch.no_grad():
        for handle in _hooks(module, tally, activations):
            stack.callback(handle.remove)
        for batch in batches:
            reset()
            with Products(module, tally):
                module(batch)
            tally.frames.clear()
            samples += batch.shape[0]
            calls += 1
    rows = {name: row for name, row in tally.layers.items() if row.kind != "mul" or row.spike_valued}
    if not rows or samples == 0:
        raise InputError(
            "nothing to count: no sample, or no Linear, Conv or matmul ran", "give batches of at least one sample"
        )
    return Profile(
        layers=tuple(layer_profile(name, row, calls, samples) for name, row in rows.items()),
        activations=tuple(activation_profile(name, row, calls, samples) for name, row in tally.activations.items()),
        samples=samples,
        steps=_steps(module),
        parameters=sum(w.numel() for w in module.parameters()),
        neurobench=_neurobench(module, tally, samples, footprint),
        uncounted=tuple(tally.uncounted.items()),
    )


def _neurobench(module: nn.Module, tally: Tally, samples: int, footprint: int) -> NeuroBench:
    elements = sum(row.elements for row in tally.activations.values())
    nonzero = sum(row.nonzero for row in tally.activations.values())
    return NeuroBench(
        effective_macs=tally.macs / samples,
        effective_acs=tally.acs / samples,
        dense=tally.dense / samples,
        footprint_bytes=footprint,
        connection_sparsity=_connection_sparsity(module),
        activation_sparsity=(elements - nonzero) / elements if elements else None,
    )


def _footprint(module: nn.Module) -> int:
    return sum(w.numel() * w.element_size() for w in (*module.parameters(), *module.buffers()))


def _connection_sparsity(module: nn.Module) -> float:
    stored = [m.weight for m in module.modules() if isinstance(m, Layer)]
    total = sum(w.numel() for w in stored)
    return float(sum(int((w == 0).sum()) for w in stored)) / total if total else 0.0


def _levels(module: nn.Module) -> int:
    """How many levels of a MultiSpike neuron make 1; 1 without such neurons."""
    return math.lcm(*(m.norm for m in module.modules() if isinstance(m, MultiSpike)))


def _steps(module: nn.Module) -> int | None:
    """T of our networks' configurations, or of the official networks' attribute."""
    for owner in (getattr(module, "config", None), module):
        steps = getattr(owner, "T", None)
        if isinstance(steps, int) and not isinstance(steps, bool):
            return steps
    return None


def _resetter(module: nn.Module) -> Callable[[], None]:
    """Forgets membranes between batches where modules keep them (SpikingJelly's `reset`, snnTorch's `reset_mem`)."""
    names = ("reset", "reset_mem")
    found = [getattr(m, name) for m in module.modules() for name in names if callable(getattr(m, name, None))]

    def reset() -> None:
        for one in found:
            one()

    return reset


def _hooks(module: nn.Module, tally: Tally, more: tuple[type[nn.Module], ...]) -> list[RemovableHandle]:
    """Counts layers and activations, and keeps in `tally.frames` the modules whose forward is running, innermost last."""
    neurons = {id(neuron) for _, neuron in activation_layers(module, more)}
    handles = []
    for name, part in module.named_modules():
        neuron = id(part) in neurons
        if neuron:
            handles.append(part.register_forward_pre_hook(lambda _, x: settle_sums(tally, x[0] if x else None)))
            handles.append(part.register_forward_hook(_activation_counter(name, tally)))
        handles.append(part.register_forward_pre_hook(_enter(name, neuron, tally)))
        handles.append(part.register_forward_hook(_leave(tally)))
        if isinstance(part, Layer):
            handles.append(part.register_forward_pre_hook(_layer_counter(name, part, tally)))
    return handles


def _enter(name: str, neuron: bool, tally: Tally) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    return lambda module, _: tally.frames.append(Frame(name, module, neuron))


def _leave(tally: Tally) -> Callable[..., None]:
    def leave(*_: object) -> None:
        left = tally.frames.pop()
        if tally.frames:  # a sum may reach its neurons only outside of the module that made it
            tally.frames[-1].pending += left.pending

    return leave


def _activation_counter(name: str, tally: Tally) -> Callable[..., None]:
    return lambda module, _, output: tally.add_activation(name, count_outputs(module, output))


def _layer_counter(name: str, layer: Layer, tally: Tally) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    return lambda _, inputs: count_layer(name, layer, inputs[0].detach(), tally)
