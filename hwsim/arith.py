"""The arithmetic of a Pumice program, written once: integers, and only + - * >> << & and compare.

Every executor reproduces these functions bit for bit. Neuron and synapse follow the stock fixed-point Processes of
lava-nc 0.10.0 (`proc/lif/models.py`, `proc/dense/models.py`, `proc/conv/models.py`), to the last bit, quirks included;
`tests/hwsim/` runs the stock Processes beside them.

Units: a synaptic current `a_in` counts weight units; membrane and bias count 1/64 of one (MEMBRANE_SHIFT = 6).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MEMBRANE_SHIFT = 6
DECAY_SHIFT = 12
DECAY_UNITY = 1 << DECAY_SHIFT
STATE_LIMIT = 1 << 23  # u and v are 24-bit signed
ACTIVATION_LIMIT = 1 << 17  # |a_in| below this cannot wrap u
PATCH_VALUES = 1 << 21  # patches of a convolution held at once: bounds memory, changes nothing else
MAX_SYNAPSES = 4  # that carry one weight between them
NO_CURRENT_MEMORY = 4095  # du whose offset of 1 makes u forget everything
Reset = Literal["hard", "soft", "next", "both"]
Signs = Literal["mixed", "split"]  # of weights: in the weight, which is even then, or that of the list it is in
ONE_SYNAPSE: Mapping[Signs, tuple[int, int]] = {"mixed": (-256, 254), "split": (-255, 255)}


@dataclass(frozen=True)
class LifParams:
    """A population of LIF neurons in fixed point.

    vth: threshold mantissa, 17 bits, compared as `v > vth << 6`. dv, du: 12-bit decays, of 4096. bias: effective bias
    (mantissa << exponent), in 1/64 weight units, broadcastable to the population. reset: "hard" to 0, or by subtracting the
    threshold: at the spike ("soft"); one step later, after the decay ("next"); or at the spike and, from a v that is still
    beyond the threshold, once more for the next step's comparison ("both", snnTorch without reset_delay). inclusive: compared as
    `v >= vth << 6`. Stock Lava has "hard" and `>` only.
    """

    vth: int
    dv: int
    bias: Ints
    du: int = NO_CURRENT_MEMORY
    reset: Reset = "hard"
    inclusive: bool = False

    @property
    def stock(self) -> bool:
        """Whether stock Lava has such neurons."""
        return self.reset == "hard" and not self.inclusive


def decay(x: Ints, rate: int | Ints) -> Ints:
    """x * (4096 - rate) / 4096, rounded toward zero by magnitude. rate: one, or one for each neuron."""
    if np.all(rate == DECAY_UNITY):
        return np.zeros_like(x)
    product = x * (DECAY_UNITY - rate)
    lift = product >> 63
    lift &= DECAY_UNITY - 1  # a shift rounds down; negative values round up instead
    lift += product
    lift >>= DECAY_SHIFT
    return np.asarray(lift)


def wrap_current(u: Ints) -> Ints:
    """Lava's 24-bit wrap of u: +2^23 stays, -2^23 becomes +2^23."""
    if not u.size or (u.min() > -STATE_LIMIT and u.max() <= STATE_LIMIT):
        return u
    high = np.where(u > STATE_LIMIT, u - 2 * STATE_LIMIT, u)
    return np.where(high <= -STATE_LIMIT, u + 2 * STATE_LIMIT, high)


def saturate(v: Ints) -> Ints:
    """Clip to the symmetric 24-bit range of the membrane."""
    return np.clip(v, -STATE_LIMIT + 1, STATE_LIMIT - 1)


def lif_step(u: Ints, v: Ints, a_in: Ints, params: LifParams) -> tuple[Ints, Ints, Bools]:
    """One timestep of a LIF population. u, v, a_in: any common shape; returns the new u, v and the spikes."""
    current = a_in << MEMBRANE_SHIFT
    u = wrap_current(current if params.du == NO_CURRENT_MEMORY else decay(u, params.du + 1) + current)
    threshold = params.vth << MEMBRANE_SHIFT
    late = params.reset in ("next", "both")
    owed = threshold * beyond(v, threshold, params.inclusive) if late else 0
    v = decay(v, params.dv) + u + params.bias
    v = saturate(v - owed if late else v)
    spikes = beyond(v, threshold, params.inclusive)
    after = after_spikes(v, spikes, owed, threshold, params.reset, 0)
    return u, after if params.reset in ("hard", "next") else saturate(after), spikes


