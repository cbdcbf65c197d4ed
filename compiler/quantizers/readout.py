"""The read-out: token mean, linear layer and time mean as one synapse and an accumulator, the means folded into its scale."""

from __future__ import annotations

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, TensorType
from pumice.compiler.quantization import worst_current
from pumice.compiler.quantizers.context import PASS, Context, Floats, Ints, Made
from pumice.compiler.streams import scale_of
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import UnsupportedNode
from pumice.hwsim import arith


def quantize_readout(mean: f.TimeMean, c: Context) -> Made:
    """TimeMean(Linear(x)), with x a stream or the token mean of one."""
    linear = c.graph.nodes[mean.inputs[0]]
    if not isinstance(linear, f.Linear):
        raise UnsupportedNode(f"node {mean.source!r}: TimeMean must follow Affine", "end with Affine, then TimeMean")
    before = c.graph.nodes[linear.inputs[0]]
    name = before.inputs[0] if is_folded_mean(before, c) else before.name
    divisor = before.tokens if isinstance(before, f.TokenMean) and name != before.name else 1
    stream = c.done[name].out
    unit = scale_of(name, c.done) * divisor * c.graph.timesteps  # payload units in one unit of a mean logit
    summed = stream.shape[1] * c.graph.timesteps
    weight, bias = (np.asarray(x, np.float64) for x in (linear.weight, linear.bias))
    scale, integers = _largest_scale(weight, bias, unit, (stream.low, stream.high), summed, c.weights)
    worst = worst_current(integers, stream.low, stream.high)
    offset = np.rint(bias * scale * unit).astype(np.int64)
    out = TensorType((weight.shape[0], stream.shape[1]), "current", -worst, worst)
    total = TensorType(mean.out.shape, "graded", -arith.STATE_LIMIT + 1, arith.STATE_LIMIT - 1)
    kernel = integers[:, :, None, None]
    where = ((1, 1), (0, 0), scale * scale_of(name, c.done), 1)
    kind = (c.weights.signs, c.weights.synapses)
    synapse = i.Synapse(linear.name, (name,), out, linear.source, kernel, *where, *kind)
    readout = i.Readout(mean.name, (linear.name,), total, mean.source, offset, 1 / (scale * unit))
    bits = (worst * summed).bit_length()
    means = f"means over {divisor} tokens and {c.graph.timesteps} steps folded"
    text = f"{linear.name}: read-out scale {scale:.4g}, {means}, worst total {bits} of 23 bits"
    return [(synapse, None), (readout, Change(PASS, linear.name, text, {"scale": scale, "worst_bits": bits}))]


def is_folded_mean(node: object, c: Context) -> bool:
    """Whether a token mean disappears into the read-out's scale: where only a linear layer reads it."""
    if not isinstance(node, f.TokenMean):
        return False
    return all(isinstance(reader, f.Linear) for reader in c.readers[node.name])


def _largest_scale(
    weight: Floats, bias: Floats, unit: float, x_range: tuple[int, int], summed: int, grid: WeightGrid
) -> tuple[float, Ints]:
    """The finest grid of the weights whose current cannot wrap and whose worst total, over `summed` inputs, fits 24 bits."""
    scale = grid.largest / (float(np.abs(weight).max(initial=0)) or 1.0)
    while True:
        integers, _ = grid.nearest(weight * scale)
        worst = worst_current(integers, *x_range)
        total = worst * summed + float(np.abs(bias).max(initial=0)) * scale * unit
        if worst < arith.ACTIVATION_LIMIT and total < arith.STATE_LIMIT - 1:
            return scale, integers
        scale /= 2
