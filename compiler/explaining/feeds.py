"""What feeds neurons: the formulas of their synapses, or of attention's counts, and what rounding did to the weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.explaining import formulas, streams
from pumice.compiler.explaining.explanation import Step, Weights
from pumice.compiler.explaining.runs import Floats, Look
from pumice.compiler.ir import Node
from pumice.compiler.weight_grid import WeightGrid


@dataclass(frozen=True)
class Fed:
    """steps: formulas of the weights, or of counts. weights: of all synapses together; each: one by one, where there are several.
    fitting: the scale, in current units per float unit, at which the largest weight just fits; 0 without weights."""

    steps: tuple[Step, ...] = ()
    weights: Weights | None = None
    each: tuple[tuple[str, Weights], ...] = ()
    fitting: float = 0.0


def fed(feed: Node, look: Look, rows: Floats | None = None) -> Fed:
    """Of what neurons read. rows [O]: what their weights were multiplied by first, the gains of neurons that do not fire."""
    if isinstance(feed, i.IntAttention | i.SpikeMatmul):
        return Fed((streams.count_step(feed, look.current_scale(feed)),))
    convs = look.convs(feed)
    if not convs:
        return Fed()
    made = [_of_synapse(conv, node, look, rows) for conv, node in zip(convs, look.synapses(feed), strict=True)]
    fitting = min(fits for _, _, fits in made)
    if len(made) == 1:
        return Fed((made[0][0],), made[0][1], fitting=fitting)
    names = [node.name for node in look.synapses(feed)]
    steps = [replace(step, result=f"w_int of {name}") for name, (step, _, _) in zip(names, made, strict=True)]
    each = tuple((name, lost) for name, (_, lost, _) in zip(names, made, strict=True))
    return Fed(tuple(steps), together([lost for _, lost in each]), each, fitting)


def _of_synapse(conv: f.Conv, node: i.Synapse, look: Look, rows: Floats | None) -> tuple[Step, Weights, float]:
    weight: NDArray[Any] = np.asarray(conv.weight, np.float64)
    if rows is not None:
        weight = weight * rows.reshape(-1, *[1] * (weight.ndim - 1))
    unit = look.scale(node.inputs[0])
    step, lost = formulas.weight_step(weight, node, node.scale / unit, look.weight_bits, unit)
    if rows is not None and np.any(rows != 1):
        step = replace(step, remark=f"{step.remark}; w: with the neuron's gain, which its weights take")
    largest = float(np.abs(weight).max(initial=0)) or 1.0
    return step, lost, WeightGrid(look.weight_bits, node.signs, node.synapses).largest / largest * unit


def together(parts: Sequence[Weights]) -> Weights:
    """What was lost of the weights of several synapses."""
    count = sum(part.count for part in parts)
    return Weights(
        count=count,
        zeroed=sum(part.zeroed for part in parts),
        clipped=sum(part.clipped for part in parts),
        largest_error=max(part.largest_error for part in parts),
        mean_error=sum(part.mean_error * part.count for part in parts) / max(count, 1),
    )


def bias(node: i.IntLif | i.Levels, feed: Node, look: Look) -> Step:
    """The bias of neurons, of their layer's or of none."""
    return formulas.layer_bias(node, feed, look) if look.convs(feed) else formulas.plain_bias(node, look)


def said(feed: Node, look: Look) -> str:
    """What feeds neurons, in words."""
    match feed:
        case i.Synapse():
            return f"{feed.name}, synapses {'×'.join(map(str, feed.weight.shape))}"
        case i.Currents():
            return " and ".join(said(part, look) for part in look.synapses(feed))
        case i.OneToOne():
            return f"the stream {feed.inputs[0]}"
        case _:
            return f"{feed.name}, attention's counts of {', '.join(feed.inputs)}"
