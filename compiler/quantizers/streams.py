"""Streams of real values (membrane shortcuts, pooled currents): one scale for all that is added up, and the neurons that add."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.ir import Change, Graph, Node, TensorType
from pumice.compiler.passes.lowering.neurons import gain_of
from pumice.compiler.quantization import worst_current
from pumice.compiler.quantizers.context import (
    PASS,
    Context,
    Floats,
    Grid,
    Ints,
    Made,
    channel_mean,
    is_fused,
    positioned,
    readers_of,
    synapses_behind,
)
from pumice.compiler.streams import scale_of
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import UnsupportedNode
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec

HEADROOM = 2.0  # a stream's range over the largest value seen on calibration data; what still exceeds it is clipped
PAYLOAD_BITS = 16  # of a stream on a chip without graded spikes, where verification will say that it carries none
MULTIPLIED_BITS = (
    8  # of a stream that a convolution multiplies (low-rank factors), so that its products fit the accumulator
)


LEAST_GAIN = 1e-12  # below it, or negative, neurons cannot read a stream; `programs` says so


def stream_grids(graph: Graph, values: Mapping[str, Floats], chip: ChipSpec) -> dict[str, Grid]:
    """The grid of every real stream of a folded graph. Its scale is the largest power of two that keeps the range, so that
    thresholds on it are whole numbers; of neurons that send their membrane and read a stream, a power of two from its scale by
    their gain."""
    grids: dict[str, Grid] = {}
    for component in components(graph):
        largest = max(float(np.abs(values[name]).max(initial=0)) for name in component) or 1.0
        limit = stream_limit(component, graph, chip)
        finest = min([limit / (HEADROOM * largest), *finest_of_readers(component, graph, chip)])
        unit = grid_unit(component, graph, grids)
        scale = unit * 2.0 ** np.floor(np.log2(finest / unit))
        grids |= dict.fromkeys(component, Grid(float(scale), limit))
    return grids


def grid_unit(component: list[str], graph: Graph, grids: Mapping[str, Grid]) -> float:
    """What a stream's scale is a power of two of."""
    node = next((n for name in component if isinstance(n := graph.nodes[name], g.Neuron)), None)
    read = grids.get(node.inputs[0]) if node is not None else None
    if node is None or read is None:
        return 1.0
    return read.scale / max(float(gain_of(node).flat[0]), LEAST_GAIN)


def finest_of_readers(component: Iterable[str], graph: Graph, chip: ChipSpec) -> Iterator[float]:
    """The finest scales at which neurons that read a stream have thresholds that fit their registers."""
    readers = readers_of(graph)
    for reader in (reader for name in component for reader in readers[name]):
        if isinstance(reader, f.Lif):
            yield ((1 << chip.threshold_bits) - 1) / reader.limit
        if isinstance(reader, g.Neuron) and reader.firing is not None:
            largest = float(np.abs(reader.firing.threshold / gain_of(reader)).max(initial=0)) or 1.0
            yield (arith.STATE_LIMIT >> arith.MEMBRANE_SHIFT) / 2 / largest