def after_spikes(
    v: Ints, spikes: Ints | Bools, owed: Ints | int, threshold: int | Ints, reset: Reset, v_reset: int | Ints
) -> Ints:
    """The membrane after its spikes. owed: what this step has already taken from it for spikes of the step before."""
    match reset:
        case "hard":
            return np.where(spikes > 0, v_reset, v)
        case "soft":
            return v - threshold * spikes
        case "next":
            return v
        case "both":
            return v + owed - threshold * spikes


def beyond(v: Ints, threshold: int, inclusive: bool) -> Bools:
    """Where a membrane is beyond its threshold, or, inclusive, at it."""
    return v >= threshold if inclusive else v > threshold


def gated_lif_step(
    u: Ints, v: Ints, a_in: Ints, routed: Bools, params: LifParams, state: Literal["hold", "decay"]
) -> tuple[Ints, Ints, Bools]:
    """One timestep of a LIF population whose tokens are routed or not.

    routed: broadcastable to v. A neuron that is not routed gets neither input nor bias, does not fire, and holds its
    state or lets it decay.
    """
    u_on, v_on, spikes = lif_step(u, v, a_in, params)
    u_off, v_off = (u, v) if state == "hold" else (decay(u, params.du + 1), decay(v, params.dv))
    return np.where(routed, u_on, u_off), np.where(routed, v_on, v_off), spikes & routed


def spike_levels(a_in: Ints, bias: Ints, thresholds: Ints) -> Ints:
    """Levels of neurons without memory: how many thresholds [D], in 1/64 current units, (a_in << 6) + bias exceeds."""
    u = (a_in << MEMBRANE_SHIFT) + bias
    return np.searchsorted(thresholds, u, side="left").astype(np.int64)


def membrane(
    a_in: Ints, streams: Ints | int, routed: Bools | None, shift: int, bias: Ints, low: int, high: int
) -> Ints:
    """What a stream of real values becomes: a_in · 2^shift + bias where routed, plus streams, clipped to [low, high].

    shift: below 0 the current is shifted right, halves up. streams: the sum of the payloads that pass through. Source:
    residual neurons with graded spikes, as Loihi 2 programs them.
    """
    added = shifted(a_in, shift) + bias
    return np.clip((added if routed is None else added * routed) + streams, low, high)


def shifted(x: Ints, shift: int) -> Ints:
    """x · 2^shift; below 0 shifted right, halves up."""
    return x << shift if shift >= 0 else (x + (1 << (-shift - 1))) >> -shift


def token_sum(x: Ints, shift: int) -> Ints:
    """Sums over the last axis, shifted right by `shift` bits with halves up; the axis stays, with length 1."""
    return np.asarray(shifted(x.sum(axis=-1, keepdims=True), -shift))


def spike_and(gate: Ints, x: Ints) -> Ints:
    """x where its gate spikes. gate: [..., G, 1 or N], x: [..., C, N]; gate channel g rules the g-th C / G channels."""
    groups = x.reshape(*x.shape[:-2], gate.shape[-2], -1, x.shape[-1])
    return (groups & gate[..., None, :]).reshape(x.shape)


def mixed_weights(weights: NDArray[Any]) -> Ints:
    """What stock Dense and Sparse make of a mixed-sign matrix: clip to [-256, 255], then drop the lowest bit (floor)."""
    return np.clip(np.asarray(weights, np.int64), -256, 255) >> 1 << 1


def exact_dtype(bound: int) -> type[np.floating[Any]]:
    """The fastest float type in which every partial sum below `bound` is exact. Raises ValueError at 2^53 and above."""
    if bound < 1 << 24:
        return np.float32
    if bound < 1 << 53:
        return np.float64
    raise ValueError(f"worst-case sum {bound} does not fit the 53 exact bits of float64")


def exact_matmul(a: NDArray[Any], b: NDArray[Any], bound: int) -> Ints:
    """Integer matrix product on floating-point BLAS, exact because no partial sum can leave the type's exact integers.

    a: [..., M, K], b: [..., K, N]; bound: an upper bound of sum |a||b| over K, and of every |a| and |b|.
    """
    dtype = exact_dtype(bound)
    product = np.matmul(a.astype(dtype, copy=False), b.astype(dtype, copy=False))
    return np.asarray(product, np.int64)


