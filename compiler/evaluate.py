"""Runs the float IR in float64: the witness for folding, and the source of calibration data for quantization."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.evaluate_general import delayed, over_time, stepper
from pumice.compiler.ir import Graph, Node
from pumice.compiler.loops import parts, past, runs_at_once
from pumice.compiler.selector import selected, selector_scores
from pumice.compiler.tiles import tiles
from pumice.hwsim.arith import PATCH_VALUES, max_pool, patches, ungrouped
from pumice.hwsim.scoring import sample_masks

Floats = NDArray[np.float64]
Masks = Mapping[str, NDArray[np.bool_]]
LARGE = 1 << 27  # products of a convolution, for one sample
MaskSource = Callable[[f.TokenGate, Floats, Masks], NDArray[np.bool_]]


@dataclass(frozen=True)
class Evaluation:
    """values: per node name, [T, B, …]; masks: per scoring gate, [T, B, N]."""

    values: Mapping[str, Floats]
    masks: Mapping[str, NDArray[np.bool_]]


def frames(graph: Graph, samples: NDArray[Any]) -> NDArray[Any]:
    """Samples as the frames that the network sees. samples: [B, …] ("repeat") or [B, T, …] ("frames"); returns [T, B, …]."""
    if graph.encoding == "repeat":
        return np.broadcast_to(samples, (graph.timesteps, *samples.shape))
    return np.moveaxis(samples, 1, 0)


def evaluate(
    graph: Graph, samples: NDArray[Any], gated: bool = True, mask_source: MaskSource | None = None
) -> Evaluation:
    """Every node's value on `samples`. gated=False ignores the token gates. Masks are scored from the block's own input
    unless `mask_source(gate, x [T, B, C, …], masks so far)` gives them."""
    values: dict[str, Floats] = {}
    masks: dict[str, NDArray[np.bool_]] = {}
    gates = [n for n in graph.nodes.values() if isinstance(n, f.TokenGate) and not n.mask_of]
    for part in parts(graph):
        node = part[0]
        if isinstance(node, f.Input):
            values[node.name] = frames(graph, np.asarray(samples, np.float64))
            continue
        if not runs_at_once(part) or isinstance(node, g.Feedback):
            values |= around(part, values, next(iter(values.values())).shape[:2])
            continue
        inputs = [values[name] for name in node.inputs]
        if gated and isinstance(node, f.TokenGate) and not node.mask_of:
            masks[node.name] = (mask_source or live_masks)(node, inputs[-1], masks)
        gate = next((g for g in gates if gated and node.name in g.neurons), None)
        if gate is None:
            values[node.name] = apply(node, inputs, masks if gated else {})
        else:
            currents = [isinstance(graph.nodes[name], f.Conv | f.BatchNorm) for name in node.inputs]
            values[node.name] = apply_gated(node, inputs, currents, masks[gate.name], gate.state)
    return Evaluation(values, masks)


def around(part: list[Node], values: Mapping[str, Floats], lead: tuple[int, ...]) -> dict[str, Floats]:
    """The nodes of a cycle, step by step, or a feedback by itself. lead: (T, B)."""
    made = {node.name: np.zeros((*lead, *node.out.shape)) for node in part}
    seen = {**values, **made}
    steps = {node.name: _stepper(node) for node in part if isinstance(node, f.Lif | g.Neuron | g.Threshold)}
    for t in range(lead[0]):
        for node in part:
            if isinstance(node, g.Feedback | g.Delay):
                source = node.of if isinstance(node, g.Feedback) else node.inputs[0]
                made[node.name][t] = past(seen[source], node.steps, t)
            elif node.name in steps:
                made[node.name][t] = steps[node.name](seen[node.inputs[0]][t])
            else:
                made[node.name][t] = apply(node, [seen[name][t][None] for name in node.inputs], {})[0]
    return made


def _stepper(node: f.Lif | g.Neuron | g.Threshold) -> Callable[[Floats], Floats]:
    return lif_stepper(node) if isinstance(node, f.Lif) else stepper(node)


def live_masks(gate: f.TokenGate, x: Floats, masks: Masks) -> NDArray[np.bool_]:
    """Masks [T, B, N] scored from tokens x [T, B, C, …]; masks: those of earlier gates."""
    if gate.selector is not None:
        return selected(
            selector_scores(as_tokens(x), gate.selector), gate.selector, masks.get(gate.selector.within), x.shape[0]
        )
    if gate.criterion is None:
        return np.ones((x.shape[0], x.shape[1], gate.grid[0] * gate.grid[1]), np.bool_)
    return sample_masks(as_map(x, gate), gate.criterion, gate.retention, gate.block)


def as_tokens(x: Floats) -> Floats:
    """[T, B, C, …] as [T, B, C, N]."""
    return x.reshape(*x.shape[:3], -1)


def as_map(x: Floats, gate: f.TokenGate) -> Floats:
    """[T, B, C, …] as [T, B, C, H, W], the grid of the gate's tokens."""
    return x.reshape(*x.shape[:3], *gate.grid)