def stream_limit(component: Iterable[str], graph: Graph, chip: ChipSpec) -> int:
    """The largest payload of a stream: what the chip carries, less where a sum over tokens or a product must fit too."""
    readers = readers_of(graph)
    limit = (1 << ((chip.graded_bits or PAYLOAD_BITS) - 1)) - 1
    for name in component:
        for reader in readers[name]:
            if isinstance(reader, f.TokenMean):
                limit = min(limit, (arith.STATE_LIMIT - 1) // graph.nodes[name].out.shape[1])
            if isinstance(reader, f.Conv | g.Feedback):  # what comes back around a cycle is multiplied there
                limit = min(limit, (1 << (MULTIPLIED_BITS - 1)) - 1)
            if isinstance(reader, f.SumPool):
                limit = min(limit, limit // (reader.kernel[0] * reader.kernel[1]))
        if name in graph.ends:
            limit = min(limit, (arith.STATE_LIMIT - 1) // graph.timesteps)
    return limit


def components(graph: Graph) -> list[list[str]]:
    """The real streams of a folded graph: names of nodes whose payloads must share a scale."""
    readers = readers_of(graph)
    member: dict[str, list[str]] = {}
    for node in graph.nodes.values():
        joined = _joined(node, member, readers, graph)
        if joined is None:
            continue
        merged = [node.name, *(name for part in joined for name in part)]
        for name in merged:
            member[name] = merged
    return list({id(part): part for part in member.values()}.values())


def _joined(
    node: Node, member: Mapping[str, list[str]], readers: Mapping[str, list[Node]], graph: Graph
) -> list[list[str]] | None:
    """The components that a node joins, or None where it is no real stream."""
    real = list({id(member[name]): member[name] for name in node.inputs if name in member}.values())
    if isinstance(node, f.Conv):
        return None if is_fused(node, readers) else []
    if isinstance(node, g.Neuron):
        return [] if node.firing is None else None
    if isinstance(node, f.Add):
        if synapses_behind(node.name, graph, readers):
            return None
        return real if real or any(isinstance(graph.nodes[name], f.Conv) for name in node.inputs) else None
    moves = isinstance(node, f.MaxPool | f.Reshape | f.TokenGate | g.Delay)
    return real if moves and real else None


def quantize_sum(node: f.Add, c: Context) -> Made:
    """A sum of streams; of a convolution's current and streams where it adds to a membrane."""
    currents = [name for name in node.inputs if is_fused(c.graph.nodes[name], c.readers)]
    streams = [name for name in node.inputs if name not in currents]
    _check_scales(node, streams, c)
    if not currents:
        return [(_plain_sum(node, c), None)]
    made: Made = []
    for extra in currents[1:]:  # a neuron takes one current; further ones become streams first
        conv = c.graph.nodes[extra]
        assert isinstance(conv, f.Conv)
        made += quantize_membrane(conv, conv.name, (), c, c.grids[node.name])
        streams.append(extra)
    conv = c.graph.nodes[currents[0]]
    assert isinstance(conv, f.Conv)
    return made + quantize_membrane(conv, node.name, tuple(streams), c, c.grids[node.name])


def _check_scales(node: f.Add, streams: list[str], c: Context) -> None:
    units = {scale_of(name, c.done) for name in streams} | (
        {c.grids[node.name].scale} if node.name in c.grids else set()
    )
    if len(units) > 1:
        raise UnsupportedNode(
            f"node {node.source!r}: adds streams in different units ({', '.join(f'{u:g}' for u in sorted(units))})",
            "spikes, levels and currents can be summed only with their own kind",
        )


def _plain_sum(node: f.Add, c: Context) -> i.Sum:
    parts = [c.done[name].out for name in node.inputs]
    low, high = sum(t.low for t in parts), sum(t.high for t in parts)
    return i.Sum(node.name, node.inputs, TensorType(parts[0].shape, "graded", low, high), node.source)


def quantize_membrane(conv: f.Conv, name: str, streams: tuple[str, ...], c: Context, grid: Grid) -> Made:
    """A convolution whose current joins a stream: a synapse on the finest grid that its weights allow, and graded neurons that
    shift it onto the stream's grid. The bias is corrected for the mean error of rounding (Nagel et al., ICCV 2019)."""
    scale, limit = grid.scale, grid.limit
    source, unit = c.done[conv.inputs[0]].out, scale_of(conv.inputs[0], c.done)
    fit = _finest_grid(np.asarray(conv.weight, np.float64), scale / unit, (source.low, source.high), c.weights)
    shift, weight, worst, clipped = fit
    current = run_synapse(conv, weight, c)
    shifted = arith.shifted(current, shift)
    drift = channel_mean(shifted) - (channel_mean(c.values[conv.name]) - conv.bias) * scale
    bias = np.rint(np.asarray(conv.bias, np.float64) * scale - drift).astype(np.int64)
    out = TensorType(positioned(conv.out.shape), "graded", -limit, limit)
    synapse_name = conv.name if name != conv.name else f"{conv.name}.synapse"
    synapse = _synapse(conv, synapse_name, weight, worst, scale / 2.0**shift, c.weights)
    node = i.Membrane(name, (synapse.name, *streams), out, c.graph.nodes[name].source, shift, bias, scale)
    ideal = (c.values[conv.name] * scale).reshape(shifted.shape)
    error = float(np.abs(shifted + node.bias - ideal).mean() / scale)
    text = (
        f"{name}: stream of real values, scale {scale:g}, range ±{limit / scale:.3g}, current shifted by {shift}, worst "
        f"accumulator {worst.bit_length()} of 17 bits, {clipped} weights clipped, mean error {error:.2g}"
    )
    data = {"scale": scale, "shift": shift, "range": limit / scale, "mean_error": error, "clipped_weights": clipped}
    return [(synapse, None), (node, Change(PASS, name, text, data | {"worst_current_bits": worst.bit_length()}))]


def _finest_grid(
    weight: Floats, scale: float, x_range: tuple[int, int], grid: WeightGrid
) -> tuple[int, Ints, int, int]:
    """(shift, weights, worst current, clipped): the smallest shift of two whose weights at scale / 2^shift fit their bits and
    cannot make the accumulator wrap."""
    largest = float(np.abs(weight).max(initial=0)) or 1.0
    shift = int(np.ceil(np.log2(largest * scale / grid.largest)))
    while True:
        integers, clipped = grid.nearest(weight * (scale / 2.0**shift))
        worst = worst_current(integers, *x_range)
        if worst < arith.ACTIVATION_LIMIT:
            return shift, integers, worst, clipped
        shift += 1


def run_synapse(conv: f.Conv, weight: Ints, c: Context) -> Ints:
    """Currents of a convolution with integer weights on calibration data."""
    x, out = c.payload(conv.inputs[0]), c.done[conv.inputs[0]].out
    bound = max(abs(out.low), out.high)
    return arith.synaptic_currents(
        x, weight, conv.stride, conv.padding, bound, len(positioned(conv.out.shape)), conv.groups
    )


def _synapse(conv: f.Conv, name: str, weight: Ints, worst: int, scale: float, grid: WeightGrid) -> i.Synapse:
    out = TensorType(positioned(conv.out.shape), "current", -worst, worst)
    where = (conv.stride, conv.padding, scale, conv.groups)
    return i.Synapse(name, conv.inputs, out, conv.source, weight, *where, grid.signs, grid.synapses)


def one_to_one(name: str, source: str, c: Context) -> i.OneToOne:
    """The synapses by which neurons read a stream, each the payload of its own number."""
    out = c.done[source].out
    return i.OneToOne(name, (source,), TensorType(out.shape, "current", out.low, out.high), c.done[source].source)


def quantize_token_mean(node: f.TokenMean, c: Context) -> Made:
    """A mean over tokens that neurons read: its sum, shifted into the payload's range, the divisor in the scale."""
    source = c.done[node.inputs[0]].out
    worst = max(abs(source.low), source.high) * source.shape[1]
    limit = (1 << ((c.chip.graded_bits or PAYLOAD_BITS) - 1)) - 1
    shift = 0
    while (worst >> shift) + 1 > limit:
        shift += 1
    scale = scale_of(node.inputs[0], c.done) * node.tokens / 2.0**shift
    bound = (worst >> shift) + 1
    out = TensorType((source.shape[0], 1), "graded", -bound if source.low < 0 else 0, bound)
    text = f"{node.name}: sum over {source.shape[1]} tokens, shifted by {shift}, scale {scale:g}"
    change = Change(PASS, node.name, text, {"shift": shift, "scale": scale})
    return [(i.TokenSum(node.name, node.inputs, out, node.source, shift, scale), change)]
