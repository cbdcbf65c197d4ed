"""Counts one call of a Linear or convolution, by running the layer on 0/1 copies of its input and weight."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from pumice.models.profiling.tally import Layer, Sums, Tally, is_binary, is_whole


def count_layer(name: str, layer: Layer, x: Tensor, tally: Tally) -> None:
    """Adds one call of `layer` on x to `tally`. x: inputs with any leading axes, also those that only SpikingJelly's layers
    take, `[T, B, C, H, W]`."""
    x = x.reshape(-1, *_input_shape(layer, x))
    sums = _layer_sums(layer, x, tally.levels)
    tally.add(name, sums)
    tally.dense += sums.runs * _unpadded_dense(layer, x)
    if bool((x.abs() == (x != 0)).all()):  # -1, 0 and 1 are spikes to NeuroBench
        tally.acs += sums.events
    else:
        tally.macs += sums.events


def _layer_sums(layer: Layer, x: Tensor, levels: int) -> Sums:
    """x: inputs `[frames, …]`."""
    values, weight = x.double(), layer.weight.detach().double()
    ones, arrived = (weight != 0).double(), (x != 0).double()
    dense = float(_run(layer, values, weight).numel() * weight[0].numel())
    return Sums(
        type(layer).__name__,
        calls=1,
        runs=x.shape[0],
        elements=x.numel(),
        nonzero=int(arrived.sum()),
        density=float(ones.mean()),
        spike_valued=is_whole(values, levels),
        binary=is_binary(x),
        events=float(_run(layer, arrived, ones).sum()),
        events_weighted=float(_run(layer, values, ones).sum()),
        eq25=float(values.mean()) * dense,
        dense=dense,
    )


def _unpadded_dense(layer: Layer, x: Tensor) -> float:
    """Operations of one input of ones on weights of ones, without those on the padding."""
    ones = torch.ones_like(x[:1], dtype=torch.float64)
    return float(_run(layer, ones, torch.ones_like(layer.weight, dtype=torch.float64)).sum())


def _input_shape(layer: Layer, x: Tensor) -> tuple[int, ...]:
    """The shape of one input: `[C]` of a Linear, `[C, …]` of a convolution."""
    axes = 1 if isinstance(layer, nn.Linear) else layer.weight.ndim - 1
    return tuple(x.shape[-axes:])


def _run(layer: Layer, x: Tensor, weight: Tensor) -> Tensor:
    """The layer's own arithmetic on other numbers, without bias."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight)
    out: Tensor = layer._conv_forward(x, weight, None)  # with the layer's own padding mode
    return out
