"""Random weights that make a spiking network fire as a trained one might: every layer at a rate of its own choosing.

Nothing is trained. One pass over a few images visits the layers in their order; each BatchNorm gets the statistics of what
reaches it, and a bias by which the neurons that read it next fire at their rate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pumice.models.multispike import MultiSpike
from pumice.models.network import SpikingNetwork
from pumice.models.neuron import LIF

Norm = nn.BatchNorm1d | nn.BatchNorm2d
Spiking = LIF | MultiSpike
HALVINGS = 12  # of the interval in which a bias is sought
REACH = 8.0  # standard deviations of a layer's input: that interval's half
VALUES = 1 << 18  # inputs of a layer that its rate is measured on


@dataclass(frozen=True)
class Rates:
    """Share of a layer's neurons that send something at a timestep: `usual`, or by the end of the layer's name. spread: standard
    deviation of the biases within a layer, so that some channels fire often and others hardly ever."""

    usual: float = 0.2
    special: Mapping[str, float] = field(default_factory=dict)
    spread: float = 0.5

    def of(self, name: str) -> float:
        """Of the layer called `name`."""
        return next((rate for end, rate in self.special.items() if name.endswith(end)), self.usual)


@torch.no_grad()
def randomize(network: SpikingNetwork, images: Tensor, seed: int, rates: Rates) -> SpikingNetwork:
    """Gives `network` random weights, and BatchNorms with which its layers fire at `rates` on images [B, C, H, W]; returns it,
    in eval mode. Neurons that no BatchNorm of their own feeds (those of attention) fire as their operands make them."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Linear):
            fan_in = module.weight[0].numel()
            module.weight.normal_(0.0, fan_in**-0.5, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
    return settle_rates(network, images, rates, generator)


@torch.no_grad()
def settle_rates(network: SpikingNetwork, images: Tensor, rates: Rates, generator: torch.Generator) -> SpikingNetwork:
    """Sets all BatchNorms anew, so that `network`, with the weights that it has, fires at `rates` on images [B, C, H, W]; returns
    it, in eval mode. For weights that were drawn or pruned without training. generator: of the biases within a layer."""
    latest: list[Norm] = []
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, Norm):
            handles.append(module.register_forward_pre_hook(partial(_set_statistics, generator, rates.spread)))
            handles.append(module.register_forward_hook(lambda module, inputs, out: latest.append(module)))
        if isinstance(module, Spiking):
            handles.append(module.register_forward_pre_hook(partial(_set_rate, latest, rates.of(name))))
    network.eval()(images)
    for handle in handles:
        handle.remove()
    return network


def _set_statistics(generator: torch.Generator, spread: float, module: Norm, inputs: tuple[Any, ...]) -> None:
    """Mean and variance of inputs [B, C, …], in half precision: a last bit more or less, as between numbers of threads, does not
    show."""
    x = inputs[0]
    axes = [0, *range(2, x.ndim)]
    assert module.running_mean is not None
    assert module.running_var is not None
    module.running_mean.copy_(x.mean(axes).half())
    module.running_var.copy_(x.var(axes, correction=0).half())
    module.bias.normal_(0.0, spread, generator=generator)


def _set_rate(latest: list[Norm], rate: float, module: Spiking, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """Shifts the bias of the BatchNorm before these neurons, and what it has already sent, so that they fire at `rate`."""
    if not latest:
        return None
    x = inputs[0]
    shift = _shift(module, x, rate)
    latest.pop().bias.add_(shift)
    latest.clear()
    if 0 in x.stride():  # one image shown at every step: nothing else reads it
        return (x + shift, *inputs[1:])
    x.add_(shift)  # in place, for a membrane stream passes these neurons by
    return None


def _shift(module: Spiking, x: Tensor, rate: float) -> float:
    """What to add to x so that the layer fires at `rate`, to the nearest of 2^HALVINGS values. x: [T, B, …] of a LIF."""
    steps = x.shape[0] if isinstance(module, LIF) else 1
    flat = x.reshape(steps, -1)
    flat = flat[:, :: max(1, flat.shape[1] * steps // VALUES) | 1]  # an odd stride visits all channels
    low, high = -REACH * float(flat.std()) - float(flat.mean()), REACH * float(flat.std()) - float(flat.mean()) + 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        fires = float((module.forward(flat + middle) != 0).float().mean())
        low, high = (middle, high) if fires < rate else (low, middle)
    return round((low + high) * 128) / 256
