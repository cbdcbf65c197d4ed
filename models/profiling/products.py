"""Counts products of activations while a network runs: attention, which no layer of torch's stands for.

What is counted, seen where the network calls it:

matmul   `matmul`, `bmm` or `@` of two activations. `events`: pairs of nonzero operands that meet; `dense`: all pairs.
mul      `*` or `mul` of two activations (k ⊙ v and q ⊙ gate of SDT-V1, gate ⊙ k of QKFormer). `events`: positions where
         both are nonzero; `dense`: all positions of the result.
sum      `sum` over an axis of spikes, which an activation layer then receives (QKFormer's Σ q). `events`: nonzero terms;
         `dense`: all terms. The sum of a counted `mul`, or of a view of one, is not counted again: each meeting is one
         accumulation.

An activation is a floating-point tensor of more than one element that is not a parameter or buffer of the network, nor a view
of one. For `mul` and `sum` it must also be whole-numbered in every call (in levels, where neurons send fractions), so that
BatchNorm arithmetic, scales and dropout do not count; nor does anything inside of an activation layer, a neuron's own
arithmetic. A bool mask never counts. A float mask of zeros and ones cannot be told from spikes, and counts.
Arithmetic of other kinds (`einsum`, functional convolutions, products with a parameter) is listed as uncounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from pumice.models.profiling.tally import Frame, Layer, Sums, Tally, is_binary, is_whole

MATMULS = (torch.matmul, torch.bmm, Tensor.matmul, Tensor.__matmul__, Tensor.bmm)
MULS = (torch.mul, torch.multiply, Tensor.mul, Tensor.__mul__, Tensor.multiply)
MULS_IN_PLACE = (Tensor.mul_, Tensor.__imul__, Tensor.multiply_)
SUMS = (torch.sum, Tensor.sum)
UNCOUNTED = {
    *("einsum", "scaled_dot_product_attention", "multi_head_attention_forward", "_native_multi_head_attention"),
    *("linear", "bilinear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"),
    *("addmm", "addmv", "addbmm", "baddbmm", "mm", "mv", "dot", "inner", "outer", "tensordot"),
    *("rnn_tanh", "rnn_relu", "lstm", "gru", "rnn_tanh_cell", "rnn_relu_cell", "lstm_cell", "gru_cell"),
}


class Products(TorchFunctionMode):
    """While active, adds products of activations to `tally`. A product inside a Linear or Conv never comes by here."""

    def __init__(self, module: nn.Module, tally: Tally) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stored = {id(tensor) for tensor in (*module.parameters(), *module.buffers())}
        self.tally = tally

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        frame = self.tally.frames[-1] if self.tally.frames else None
        if frame is None or isinstance(frame.module, Layer) or any(outer.neuron for outer in self.tally.frames):
            return func(*args, **kwargs)
        if func in MULS_IN_PLACE:  # count first: the result replaces an operand
            self._multiply(frame, *_operands(args, kwargs), None)
        out = func(*args, **kwargs)
        if func in MATMULS:
            self._matmul(frame, *_operands(args, kwargs))
        elif func in MULS:
            self._multiply(frame, *_operands(args, kwargs), out)
        elif func in SUMS and (len(args) > 1 or "dim" in kwargs):
            self._sum(frame, args[0] if args else kwargs["input"], out)
        elif getattr(func, "__name__", "") in UNCOUNTED:
            self._note(frame, func.__name__)
        return out

    def _matmul(self, frame: Frame, a: Any, b: Any) -> None:
        if not (self._activation(a) and self._activation(b)):
            self._note(frame, "matmul with a parameter")
            return
        products = torch.matmul(a.double(), b.double())
        events = float(torch.matmul((a != 0).double(), (b != 0).double()).sum())
        dense = float(products.numel() * a.shape[-1])
        new = self._sums("matmul", (a, b), events, float(products.sum()), dense)
        self.tally.add(frame.number("matmul"), new)

    def _multiply(self, frame: Frame, a: Any, b: Any, out: Tensor | None) -> None:
        if not (self._activation(a) and self._activation(b)):
            return
        products = a.double() * b.double()
        new = self._sums("mul", (a, b), float((products != 0).sum()), float(products.sum()), float(products.numel()))
        self.tally.add(frame.number("mul"), new)
        if out is not None and new.spike_valued:
            frame.products.append(out)

    def _sum(self, frame: Frame, x: Any, out: Tensor) -> None:
        if not self._activation(x) or any(_same(x, product) for product in frame.products):
            return
        new = self._sums("sum", (x,), float((x != 0).sum()), float(x.double().sum()), float(x.numel()))
        if new.spike_valued:
            frame.pending.append((out, frame.number("sum"), new))

    def _sums(self, kind: str, operands: tuple[Tensor, ...], events: float, weighted: float, dense: float) -> Sums:
        first, levels = operands[0], self.tally.levels**2  # a product of two levels counts in their squares
        return Sums(
            kind,
            calls=1,
            elements=first.numel(),
            nonzero=int((first != 0).sum()),
            spike_valued=all(is_whole(x, levels) for x in operands),
            binary=all(is_binary(x) for x in operands),
            events=events,
            events_weighted=weighted,
            eq25=float(first.double().mean()) * dense,
            dense=dense,
        )

    def _activation(self, x: Any) -> bool:
        """Whether x is an activation by the rule of this module."""
        if not isinstance(x, Tensor) or not x.is_floating_point() or x.numel() < 2:
            return False
        return id(x) not in self.stored and id(x._base) not in self.stored

    def _note(self, frame: Frame, what: str) -> None:
        place = f"{what} in {frame.name}" if frame.name else what
        self.tally.uncounted[place] = self.tally.uncounted.get(place, 0) + 1


def settle_sums(tally: Tally, x: Any) -> None:
    """Counts the pending sum that x, the input of an activation layer, is (or is a view of)."""
    if not isinstance(x, Tensor):
        return
    for frame in tally.frames:
        for entry in [entry for entry in frame.pending if _same(x, entry[0])]:
            frame.pending.remove(entry)
            tally.add(entry[1], entry[2])


def _same(x: Tensor, other: Tensor) -> bool:
    """Whether one is the other or a view of it."""
    mine = x if x._base is None else x._base
    theirs = other if other._base is None else other._base
    return mine is theirs


def _operands(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Any, Any]:
    """The two factors of a product, however they were handed over."""
    named = [kwargs[name] for name in ("input", "self", "other", "mat2", "tensor2") if name in kwargs]
    first, second = [*args[:2], *named][:2]
    return first, second
