"""What a run did, counted: events, synaptic operations, neuron updates, messages, hops. Pure functions of spike arrays.

Definitions (all summed over samples, per timestep):
    events            input spikes that reach a core (a graded spike is one event)
    synops            events times the stored nonzero synapses each is delivered to; borders of a convolution are exact
    weighted          the same, each event weighted by the number of spikes that its payload stands for
    macs              synops whose event is a real-valued input: multiply-accumulates
    eq25              mean input * T * dense operations (TP-Spikformer Eq. 25: ignores borders and absent synapses)
    dense             T * multiply-accumulates of the dense layer
    active/idle/gated neurons with something to update / nothing to update / whose token is not routed
    asleep            neurons of a core none of whose tokens is routed at a step: the core does nothing
    messages          one per spike and destination core; hops along X then Y, those between chips apart
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.hwsim.arith import exact_matmul, fan_out
from pumice.hwsim.flows import Flows, no_flows

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class CountRow:
    """One neuron group on one core; every count is an array over timesteps [T], summed over samples."""

    layer: str
    core: int
    synapse_kind: str  # "conv", "dense" or "attention": which synaptic energy applies
    events: Floats
    synops: Floats
    weighted: Floats
    macs: Floats
    eq25: Floats
    dense: Floats
    active: Floats
    idle: Floats
    gated: Floats
    asleep: Floats
    spikes: Floats
    messages: Floats
    hops_ew: Floats
    hops_ns: Floats
    hops_chip: Floats


COUNT_FIELDS = tuple(f.name for f in fields(CountRow) if f.name not in ("layer", "core", "synapse_kind"))


@dataclass(frozen=True)
class CountTable:
    """All rows of a run over `samples` samples of `timesteps` steps. mask_bits: routing bits consulted; score_operations:
    arithmetic of the off-core scorer. flows: the messages between cores, by sender and receiver."""

    rows: tuple[CountRow, ...]
    samples: int
    timesteps: int
    mask_bits: int = 0
    score_operations: int = 0
    flows: Flows = field(default_factory=no_flows)

    def total(self, count: str) -> float:
        """Sum of one count over layers, cores, steps and samples."""
        return float(sum(getattr(row, count).sum() for row in self.rows))

    def per_sample(self, count: str) -> float:
        """Mean of one count per sample."""
        return self.total(count) / self.samples


def added_tables(one: CountTable, other: CountTable) -> CountTable:
    """The counts of two runs of the same program as one."""
    rows = tuple(_added_rows(a, b) for a, b in zip(one.rows, other.rows, strict=True))
    return CountTable(
        rows,
        one.samples + other.samples,
        one.timesteps,
        one.mask_bits + other.mask_bits,
        one.score_operations + other.score_operations,
        replace(one.flows, messages=one.flows.messages + other.flows.messages),
    )


def _added_rows(one: CountRow, other: CountRow) -> CountRow:
    return replace(one, **{name: getattr(one, name) + getattr(other, name) for name in COUNT_FIELDS})


def dense_operations(weight_shape: tuple[int, ...], out_positions: int) -> int:
    """Multiply-accumulates of one timestep of a dense convolution, borders included."""
    return int(np.prod(weight_shape)) * out_positions


def spikes_per_neuron(x: NDArray[Any]) -> Ints:
    """How many samples' events each source neuron sent, [T, C, P]. x: [T, B, C, …]."""
    return np.asarray((x != 0).sum(axis=1).reshape(x.shape[0], x.shape[2], -1), np.int64)


def payload_per_neuron(x: NDArray[Any]) -> Ints:
    """Summed payload of each source neuron over samples, [T, C, P]. x: [T, B, C, …]; give magnitudes where it is signed."""
    return np.asarray(x.sum(axis=1).reshape(x.shape[0], x.shape[2], -1))


def delivered(counts: NDArray[Any], fan: NDArray[Any]) -> Floats:
    """Synaptic operations per step: events [T, C, P] times fan-out [C, P], [T]."""
    return np.asarray(np.einsum("tcp,cp->t", counts.astype(np.float64), fan.astype(np.float64)))


def coincidences(left: NDArray[Any], right: NDArray[Any]) -> Ints:
    """Accumulations of a product of spike matrices: pairs of nonzero operands that meet at each output, summed over samples,
    [T, h * M, N]. left [T, B, h, M, K], right [T, B, h, K, N]."""
    return products(left != 0, right != 0, left.shape[1] * left.shape[4])


def products(left: NDArray[Any], right: NDArray[Any], bound: int) -> Ints:
    """The same pairs, each weighted by the product of its payloads. bound: of all samples' sums together, and of each payload."""
    steps, _, heads, m, _ = left.shape
    rows = left.transpose(0, 2, 3, 1, 4).reshape(steps, heads, m, -1)  # samples are summed as further inner positions
    columns = right.transpose(0, 2, 1, 3, 4).reshape(steps, heads, -1, right.shape[4])
    return exact_matmul(rows, columns, bound).reshape(steps, heads * m, -1)


@dataclass(frozen=True)
class LayerSops:
    """Synaptic operations of one layer over all given frames, by each definition of this module. weighted: by the input's
    value with its sign, which is what the official scripts add up; a first layer's inputs may be negative."""

    events: float
    weighted: float
    eq25: float
    dense: float


def layer_sops(
    x: NDArray[Any],
    weight: NDArray[Any],
    stride: tuple[int, int] = (1, 1),
    padding: tuple[int, int] = (0, 0),
    groups: int = 1,
) -> LayerSops:
    """The same counts for a single layer of any model. x: inputs [frames, C, H, W]; weight [O, C / groups, kh, kw]."""
    if groups > 1:
        parts = zip(np.split(x, groups, axis=1), np.split(weight, groups), strict=True)
        counts = [layer_sops(inputs, kernels, stride, padding) for inputs, kernels in parts]
        return LayerSops(*(sum(getattr(count, f.name) for count in counts) for f in fields(LayerSops)))
    grid = (x.shape[2], x.shape[3])
    fan = fan_out((weight != 0).astype(np.int64), grid, stride, padding)
    out = [(n + 2 * p - k) // s + 1 for n, p, k, s in zip(grid, padding, weight.shape[2:], stride, strict=True)]
    dense = float(dense_operations(weight.shape, out[0] * out[1]) * x.shape[0])
    one_step = x[None]
    events = float(delivered(spikes_per_neuron(one_step), fan)[0])
    weighted = float(delivered(payload_per_neuron(one_step), fan)[0])
    return LayerSops(events, weighted, float(np.mean(x, dtype=np.float64)) * dense, dense)
