"""What a profile is made of: one row per layer or product, and the sums that are kept while a network runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor, nn

Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d


@dataclass(frozen=True)
class LayerProfile:
    """One layer, or one product of activations; every count is per sample.

    kind: the layer's class; "matmul" or "mul" for products of activations, "sum" for a plain sum of spikes that feeds neurons.
    calls: forward calls per batch. runs: inputs per sample (images of a convolution, vectors of a Linear), None for products:
    a convolution that runs once per sample has `runs` 1, one that runs at every timestep has `runs` T, in one call or in T.
    rate: fraction of nonzero inputs. spike_valued: whether every input was a whole number (of levels, where the network has
    MultiSpike neurons), so that an operation is an accumulate (AC) and not a multiply-accumulate (MAC). binary: whether every
    input was 0 or 1. density: fraction of nonzero weights (1 for products of activations).
    """

    name: str
    kind: str
    calls: float
    runs: float | None
    rate: float
    density: float
    spike_valued: bool
    binary: bool
    events: float
    events_weighted: float
    eq25: float
    dense: float


@dataclass(frozen=True)
class ActivationProfile:
    """One activation layer. calls: per batch. elements: outputs per sample. sparsity: the fraction of them that was 0."""

    name: str
    kind: str
    calls: float
    elements: float
    sparsity: float


@dataclass(frozen=True)
class NeuroBench:
    """The metrics of NeuroBench 2 by its own definitions, which are not always ours.

    effective_acs, effective_macs, dense: per sample, of Linear and Conv layers alone. A call whose inputs are all -1, 0 or 1
    counts as AC, any other as MAC; `dense` is what an input of ones would cost, without the padding. footprint_bytes:
    parameters and buffers, before the run. connection_sparsity, activation_sparsity: fractions of zeros, the latter None
    without any activation layer. Source: neurobench.metrics (SynapticOperations, Footprint, ConnectionSparsity,
    ActivationSparsity).
    """

    effective_macs: float
    effective_acs: float
    dense: float
    footprint_bytes: int
    connection_sparsity: float
    activation_sparsity: float | None


@dataclass
class Sums:
    """The sums behind one `LayerProfile`, or behind one `ActivationProfile`."""

    kind: str
    calls: int = 0
    runs: float = 0.0
    elements: int = 0
    nonzero: int = 0
    density: float = 1.0
    spike_valued: bool = True
    binary: bool = True
    events: float = 0.0
    events_weighted: float = 0.0
    eq25: float = 0.0
    dense: float = 0.0


@dataclass
class Frame:
    """A module whose forward is running. products: what it multiplied so far; pending: its sums, not yet seen by neurons."""

    name: str
    module: nn.Module
    neuron: bool
    numbers: dict[str, int] = field(default_factory=dict)
    products: list[Tensor] = field(default_factory=list)
    pending: list[tuple[Tensor, str, Sums]] = field(default_factory=list)

    def number(self, kind: str) -> str:
        """The name of the next product of this kind in this call."""
        self.numbers[kind] = number = self.numbers.get(kind, -1) + 1
        return f"{self.name}.{kind}{number}".lstrip(".")


@dataclass
class Tally:
    """What has been counted so far. levels: how many levels make 1, where neurons send fractions; else 1."""

    levels: int = 1
    layers: dict[str, Sums] = field(default_factory=dict)
    activations: dict[str, Sums] = field(default_factory=dict)
    macs: float = 0.0
    acs: float = 0.0
    dense: float = 0.0
    frames: list[Frame] = field(default_factory=list)
    uncounted: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, new: Sums) -> None:
        """Adds one call's sums to those of the row `name`."""
        self.layers[name] = merged(self.layers[name], new) if name in self.layers else new

    def add_activation(self, name: str, new: Sums) -> None:
        """The same for an activation layer."""
        self.activations[name] = merged(self.activations[name], new) if name in self.activations else new


def merged(a: Sums, b: Sums) -> Sums:
    """Two calls of one layer as one."""
    names = ("calls", "runs", "elements", "nonzero", "events", "events_weighted", "eq25", "dense")
    totals = {name: getattr(a, name) + getattr(b, name) for name in names}
    return replace(a, **totals, spike_valued=a.spike_valued and b.spike_valued, binary=a.binary and b.binary)


def layer_profile(name: str, sums: Sums, batches: int, samples: int) -> LayerProfile:
    """The row of one layer, per batch and per sample."""
    counts = {n: getattr(sums, n) / samples for n in ("events", "events_weighted", "eq25", "dense")}
    return LayerProfile(
        name,
        sums.kind,
        calls=sums.calls / batches,
        runs=sums.runs / samples if sums.runs else None,
        rate=sums.nonzero / max(sums.elements, 1),
        density=sums.density,
        spike_valued=sums.spike_valued,
        binary=sums.binary,
        **counts,
    )


def activation_profile(name: str, sums: Sums, batches: int, samples: int) -> ActivationProfile:
    """The row of one activation layer."""
    sparsity = 1 - sums.nonzero / max(sums.elements, 1)
    return ActivationProfile(name, sums.kind, sums.calls / batches, sums.elements / samples, sparsity)


def is_whole(x: Tensor, levels: int) -> bool:
    """Whether every value is a whole number of levels."""
    scaled = x * levels
    return bool((scaled == scaled.round()).all())


def is_binary(x: Tensor) -> bool:
    """Whether every value is 0 or 1."""
    return bool(((x == 0) | (x == 1)).all())
