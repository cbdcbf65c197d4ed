"""Synaptic operations of any torch module, layer by layer, by every definition in use. No compilation: forward passes.

The definitions are those of `pumice.hwsim.counters` (`events`, `events_weighted`, `eq25`, `dense`), computed here by running
the layers themselves on 0/1 copies of their inputs and weights, so that stride, padding, dilation and groups mean what torch
says they mean. Counts are per sample; a layer that runs once per timestep is counted once per timestep.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils.hooks import RemovableHandle

from pumice.errors import InputError

Layer = nn.Linear | nn.Conv1d | nn.Conv2d
MATMULS = (torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm)


@dataclass(frozen=True)
class LayerProfile:
    """One layer, or one product of activations; every count is per sample.

    calls: forward calls per batch. rate: fraction of nonzero inputs. spike_valued: whether every input was a whole number,
    so that an operation is an accumulate (AC) and not a multiply-accumulate (MAC). binary: whether every input was 0 or 1.
    density: fraction of nonzero weights (1 for products of activations).
    """

    name: str
    kind: str
    calls: int
    rate: float
    density: float
    spike_valued: bool
    binary: bool
    events: float
    events_weighted: float
    eq25: float
    dense: float


@dataclass(frozen=True)
class Profile:
    """layers in the order of their first call; samples profiled; parameters of the module, and their bytes;
    connection_sparsity: fraction of zero weights in the module's Linear and Conv layers."""

    layers: tuple[LayerProfile, ...]
    samples: int
    parameters: int
    footprint_bytes: int
    connection_sparsity: float

    def total(self, field: str, spike_valued: bool | None = None) -> float:
        """Sum of one count per sample, over all layers or over those with (or without) whole-numbered input."""
        chosen = [layer for layer in self.layers if spike_valued in (None, layer.spike_valued)]
        return float(sum(getattr(layer, field) for layer in chosen))


def profile(module: nn.Module, batches: Iterable[Tensor]) -> Profile:
    """Runs `module` on `batches` (the first axis of each is its samples) and counts what its layers did.

    Counts `Linear`, `Conv1d`, `Conv2d` and products of two activations through `matmul`, `bmm` or `@` (attention). The
    module is run as it is, in its present mode, without gradients. Raises InputError where nothing was counted.
    """
    seen: dict[str, LayerProfile] = {}
    inside: list[str] = []
    samples = 0
    reset = _resetter(module)
    with ExitStack() as stack, torch.no_grad():
        for handle in _hooks(module, seen, inside):
            stack.callback(handle.remove)
        for batch in batches:
            reset()
            with _Products(module, seen, inside):
                module(batch)
            samples += batch.shape[0]
    if not seen or samples == 0:
        raise InputError(
            "nothing to count: no sample, or no Linear, Conv or matmul ran", "give batches of at least one sample"
        )
    weights = list(module.parameters())
    layers = tuple(_per_sample(layer, samples) for layer in seen.values())
    size = sum(w.numel() * w.element_size() for w in weights)
    return Profile(layers, samples, sum(w.numel() for w in weights), size, _connection_sparsity(module))


def _connection_sparsity(module: nn.Module) -> float:
    stored = [m.weight for m in module.modules() if isinstance(m, Layer)]
    total = sum(w.numel() for w in stored)
    return float(sum(int((w == 0).sum()) for w in stored)) / total if total else 0.0


def _resetter(module: nn.Module) -> Callable[[], None]:
    """Forgets membranes between batches where modules keep them (SpikingJelly's `reset`, snnTorch's `reset_mem`)."""
    names = ("reset", "reset_mem")
    found = [getattr(m, name) for m in module.modules() for name in names if callable(getattr(m, name, None))]

    def reset() -> None:
        for one in found:
            one()

    return reset