def or_pool(spikes: NDArray[Any], kernel: int, stride: int, padding: int) -> Ints:
    """Max-pool of binary spikes: an OR over each window. spikes: [..., H, W]; positions outside are silent."""
    pad = [(0, 0)] * (spikes.ndim - 2) + [(padding, padding)] * 2
    windows = _windows(np.pad(spikes, pad), (kernel, kernel))
    return np.asarray(windows[..., ::stride, ::stride, :, :].any(axis=(-2, -1)), np.int64)


def max_pool(x: NDArray[Any], kernel: int, stride: int, padding: int) -> NDArray[Any]:
    """The largest value of each window of x [..., H, W]; positions outside never win. Keeps the dtype."""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    pad = [(0, 0)] * (x.ndim - 2) + [(padding, padding)] * 2
    windows = _windows(np.pad(x, pad, constant_values=lowest), (kernel, kernel))
    return np.asarray(windows[..., ::stride, ::stride, :, :].max(axis=(-2, -1)))


def ungrouped(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """A grouped convolution's weight [O, C / groups, kh, kw] as [O, C, kh, kw]: zeros are absent synapses."""
    if groups == 1:
        return weight
    outputs, inputs = weight.shape[0] // groups, weight.shape[1]
    full = np.zeros((weight.shape[0], inputs * groups, *weight.shape[2:]), weight.dtype)
    for g in range(groups):
        rows = slice(g * outputs, (g + 1) * outputs)
        full[rows, g * inputs : (g + 1) * inputs] = weight[rows]
    return full


def _windows(x: NDArray[Any], kernel: tuple[int, int]) -> NDArray[Any]:
    """Every window over the last two axes, as two more axes; a view."""
    view = np.lib.stride_tricks.sliding_window_view(x, kernel, axis=(-2, -1))  # type: ignore[call-overload]
    return np.asarray(view)


def patches(
    x: NDArray[Any], kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> NDArray[Any]:
    """The windows that a convolution sees. x: [B, C, H, W]; returns [B, H', W', C * kh * kw]."""
    padded = np.pad(x, [(0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2])
    windows = _windows(padded, kernel)[:, :, :: stride[0], :: stride[1]].transpose(0, 2, 3, 1, 4, 5)
    return windows.reshape(*windows.shape[:3], -1)


def conv(
    x: NDArray[Any],
    weight: NDArray[Any],
    stride: tuple[int, int],
    padding: tuple[int, int],
    x_max: int,
    groups: int = 1,
) -> Ints:
    """Synaptic currents of a convolution (cross-correlation, as in PyTorch), a few images at a time.

    x: [B, C, H, W] with |x| <= x_max; weight: [O, C / groups, kh, kw]; returns [B, O, H', W'].
    """
    rows = weight.reshape(groups, weight.shape[0] // groups, -1)
    bound = max(int(np.abs(rows).sum(axis=2).max(initial=0)), 1) * max(x_max, 1)
    few = max(1, PATCH_VALUES // max(1, weight[0, 0].size * int(np.prod(x.shape[1:])) // (stride[0] * stride[1])))
    parts = [_conv_few(x[k : k + few], weight, rows, stride, padding, bound) for k in range(0, len(x), few)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _conv_few(
    x: NDArray[Any],
    weight: NDArray[Any],
    rows: NDArray[Any],
    stride: tuple[int, int],
    padding: tuple[int, int],
    bound: int,
) -> Ints:
    """`conv` of images whose patches fit in memory together. rows: [groups, O / groups, C / groups * kh * kw]."""
    columns = patches(x.astype(exact_dtype(bound)), (weight.shape[2], weight.shape[3]), stride, padding)
    lead = columns.shape[:3]
    grouped = np.moveaxis(columns.reshape(int(np.prod(lead)), rows.shape[0], rows.shape[2]), 1, 0)
    out = exact_matmul(grouped, np.swapaxes(rows, 1, 2), bound)  # [groups, B * H' * W', O / groups]
    return np.moveaxis(np.moveaxis(out, 0, 1).reshape(*lead, weight.shape[0]), -1, 1)


def synaptic_currents(
    x: Ints, weight: Ints, stride: tuple[int, int], padding: tuple[int, int], x_max: int, rank: int, groups: int = 1
) -> Ints:
    """Currents of a synapse over any leading axes. x: […, C, H, W] (rank 3) or tokens […, C, N] (rank 2, 1 x 1 kernel);
    weight: [O, C / groups, kh, kw]."""
    lead = x.shape[: x.ndim - rank]
    images = x.reshape(-1, *x.shape[len(lead) :], *([1] if rank == 2 else []))
    out = conv(images, weight, stride, padding, x_max, groups)
    return out.reshape(*lead, *out.shape[1 : 1 + rank])


def synapse_counts(weight: NDArray[Any], signs: Signs) -> Ints:
    """How many synapses carry each weight between them: none a zero, one what a synapse holds."""
    low, high = ONE_SYNAPSE[signs]
    return np.where(weight > 0, -(-weight // high), -(weight // -low)).astype(np.int64)


def synapse_lists(weight: NDArray[Any], signs: Signs) -> Iterator[tuple[int, Ints]]:
    """Weights as the sum of lists of what one synapse holds, each with the sign of its weights: 1, -1, or 0 for both."""
    for sign in (0,) if signs == "mixed" else (1, -1):
        rest = np.where(sign * weight >= 0, weight, 0)
        while rest.any():
            part = rest.clip(*ONE_SYNAPSE[signs])
            yield sign, part
            rest = rest - part


def fan_out(
    synapses: Ints,
    grid: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    channels: tuple[int, int] | None = None,
    positions: tuple[int, int] | None = None,
    groups: int = 1,
) -> Ints:
    """Synapses from each source neuron of a convolution into a slice of its targets.

    synapses: how many carry each weight, [O, C / groups, kh, kw]; grid: source (H, W); channels, positions: the slice of targets
    (all by default; positions are flattened H'·W'). Returns [C, H * W].
    """
    out_h = (grid[0] + 2 * padding[0] - synapses.shape[2]) // stride[0] + 1
    out_w = (grid[1] + 2 * padding[1] - synapses.shape[3]) // stride[1] + 1
    c0, c1 = channels or (0, synapses.shape[0])
    p0, p1 = positions or (0, out_h * out_w)
    held = np.zeros(out_h * out_w, np.int64)
    held[p0:p1] = 1
    held = held.reshape(out_h, out_w)
    of = synapses.shape[0] // groups  # outputs of a group
    rows = [synapses[max(c0, g * of) : min(c1, (g + 1) * of)] for g in range(groups)]
    per_tap = np.concatenate([part.sum(axis=0) for part in rows])  # [C, kh, kw]
    reach = np.zeros((len(per_tap), grid[0] + 2 * padding[0], grid[1] + 2 * padding[1]), np.int64)
    for i in range(synapses.shape[2]):
        for j in range(synapses.shape[3]):
            window = reach[:, i : i + out_h * stride[0] : stride[0], j : j + out_w * stride[1] : stride[1]]
            window += per_tap[:, i, j, None, None] * held
    inner = reach[:, padding[0] : padding[0] + grid[0], padding[1] : padding[1] + grid[1]]
    return inner.reshape(len(per_tap), -1)


def accumulate(total: Ints, current: Ints) -> Ints:
    """A read-out neuron: a membrane without leak or threshold, saturating at 24 bits."""
    return saturate(total + current)


def head_operands(pattern: str, a: NDArray[Any], b: NDArray[Any], heads: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """The two operands of a `SpikeMatmul`, arranged per head as [..., h, M, K] and [..., h, K, N].

    a, b: [..., C, N] as in the table of `compiler.int_nodes.SpikeMatmul`; the product [..., h, M, N] flattens to its output.
    """
    a, b = (x.reshape(*x.shape[:-2], heads, -1, x.shape[-1]) for x in (a, b))
    match pattern:
        case "scores":
            return np.swapaxes(a, -1, -2), b
        case "scores-values":
            return b, np.swapaxes(a, -1, -2)
        case "keys-values":
            return a, np.swapaxes(b, -1, -2)
        case "queries-context":
            return np.swapaxes(b, -1, -2), a
        case _:
            raise ValueError(f"unknown attention pattern {pattern!r}")


def spike_matmul(
    pattern: str, a: NDArray[Any], b: NDArray[Any], heads: int, shift: int, bound: int, most: int | None = None
) -> Ints:
    """One half of attention: products of spikes and counts, summed, shifted left. bound: largest possible sum. most: what
    the shifted sum saturates at; no addend is negative, so it is the same in any order."""
    left, right = head_operands(pattern, a, b, heads)
    out = exact_matmul(left, right, max(bound, 1)) << shift
    out = out if most is None or most >= bound << shift else np.minimum(out, most)
    return out.reshape(*out.shape[:-3], -1, out.shape[-1])
