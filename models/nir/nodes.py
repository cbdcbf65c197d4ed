"""One layer of a torch model as one NIR node, in the Pumice dialect where NIR has none. Channel-first, no batch, no time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from pumice.compiler.dialect import annotation, extension
from pumice.models.multispike import MultiSpike
from pumice.models.neuron import LIF

# Seconds per timestep. Only tau / dt has a meaning; a power of two near the 1e-4 of the frameworks' exporters keeps it exact.
DT = 2.0**-13

Shape = tuple[int, ...]
BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d
TokenLayer = nn.Linear | nn.Conv1d | nn.Conv2d


def array(tensor: Tensor) -> NDArray[Any]:
    """A parameter as a C-contiguous numpy copy."""
    return np.array(tensor.detach().cpu().numpy(), order="C")


def grouped_conv2d(layer: nn.Conv2d, shape: Shape, y_shape: Shape) -> nir.NIRGraph:
    """`[C, H, W]` -> `[O, H', W']` in groups, which nir 1.0.8 refuses as a Conv2d."""
    attributes = {"stride": list(layer.stride), "padding": list(layer.padding), "groups": layer.groups}
    return extension(
        "GroupedConv", shape, y_shape, attributes, arrays={"weight": array(layer.weight), "bias": _bias(layer)}
    )


def conv2d(layer: nn.Conv2d, spatial: tuple[int, int]) -> nir.Conv2d:
    """`[C, H, W]` -> `[O, H', W']`; `spatial` = (H, W)."""
    return nir.Conv2d(
        spatial, array(layer.weight), layer.stride, layer.padding, layer.dilation, layer.groups, _bias(layer)
    )


def token_linear(layer: TokenLayer, tokens: int) -> nir.Conv1d:
    """A Linear, or a convolution of kernel 1, applied to each token, `[I, N]` -> `[O, N]`, as a Conv1d of kernel 1."""
    weight = array(layer.weight)
    if weight[0, 0].size != 1:
        raise TypeError(f"a convolution of kernel {weight.shape[2:]} does not run on tokens")
    return nir.Conv1d(tokens, weight.reshape(*weight.shape[:2], 1), 1, 0, 1, 1, _bias(layer))


def affine(layer: nn.Linear) -> nir.Affine:
    """`[I]` -> `[O]`."""
    return nir.Affine(array(layer.weight), _bias(layer))


def _bias(layer: TokenLayer) -> NDArray[Any]:
    weight = layer.weight
    return array(weight.new_zeros(len(weight)) if layer.bias is None else layer.bias)


def head_sums(channels: int, heads: int, tokens: int) -> nir.Conv1d:
    """The sum over each head's channels, `[C, N]` -> `[heads, N]`: a convolution whose weight is blocks of ones."""
    weight = np.repeat(np.eye(heads, dtype=np.float32), channels // heads, axis=1)
    return nir.Conv1d(tokens, weight[..., None], 1, 0, 1, 1, np.zeros(heads, np.float32))


def batch_norm(layer: BatchNorm, shape: Shape) -> nir.NIRGraph:
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
    """LIF neurons of `shape`. tau / dt is exactly the model's number of timesteps, the threshold exactly its threshold."""
    narrow = float(np.float32(layer.v_threshold)) == layer.v_threshold
    return nir.LIF(
        tau=np.full(shape, layer.tau * DT, np.float64),
        r=np.ones(shape, np.float32),
        v_leak=np.zeros(shape, np.float32),
        v_threshold=np.full(shape, layer.v_threshold, np.float32 if narrow else np.float64),
        v_reset=np.zeros(shape, np.float32),
        metadata=annotation({"dt": DT, "comparator": ">=", "reset": "hard"}),
    )


def multi_spike(layer: MultiSpike, shape: Shape) -> nir.NIRGraph:
    """MultiSpike neurons of `shape`."""
    return extension("MultiSpike", shape, shape, {"levels": layer.levels, "norm": layer.norm})


def residual(shape: Shape) -> nir.Scale:
    """A sum of its incoming edges: NIR's edges into one node add up, and the scale is 1."""
    return nir.Scale(np.ones(shape, np.float32))


def flatten(shape: Shape) -> nir.Flatten:
    """`[C, H, W]` -> `[C, N]`."""
    return nir.Flatten(input_type={"input": np.array(shape)}, start_dim=1, end_dim=-1)


def reshape(shape: Shape, new: Shape) -> nir.NIRGraph:
    """The same values, row by row, in another shape: `[C, N]` -> `[C, H, W]`."""
    return extension("Reshape", shape, new, {"shape": list(new)})


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


def max_pool(shape: Shape, kernel: int, stride: int, padding: int) -> nir.NIRGraph:
    """Max-pool of currents `[C, H, W]`; positions outside never win."""
    attributes = {"kernel": kernel, "stride": stride, "padding": padding}
    return extension("MaxPool", shape, pooled_shape(shape, kernel, stride, padding), attributes)


def pooled_shape(shape: Shape, kernel: int, stride: int, padding: int) -> Shape:
    """`[C, H, W]` after a square pool."""
    return (shape[0], *((size + 2 * padding - kernel) // stride + 1 for size in shape[1:]))


def attention(shape: Shape, wide: Shape, operands: Sequence[str], heads: int, scale: float) -> nir.NIRGraph:
    """(q kᵀ) v · scale per head; `operands` names the q, k and v nodes, in that order. `shape`: of q and k; `wide`: of v and of
    the result."""
    return extension("SpikingSelfAttention", shape, wide, {"heads": heads, "scale": scale}, operands)


def coincidences(shape: Shape, operands: Sequence[str]) -> nir.NIRGraph:
    """Σ over tokens of k ⊙ v, `[C, N]` -> `[C, 1]`; `operands` names k and v."""
    return extension("Coincidences", shape, (shape[0], 1), {}, operands)


def spike_gate(shape: Shape, operands: Sequence[str]) -> nir.NIRGraph:
    """x `[C, N]` where its gate `[G, 1 or N]` spikes; `operands` names gate and x; `shape` is x's."""
    return extension("SpikeGate", shape, shape, {}, operands)
