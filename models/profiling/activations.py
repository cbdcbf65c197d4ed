"""Activation layers of any torch network: which modules they are, and how sparse what they send is.

The definition is NeuroBench's `ActivationSparsity`: zeros over all outputs of the activation layers, over layers, timesteps
and samples. An activation layer is a spiking neuron, a ReLU or a Sigmoid; what is inside of one is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from pumice.models.multispike import MultiSpike
from pumice.models.neuron import LIF
from pumice.models.profiling.tally import Sums

OURS = (LIF, MultiSpike, nn.ReLU, nn.Sigmoid)
# Spiking neurons of other packages, by package and base class, so that nothing of them has to be imported.
FOREIGN = {("spikingjelly", "BaseNode"), ("snntorch", "SpikingNeuron")}


def activation_layers(module: nn.Module, more: tuple[type[nn.Module], ...] = ()) -> Iterator[tuple[str, nn.Module]]:
    """Activation layers in `module` with their names, outermost ones only. more: further classes that are one."""
    stack = [("", module)]
    while stack:
        name, part = stack.pop()
        if is_activation(part, more):
            yield name, part
            continue
        children = [(f"{name}.{child}".lstrip("."), inner) for child, inner in part.named_children()]
        stack += reversed(children)


def is_activation(module: nn.Module, more: tuple[type[nn.Module], ...] = ()) -> bool:
    """Whether `module` is a spiking neuron of ours, SpikingJelly's or snnTorch's, a ReLU, a Sigmoid, or one of `more`."""
    if isinstance(module, OURS + more):
        return True
    return any((cls.__module__.partition(".")[0], cls.__name__) in FOREIGN for cls in type(module).__mro__)


def count_outputs(module: nn.Module, output: Any) -> Sums:
    """One call's outputs: how many, and how many are not 0. Of several results (snnTorch's spikes, membranes), the first."""
    sent = output[0] if isinstance(output, tuple | list) else output
    assert isinstance(sent, Tensor)
    nonzero = int(torch.count_nonzero(sent))
    return Sums(type(module).__name__, calls=1, elements=sent.numel(), nonzero=nonzero)
