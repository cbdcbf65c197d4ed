"""Comparing a program with the float model it came from: layer by layer, step by step, neuron by neuron."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.errors import InputError
from pumice.runtime.float_model import FloatRun
from pumice.runtime.result import RunResult


@dataclass(frozen=True)
class Divergence:
    """The first spike that differs: earliest step, then layer order, then sample, then neuron (channel, position…)."""

    layer: str
    step: int
    sample: int
    neuron: tuple[int, ...]
    expected: int
    got: int

    def __str__(self) -> str:
        return f"{self.layer}, step {self.step}, sample {self.sample}, neuron {self.neuron}: {self.expected} became {self.got}"


@dataclass(frozen=True)
class LayerAgreement:
    """spikes: fraction of equal spikes of one layer; by_step the same per timestep; rates: firing rates of both."""

    layer: str
    spikes: float
    by_step: tuple[float, ...]
    rate_expected: float
    rate_got: float
    first: Divergence | None


@dataclass(frozen=True)
class Comparison:
    """spikes: fraction equal over all layers' spikes. logits: largest and mean absolute difference. agree: fraction of
    samples with the same class."""

    layers: tuple[LayerAgreement, ...]
    spikes: float
    first: Divergence | None
    logits_max: float
    logits_mean: float
    agree: float

    @property
    def exact(self) -> bool:
        """Whether every spike of every layer is equal."""
        return self.first is None

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return asdict(self)


def compare_with_float(run: RunResult, reference: FloatRun) -> Comparison:
    """A program's recorded run against the float model on the same samples."""
    return compare(reference.spikes, run.spikes, reference.logits, run.logits)


def compare(
    expected: Mapping[str, NDArray[np.uint8]],
    got: Mapping[str, NDArray[np.uint8]],
    expected_logits: NDArray[np.float64],
    got_logits: NDArray[np.float64],
) -> Comparison:
    """Two recorded runs, spikes or levels per layer [T, B, C, …]. Raises InputError where their layers or shapes differ.

    A map [C, H, W] of the one may be tokens [C, N] of the other: N = H·W row by row, by definition of the dialect.
    """
    _check_layers(expected, got)
    expected = {name: expected[name].reshape(got[name].shape) for name in got}
    layers = tuple(_layer(name, expected[name], got[name]) for name in got)
    differences = sum(int((expected[name] != got[name]).sum()) for name in got)
    total = sum(spikes.size for spikes in got.values())
    firsts = [layer.first for layer in layers if layer.first is not None]
    gap = np.abs(expected_logits - got_logits)
    same = expected_logits.argmax(axis=1) == got_logits.argmax(axis=1)
    return Comparison(
        layers,
        1 - differences / max(total, 1),
        min(firsts, key=lambda d: d.step) if firsts else None,
        float(gap.max()),
        float(gap.mean()),
        float(same.mean()),
    )


def accuracy(logits: NDArray[Any], labels: NDArray[Any]) -> float:
    """Fraction of samples whose largest logit is the label's."""
    return float((logits.argmax(axis=1) == labels).mean())


def _check_layers(expected: Mapping[str, NDArray[np.uint8]], got: Mapping[str, NDArray[np.uint8]]) -> None:
    if not got:
        raise InputError("the run recorded no spikes", "run it with recording on")
    for name, spikes in got.items():
        if name not in expected:
            raise InputError(f"layer {name!r} is in the program but not in the float model", "is it the same model?")
        if _neurons(expected[name]) != _neurons(spikes):
            raise InputError(
                f"layer {name!r}: {spikes.shape} in the program, {expected[name].shape} in the model",
                "is it the same model?",
            )


def _neurons(spikes: NDArray[np.uint8]) -> tuple[int, ...]:
    """(T, B, C, N): what must agree for two recordings to hold the same neurons in the same order."""
    return (*spikes.shape[:3], int(np.prod(spikes.shape[3:])))


def _layer(name: str, expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> LayerAgreement:
    equal = expected == got
    by_step = tuple(float(step.mean()) for step in equal)
    return LayerAgreement(
        name, float(equal.mean()), by_step, float(expected.mean()), float(got.mean()), _first(name, expected, got)
    )


def _first(name: str, expected: NDArray[np.uint8], got: NDArray[np.uint8]) -> Divergence | None:
    where = np.argwhere(expected != got)
    if len(where) == 0:
        return None
    step, sample, *neuron = (int(n) for n in where[0])
    at = (step, sample, *neuron)
    return Divergence(name, step, sample, tuple(neuron), int(expected[at]), int(got[at]))
