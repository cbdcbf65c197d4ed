"""sLIF: LIF neurons whose threshold and time constant are learned, one pair of numbers per layer.

Source: Sun et al., "Toward Efficient Spiking Transformers: Synapse Pruning Meets Synergistic Learning-Based
Compensation", arXiv 2508.01992 (Fig. 3 and 4: training moves u_th and tau together with the synapses, so that a pruned
network's neurons answer to weaker currents). The parametrization is ours: see `SLIF`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models.neuron import LIF, Dynamics, GateState, Surrogate, lif_spikes
from pumice.models.pruning.submodules import check_not_repeated, names_of, replace_submodule, submodule


class SLIF(LIF):
    """A LIF layer with two trained numbers, both 0 at first: `tau_shift` and `threshold_shift`.

        tau = 1 + (tau₀ - 1)·exp(tau_shift)        v_threshold = v_threshold₀·exp(threshold_shift)

    So tau stays at 1 timestep or above and the threshold above 0 whatever training does, weight decay draws both back
    to where they started, and at 0 they are tau₀ and v_threshold₀ exactly: a fresh SLIF spikes as the LIF does, bit for
    bit. `tau` and `v_threshold` are plain numbers, as in a LIF; setting one starts it afresh, with a new parameter.
    """

    tau_shift: nn.Parameter
    threshold_shift: nn.Parameter

    def __init__(self, v_threshold: float = 1.0, tau: float = 2.0, surrogate: Surrogate | None = None) -> None:
        super().__init__(v_threshold, tau, surrogate)

    @property
    def tau(self) -> float:
        """Time constant in timesteps, above 1."""
        return 1.0 + (self._first_tau - 1.0) * math.exp(self.tau_shift.item())

    @tau.setter
    def tau(self, value: float) -> None:
        if value <= 1:
            raise InputError(f"sLIF: tau must start above 1 timestep, not at {value}", "the official models use 2")
        self._first_tau = float(value)
        self.tau_shift = nn.Parameter(torch.zeros(()))

    @property
    def v_threshold(self) -> float:
        """Firing threshold, above 0."""
        return self._first_threshold * math.exp(self.threshold_shift.item())

    @v_threshold.setter
    def v_threshold(self, value: float) -> None:
        if value <= 0:
            raise InputError(f"sLIF: the threshold must start above 0, not at {value}", "the official models use 1")
        self._first_threshold = float(value)
        self.threshold_shift = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, keep: Tensor | None = None, state: GateState = "hold") -> Tensor:
        """As `LIF.forward`, with gradients for the two trained numbers."""
        tau = 1.0 + (self._first_tau - 1.0) * self.tau_shift.exp()
        threshold = self._first_threshold * self.threshold_shift.exp()
        return lif_spikes(x, keep, Dynamics(self.tau, self.v_threshold, state, self.surrogate), tau, threshold)


def lif_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the model's LIF layers, sLIF among them."""
    return names_of(model, LIF)


def to_slif(model: nn.Module, layers: Sequence[str] | None = None) -> tuple[str, ...]:
    """Makes the named LIF layers (None: all) trainable, in place; they spike as before. Returns their names.

    Raises InputError for a model without LIF layers, and for a name that is no LIF layer of it.
    """
    names = check_not_repeated(lif_layers(model) if layers is None else layers)
    for name in names:
        layer = submodule(model, name)
        if not isinstance(layer, LIF):
            raise InputError(f"layer {name!r} is a {type(layer).__name__}, not a LIF", "see `lif_layers(model)`")
        if not isinstance(layer, SLIF):
            replace_submodule(model, name, SLIF(layer.v_threshold, layer.tau, layer.surrogate))
    return names


def slif_values(model: nn.Module) -> dict[str, tuple[float, float]]:
    """(tau in timesteps, threshold) of every sLIF layer, by name."""
    layers = {name: model.get_submodule(name) for name in names_of(model, SLIF)}
    return {name: (layer.tau, layer.v_threshold) for name, layer in layers.items() if isinstance(layer, SLIF)}
