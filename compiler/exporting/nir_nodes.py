"""A program's synapses, pools and neurons as NIR nodes, in current units. Weights are whole numbers, kept as float32."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import annotation, extension
from pumice.compiler.exporting.pools import SumPool
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Shape
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, ungrouped

Said = dict[str, Any]
Floats = NDArray[np.floating[Any]]


def nir_shape(shape: Shape) -> Shape:
    """Vectors [K, 1] are [K] in NIR; tokens [C, N] and maps [C, H, W] stay."""
    return shape[:1] if len(shape) == 2 and shape[1] == 1 else shape


def synapse_node(node: i.Synapse, bias: Floats, before: Shape, said: Said) -> nir.NIRNode:
    """Conv2d over maps, Conv1d over tokens, Affine over vectors. bias [O] in current units; before: the NIR shape that comes in.

    Groups are written out, zeros for absent synapses: NIR 1.0.8 refuses a Conv2d with groups on reading. A kernel that is not
    square it misreads, so that is the dialect's GroupedConv.
    """
    weight, bias = ungrouped(node.weight, node.groups).astype(np.float32), _narrow(bias)
    metadata = annotation(said | ({"groups": node.groups} if node.groups > 1 else {}))
    if len(before) == 1:
        return nir.Affine(weight[:, :, 0, 0], bias, metadata=metadata)
    if len(before) == 2:
        return nir.Conv1d(before[1], weight[:, :, :, 0], 1, 0, 1, 1, bias, metadata=metadata)
    if weight.shape[2] != weight.shape[3]:
        where = {"stride": list(node.stride), "padding": list(node.padding), "groups": 1}
        return extension("GroupedConv", before, node.out.shape, said | where, arrays={"weight": weight, "bias": bias})
    return nir.Conv2d((before[1], before[2]), weight, node.stride, node.padding, 1, 1, bias, metadata=metadata)


def diagonal_node(size: int, bias: Floats, said: Said) -> nir.NIRNode:
    """One synapse of weight 1 from each neuron to the one with its number; vectors only."""
    return nir.Affine(np.eye(size, dtype=np.float32), _narrow(bias), metadata=annotation(said))


def delay_node(node: i.Past | i.Feedback, dt: float) -> nir.NIRNode:
    """A delay of whole timesteps, for each neuron."""
    steps = np.broadcast_to(node.steps, node.out.shape).reshape(nir_shape(node.out.shape))
    return nir.Delay(dt * steps.astype(np.float64), metadata=annotation({"dt": dt, "steps": int(steps.max(initial=0))}))


def pool_node(pool: SumPool, said: Said) -> nir.NIRNode:
    """The sum of each window."""
    sizes = (np.array(pair) for pair in (pool.kernel, pool.stride, pool.padding))
    return nir.SumPool2d(*sizes, metadata=annotation(said))


def neuron_node(node: i.IntLif, dt: float, said: Said) -> nir.NIRNode:
    """A LIF whose input gain r · dt / tau is 1, or an IF where nothing leaks. Thresholds in current units.

    tau / dt = 4096 / dv timesteps, in float64: one step keeps 1 - dv / 4096 of v.
    """
    ones = np.ones(nir_shape(node.out.shape))
    metadata = annotation(
        {
            "dt": dt,
            "comparator": ">=" if node.inclusive else ">",
            "reset": node.reset,
            "vth": int(node.vth),
            "dv": int(node.dv),
            "scale": node.scale,
        }
        | said
    )
    threshold, zero = node.vth * ones, 0 * ones
    if node.dv == 0:
        return nir.IF(r=ones / dt, v_threshold=threshold, v_reset=zero, metadata=metadata)
    steps = DECAY_UNITY / node.dv
    return nir.LIF(
        tau=dt * steps * ones, r=steps * ones, v_leak=zero, v_threshold=threshold, v_reset=zero, metadata=metadata
    )


def current_bias(node: i.IntLif) -> Floats:
    """The bias [C] in current units; 1/64 of one is exact in float32."""
    bias: Ints = node.bias_mant << node.bias_exp
    return np.asarray(bias / (1 << MEMBRANE_SHIFT), np.float64)


def _narrow(values: Floats) -> Floats:
    """As float32 where that is exact."""
    narrow = np.asarray(values, np.float32)
    return narrow if np.array_equal(narrow, values) else np.asarray(values, np.float64)
