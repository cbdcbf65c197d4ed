"""Layers of torch with drawn weights, the networks made of them, and what every layer gives, step by step."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np
import torch
from numpy.typing import NDArray

DT, NORSE_DT = 1e-4, 1e-3  # of snnTorch's and SpikingJelly's exporters, and of Norse's cells
KEEP, THRESHOLD = 0.5, 0.5  # v keeps half of itself: with weights in 16ths, nothing is rounded in ten steps
Arrays = dict[str, NDArray[Any]]
Shape = tuple[int, ...]
Layers = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Made:
    """run: frames [T, B, …] to what each node gives, by its name in the graph, [T, B, …], as the framework computes it."""

    graph: nir.NIRGraph
    run: Callable[[NDArray[Any]], Arrays]


@dataclass(frozen=True, eq=False)
class Draw:
    """Draws weights. exact: in 16ths and in float64, so that nothing is rounded and ties are ties; else as users have them."""

    rng: np.random.Generator
    exact: bool

    @property
    def dtype(self) -> torch.dtype:
        return torch.float64 if self.exact else torch.float32

    def weights(self, *shape: int) -> torch.Tensor:
        """[O, I…], or a bias [O]."""
        wide = 1.2 / np.prod(shape[1:]) ** 0.5 if len(shape) > 1 else 0.3
        values = self.rng.normal(wide / 6 if len(shape) > 1 else 0.0, wide, shape)
        return torch.tensor(np.rint(16 * values) / 16 if self.exact else values, dtype=self.dtype)

    def full(self, shape: Shape, value: float) -> torch.Tensor:
        return torch.full(shape, value, dtype=self.dtype)

    def layer(self, layer: Any) -> Any:
        """A torch layer with weights drawn, and a bias where it has one."""
        for parameter in layer.parameters():
            parameter.data = self.weights(*parameter.shape)
        return layer


Neurons = Callable[[Draw, Shape], Any]
Maker = Callable[[Draw], Made]


def random_frames(shape: Shape, steps: int, samples: int, seed: int) -> NDArray[np.float64]:
    """Spikes [T, B, …]."""
    return (np.random.default_rng(seed).random((steps, samples, *shape)) < 0.4).astype(np.float64)


def dense_layers(draw: Draw, *neurons: Neurons) -> Layers:
    """6 → linear → 12 neurons → linear → 5 neurons."""
    first, second = neurons * (2 // len(neurons))
    linear = (draw.layer(torch.nn.Linear(*sizes)) for sizes in ((6, 12), (12, 5)))
    return numbered(next(linear), first(draw, (12,)), next(linear), second(draw, (5,)))


def conv_layers(draw: Draw, neurons: Neurons) -> Layers:
    """[2, 8, 8] → conv → [4, 8, 8] neurons → pool → conv → [3, 2, 2] neurons → 12 → linear → 5 neurons."""
    first, second = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 3)
    start = (draw.layer(first), neurons(draw, (4, 8, 8)), torch.nn.AvgPool2d(2))
    middle = (draw.layer(second), neurons(draw, (3, 2, 2)), torch.nn.Flatten())
    return numbered(*start, *middle, draw.layer(torch.nn.Linear(12, 5)), neurons(draw, (5,)))


def numbered(*layers: Any) -> Layers:
    return {str(number): layer for number, layer in enumerate(layers)}


def layer_values(layers: Layers, frames: NDArray[Any]) -> Arrays:
    """Every layer's values, step by step. A Norse cell is handed its state, the others keep their own."""
    layers, states = copy.deepcopy(layers), dict[str, Any]()
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in layers}
    dtype = next(next(iter(layers.values())).parameters()).dtype
    with torch.no_grad():
        for frame in frames:
            value = torch.tensor(frame, dtype=dtype)
            for name, layer in layers.items():
                if hasattr(layer, "state_fallback"):
                    value, states[name] = layer(value, states.get(name))
                else:
                    value = layer(value)
                found[name].append(value.numpy())
    return {name: np.stack(values) for name, values in found.items()}