def apply_gated(node: Node, inputs: list[Floats], currents: list[bool], mask: NDArray[np.bool_], state: str) -> Floats:
    """A neuron, or a sum of which only `currents` are gated, whose tokens are routed by mask [T, B, N]."""
    match node:
        case f.Lif():
            return lif(inputs[0], node, mask, state)
        case f.MultiSpike():
            return multispike(inputs[0], node) * mask[:, :, None, :]
        case f.Add():
            parts = [x * mask[:, :, None, :] if gated else x for x, gated in zip(inputs, currents, strict=True)]
            return np.asarray(sum(parts[1:], parts[0]))
        case _:
            raise TypeError(f"no gated meaning for {type(node).__name__}")


def apply(node: Node, inputs: list[Floats], masks: Masks) -> Floats:
    """One node over all timesteps at once. inputs: [T, B, …]."""
    x = inputs[0]
    match node:
        case f.Conv():
            weight = ungrouped(np.asarray(node.weight, np.float64), node.groups)
            return conv(x, weight, np.asarray(node.bias, np.float64), node.stride, node.padding)
        case f.BatchNorm():
            gain = node.gamma / np.sqrt(np.asarray(node.var, np.float64) + node.eps)
            return (x - _channels(node.mean, x)) * _channels(gain, x) + _channels(node.beta, x)
        case f.Lif():
            return lif(x, node, None, "hold")
        case g.Neuron() | g.Threshold():
            return over_time(node, x)
        case g.Delay():
            return delayed(x, node.steps)
        case f.MultiSpike():
            return multispike(x, node)
        case f.MaxPool():
            return max_pool(x, node.kernel, node.stride, node.padding)
        case f.SumPool():
            ones = ungrouped(np.ones((x.shape[2], 1, *node.kernel)), x.shape[2])
            return conv(x, ones, np.zeros(x.shape[2]), node.stride, node.padding) / node.divisor
        case f.Add():
            return np.asarray(sum(inputs[1:], x))
        case f.Reshape():
            return x.reshape(*x.shape[:2], *node.out.shape)
        case f.Attention():
            q, k, v = inputs
            return attention(q, k, v, node.heads) * node.scale
        case f.Coincidences():
            return np.asarray((x * inputs[1]).sum(axis=-1, keepdims=True))
        case f.SpikeGate():
            return spike_gate(x, inputs[1])
        case f.TokenGate():
            mask = masks.get(node.mask_of or node.name)
            return x if mask is None else x * mask[:, :, None, :]
        case f.TokenMean():
            return np.asarray(x.sum(axis=-1) / node.tokens)
        case f.Linear():
            return x @ np.asarray(node.weight, np.float64).T + node.bias
        case f.TimeMean():
            return np.broadcast_to(x.mean(axis=0), x.shape)
        case _:
            raise TypeError(f"no float meaning for {type(node).__name__}")


