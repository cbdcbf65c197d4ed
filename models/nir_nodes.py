"""One layer of a torch model as one NIR node, in the Pumice dialect where NIR has none. Channel-first, no batch, no time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.compiler.dialect import annotation, extension
from pumice.models.neuron import LIF

DT = 1e-4  # seconds per timestep, the convention of the frameworks' NIR exporters; only tau / dt has a meaning

Shape = tuple[int, ...]


def array(tensor: Tensor) -> NDArray[Any]:
    """A parameter as a C-contiguous numpy copy."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def conv2d(layer: nn.Conv2d, spatial: tuple[int, int]) -> nir.Conv2d:
    """`[C, H, W]` -> `[O, H', W']`; `spatial` = (H, W)."""
    weight = array(layer.weight)
    bias = np.zeros(len(weight), weight.dtype) if layer.bias is None else array(layer.bias)
    return nir.Conv2d(spatial, weight, layer.stride, layer.padding, layer.dilation, layer.groups, bias)


def token_linear(layer: nn.Linear, tokens: int) -> nir.Conv1d:
    """A Linear applied to each token, `[I, N]` -> `[O, N]`, as a convolution of kernel 1."""
    return nir.Conv1d(tokens, array(layer.weight)[..., None], 1, 0, 1, 1, array(layer.bias))


def batch_norm(layer: nn.BatchNorm1d | nn.BatchNorm2d, shape: Shape) -> nir.NIRGraph:
    """Inference BatchNorm over axis 0 of `shape`. The statistics stay apart: folding them is the compiler's work."""
    if layer.running_mean is None or layer.running_var is None:
        raise TypeError("a BatchNorm without running statistics cannot be exported")
    arrays = {
        "gamma": array(layer.weight),
        "beta": array(layer.bias),
        "mean": array(layer.running_mean),
        "var": array(layer.running_var),
    }
    return extension("BatchNorm", shape, shape, {"eps": layer.eps}, arrays=arrays)


def lif(layer: LIF, shape: Shape) -> nir.LIF:
    """LIF neurons of `shape`. tau is float64, so that tau / dt is exactly the model's number of timesteps."""
    return nir.LIF(
        tau=np.full(shape, layer.tau * DT, np.float64),
        r=np.ones(shape, np.float32),
        v_leak=np.zeros(shape, np.float32),
        v_threshold=np.full(shape, layer.v_threshold, np.float32),
        v_reset=np.zeros(shape, np.float32),
        metadata=annotation({"dt": DT, "comparator": ">=", "reset": "hard"}),
    )


def residual(shape: Shape) -> nir.Scale:
    """A sum of its incoming edges: NIR's edges into one node add up, and the scale is 1."""
    return nir.Scale(np.ones(shape, np.float32))


def spike_max_pool(shape: Shape, kernel: int, stride: int, padding: int) -> nir.NIRGraph:
    """Max-pool of binary spikes `[C, H, W]`. Its body says the same in standard nodes: a window's sum exceeds 0.5."""
    pooled = pooled_shape(shape, kernel, stride, padding)
    body = nir.NIRGraph(
        {
            "i": nir.Input(np.array(shape)),
            "sum": nir.SumPool2d(*(np.array([size, size]) for size in (kernel, stride, padding))),
            "any": nir.Threshold(np.full(pooled, 0.5, np.float32)),
            "o": nir.Output(np.array(pooled)),
        },
        [("i", "sum"), ("sum", "any"), ("any", "o")],
    )
    attributes = {"kernel": kernel, "stride": stride, "padding": padding}
    return extension("SpikeMaxPool", shape, pooled, attributes, body=body)


def pooled_shape(shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """`[C, H, W]` after a square pool."""
    return (shape[0], *((size + 2 * padding - kernel) // stride + 1 for size in shape[1:]))


def attention(shape: Shape, operands: Sequence[str], heads: int, scale: float) -> nir.NIRGraph:
    """(q kᵀ) v · scale per head; `operands` names the q, k and v nodes, in that order, each `[C, N]`."""
    return extension("SpikingSelfAttention", shape, shape, {"heads": heads, "scale": scale}, operands)