def _hooks(module: nn.Module, seen: dict[str, LayerProfile], inside: list[str]) -> list[RemovableHandle]:
    """Counts layers, and keeps in `inside` the names of the modules whose forward is running, innermost last."""
    handles = []
    for name, part in module.named_modules():
        handles.append(part.register_forward_pre_hook(lambda *_, name=name: inside.append(name)))
        handles.append(part.register_forward_hook(lambda *_: void(inside.pop())))
        if isinstance(part, Layer):
            handles.append(part.register_forward_pre_hook(_counter(name, seen)))
    return handles


def void(_: object) -> None:
    """Nothing: a forward hook that returns something would replace the output."""


def _counter(name: str, seen: dict[str, LayerProfile]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    def count(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        assert isinstance(layer, Layer)
        x, weight = inputs[0].detach().double(), layer.weight.detach().double()
        ones = (weight != 0).double()
        events, weighted = (float(_run(layer, values, ones).sum()) for values in ((x != 0).double(), x))
        dense = float(_run(layer, x, weight).numel() * weight[0].numel())
        _add(seen, name, type(layer).__name__, (inputs[0],), _fraction(weight), events, weighted, dense)

    return count


def _run(layer: Layer, x: Tensor, weight: Tensor) -> Tensor:
    """The layer's own arithmetic on other numbers, without bias."""
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight)
    conv = functional.conv1d if isinstance(layer, nn.Conv1d) else functional.conv2d
    return conv(x, weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)


class _Products(TorchFunctionMode):
    """Counts products of two activations while active. A product inside a Linear or Conv never comes by here."""

    def __init__(self, module: nn.Module, seen: dict[str, LayerProfile], inside: list[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parameters = {id(parameter) for parameter in module.parameters()}
        self.seen = seen
        self.inside = inside
        self.calls: dict[str, int] = {}

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in MATMULS and not any(id(a) in self.parameters for a in args[:2]):
            self._count(*(x.detach() for x in args[:2]))
        return func(*args, **(kwargs or {}))

    def _count(self, a: Tensor, b: Tensor) -> None:
        place = self.inside[-1] if self.inside else ""
        number = self.calls[place] = self.calls.get(place, -1) + 1
        products = torch.matmul(a.double(), b.double())
        events = float(torch.matmul((a != 0).double(), (b != 0).double()).sum())
        dense = float(products.numel() * a.shape[-1])
        name = f"{place}.matmul{number}".lstrip(".")
        _add(self.seen, name, "matmul", (a, b), 1.0, events, float(products.sum()), dense)


def _add(
    seen: dict[str, LayerProfile],
    name: str,
    kind: str,
    operands: tuple[Tensor, ...],
    density: float,
    events: float,
    weighted: float,
    dense: float,
) -> None:
    eq25 = float(operands[0].double().mean()) * dense
    whole = all(bool((x == x.round()).all()) for x in operands)
    binary = all(bool(((x == 0) | (x == 1)).all()) for x in operands)
    new = LayerProfile(name, kind, 1, _fraction(operands[0]), density, whole, binary, events, weighted, eq25, dense)
    old = seen.get(name)
    seen[name] = new if old is None else _merged(old, new)


def _merged(a: LayerProfile, b: LayerProfile) -> LayerProfile:
    calls = a.calls + b.calls
    return replace(
        a,
        calls=calls,
        rate=(a.rate * a.calls + b.rate) / calls,
        spike_valued=a.spike_valued and b.spike_valued,
        binary=a.binary and b.binary,
        events=a.events + b.events,
        events_weighted=a.events_weighted + b.events_weighted,
        eq25=a.eq25 + b.eq25,
        dense=a.dense + b.dense,
    )


def _per_sample(layer: LayerProfile, samples: int) -> LayerProfile:
    fields = ("events", "events_weighted", "eq25", "dense")
    return replace(layer, **{name: getattr(layer, name) / samples for name in fields})


def _fraction(x: Tensor) -> float:
    return float((x != 0).double().mean())