def conv(x: Floats, weight: Floats, bias: Floats, stride: tuple[int, int], padding: tuple[int, int]) -> Floats:
    """x: [T, B, C, H, W], tokens [T, B, C, N] or vectors [T, B, C]; weight [O, C, kh, kw]. Products of a very large convolution
    are in float32, as those of the torch model are."""
    missing = 5 - x.ndim  # axes of a map
    images = x.reshape(-1, *x.shape[2:], *[1] * missing)
    large = x.shape[0] * int(np.prod(images.shape[2:])) * weight.size // (stride[0] * stride[1]) > LARGE
    dtype = np.float32 if large else np.float64
    shown = images[: x.shape[1]] if x.strides[0] == 0 else images  # one frame at every step is convolved once
    matrix, kernel = weight.reshape(weight.shape[0], -1).T.astype(dtype, copy=False), weight.shape[2:]
    values = max(1, weight[0].size * int(np.prod(shown.shape[2:])) // (stride[0] * stride[1]))
    few = max(1, PATCH_VALUES // values)
    parts = []
    for k in range(0, len(shown), few):
        columns = patches(shown[k : k + few].astype(dtype, copy=False), (kernel[0], kernel[1]), stride, padding)
        product = np.moveaxis(columns @ matrix, -1, 1)
        parts.append(np.add(product, bias[:, None, None], order="C"))
    out = np.concatenate(parts)
    out = out.reshape(-1, *x.shape[1:2], *out.shape[1 : 4 - missing])
    return out if len(out) == len(x) else np.repeat(out, len(x), axis=0)


def lif(x: Floats, node: f.Lif, routed: NDArray[np.bool_] | None, state: str) -> Floats:
    """Spikes of a LIF layer; routed: [T, B, N] or None. x: [T, B, C, …]."""
    spikes = np.empty_like(x)
    for samples, channels in tiles(x.shape[1:]):
        part = np.s_[:, samples, channels]
        _lif_part(x[part], node, None if routed is None else routed[:, samples], state, spikes[part])
    return spikes


def _lif_part(x: Floats, node: f.Lif, routed: NDArray[np.bool_] | None, state: str, spikes: Floats) -> None:
    """`lif` of some samples and channels, into `spikes`."""
    v = np.zeros_like(x[0])
    for t in range(x.shape[0]):
        after, spikes_now = lif_update(v, x[t], node)
        if routed is None:
            v, spikes[t] = after, spikes_now
            continue
        on = routed[t][:, None, :]
        v = np.where(on, after, v if state == "hold" else v - v / node.tau)
        spikes[t] = spikes_now & on


def lif_stepper(node: f.Lif) -> Callable[[Floats], Floats]:
    """A LIF layer from a sample's first step on: called with x [B, …] of each step, returns its spikes."""
    state: list[Floats] = []

    def step(x: Floats) -> Floats:
        after, spikes = lif_update(state[0] if state else np.zeros_like(x), x, node)
        state[:] = [after]
        return spikes.astype(np.float64)

    return step


def lif_update(v: Floats, x: Floats, node: f.Lif) -> tuple[Floats, NDArray[np.bool_]]:
    """One timestep of a LIF layer: v after it, and where it fired. v, x: any common shape."""
    owed = node.threshold * beyond(v, node) if node.reset in ("next", "both") else 0.0
    new = v + (x - v) / node.tau if node.gain is None else v - v / node.tau + node.gain * x
    new = new - owed
    fired = beyond(new, node)
    match node.reset:
        case "hard":
            return np.where(fired, 0.0, new), fired
        case "soft":
            return new - node.threshold * fired, fired
        case "next":
            return new, fired
        case "both":
            return new + owed - node.threshold * fired, fired


def beyond(v: Floats, node: f.Lif) -> NDArray[np.bool_]:
    """Where a LIF layer's membrane is beyond its threshold."""
    return v >= node.threshold if node.comparator == ">=" else v > node.threshold


def multispike(x: Floats, node: f.MultiSpike) -> Floats:
    """Levels over norm, elementwise; numpy rounds half to even."""
    return np.asarray(np.rint(np.clip(x, 0, node.levels)) / node.norm)


def spike_gate(gate: Floats, x: Floats) -> Floats:
    """gate [T, B, G, 1 or N], x [T, B, C, N]."""
    groups = x.reshape(*x.shape[:2], gate.shape[2], -1, x.shape[3])
    return (groups * gate[:, :, :, None, :]).reshape(x.shape)


def attention(q: Floats, k: Floats, v: Floats, heads: int) -> Floats:
    """(q kᵀ) v per head without the scale. q, k: [T, B, C, N]; v: [T, B, E, N]."""
    q, k, v = (a.reshape(*a.shape[:2], heads, -1, a.shape[-1]) for a in (q, k, v))
    scores = np.swapaxes(q, -1, -2) @ k
    out = v @ np.swapaxes(scores, -1, -2)
    return out.reshape(*out.shape[:2], -1, out.shape[-1])


def _channels(values: NDArray[Any], x: Floats) -> Floats:
    return np.asarray(values, np.float64).reshape(-1, *[1] * (x.ndim - 3))
