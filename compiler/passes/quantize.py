"""quantize: float layers become integer synapses and neurons, each scale chosen by the spikes it costs on calibration data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import evaluate
from pumice.compiler.ir import Change, Graph, Node, TensorType, rebuilt
from pumice.compiler.quantization import input_grid
from pumice.compiler.quantizers.attention import quantize_attention, quantize_coincidences, quantize_spike_gate
from pumice.compiler.quantizers.context import (
    Context,
    Fused,
    Made,
    Neuron,
    expect_reader,
    fused_synapses,
    positioned,
    readers_of,
)
from pumice.compiler.quantizers.layers import quantize_layer, quantize_reader
from pumice.compiler.quantizers.pools import counted_output, quantize_sum_pool
from pumice.compiler.quantizers.programs import most_spikes, quantize_program, quantize_program_reader
from pumice.compiler.quantizers.readout import is_folded_mean, quantize_readout
from pumice.compiler.quantizers.streams import quantize_membrane, quantize_sum, quantize_token_mean, stream_grids
from pumice.compiler.weight_grid import WeightGrid
from pumice.errors import UnsupportedNode
from pumice.hwsim.arith import Signs
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Quantize:
    """calibration: samples [B, …] as the network takes them. weight_bits, input_bits, signs, synapses: as in CompileOptions.
    progress: told nodes done and in all. wanted: the float nodes to quantize, None for all; given: integer nodes for those that
    these read but that are not wanted themselves."""

    name: ClassVar[str] = "quantize"
    calibration: NDArray[Any]
    weight_bits: int = 8
    input_bits: int = 8
    signs: Signs = "mixed"
    synapses: int = 1
    progress: Progress = no_progress
    wanted: frozenset[str] | None = None
    given: tuple[Node, ...] = ()

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        values = evaluate(graph, self.calibration, gated=False).values
        grids = stream_grids(graph, values, chip)
        weights = WeightGrid(self.weight_bits, self.signs, self.synapses)
        done = {node.name: node for node in self.given}
        c = Context(graph, readers_of(graph), values, chip, weights, self.input_bits, grids, done)
        changes = _finer(weights, graph.output)
        for number, node in enumerate(graph.nodes.values()):
            if self.wanted is not None and node.name not in self.wanted:
                continue
            self.progress(number, len(graph.nodes))
            changes += _taken(_convert(node, c), c)
        if self.wanted is not None:
            return rebuilt(graph, c.done.values(), "quantized", changes, output=list(c.done)[-1])
        return _read_out(graph, changes, c)


def _taken(made: Made, c: Context) -> list[Change]:
    """New nodes are done from here on; what they changed."""
    c.done.update((node.name, node) for node, _ in made)
    return [change for _, change in made if change]


def _read_out(graph: Graph, changes: list[Change], c: Context) -> Graph:
    """The quantized graph, with one read-out for each node that feeds outputs."""
    readouts: dict[str, str] = {}
    for name in dict.fromkeys(graph.ends):
        made = [] if isinstance(graph.nodes[name], f.TimeMean) else counted_output(name, c)
        changes = [*changes, *_taken(made, c)]
        readouts[name] = made[-1][0].name if made else name
    outputs = tuple((out, readouts[name]) for (out, _), name in zip(graph.outputs, graph.ends, strict=False))
    quantized = rebuilt(graph, c.done.values(), "quantized", changes, output=readouts[graph.output])
    return replace(quantized, outputs=outputs)


def _finer(weights: WeightGrid, output: str) -> list[Change]:
    """What the report says of weights that take more than one synapse with its sign in it."""
    if weights.signs == "mixed" and weights.synapses == 1:
        return []
    lists = "in lists by sign, " if weights.signs == "split" else ""
    text = (
        f"weights {lists}of up to {weights.synapses} synapses of {weights.bits} bits each, so that spikes stay those of the "
        "float network; --signs mixed --synapses 1 for one synapse a weight"
    )
    return [Change("quantize", output, text, {"signs": weights.signs, "synapses": weights.synapses})]


def _convert(node: Node, c: Context) -> Made:
    """The integer nodes of one float node. A synapse is made with the neurons that read it."""
    match node:
        case f.Input():
            return [_input(node, c)]
        case f.Lif() | f.MultiSpike() | g.Neuron():
            return _neurons(node, c)
        case g.Delay() | g.Feedback():
            return [(_late(node, c), None)]
        case f.Conv():
            return quantize_membrane(node, node.name, (), c, c.grids[node.name]) if node.name in c.grids else []
        case f.Attention() | f.Coincidences():
            expect_reader(node, c.readers, (f.Lif, f.MultiSpike) if isinstance(node, f.Attention) else (f.Lif,))
            return []
        case f.SumPool():
            return quantize_sum_pool(node, c)
        case f.Add():
            return [] if fused_synapses(node.name, c) else quantize_sum(node, c)
        case f.SpikeGate():
            return quantize_spike_gate(node, c)
        case f.TokenMean():
            return [] if is_folded_mean(node, c) else quantize_token_mean(node, c)
        case f.Linear():
            expect_reader(node, c.readers, (f.TimeMean,))
            return []
        case f.TimeMean():
            return quantize_readout(node, c)
        case _:
            return [(_structural(node, c), None)]


def _input(node: f.Input, c: Context) -> tuple[Node, Change]:
    samples = c.values[node.name]
    scale, low, high = input_grid(samples, c.input_bits)
    out = TensorType(node.out.shape, "graded", low, high)
    error = float(np.abs(np.rint(samples * scale) / scale - samples).max())
    real = f"real input as {c.input_bits}-bit graded spikes, scale {scale:g}, largest error {error:.3g}"
    text = f"{node.name}: {'spikes, taken as they are' if high == 1 else real}"
    change = Change("quantize", node.name, text, {"scale": scale, "bits": c.input_bits, "max_error": error})
    return i.GradedInput(node.name, (), out, node.source, scale), change


def _neurons(node: Fused, c: Context) -> Made:
    before, convs = c.graph.nodes[node.inputs[0]], fused_synapses(node.inputs[0], c)
    match before:
        case _ if convs:
            return quantize_program(node, convs, c) if isinstance(node, g.Neuron) else quantize_layer(convs, node, c)
        case f.Attention():
            return quantize_attention(before, neuron_of_dialect(node), c)
        case f.Coincidences():
            return quantize_coincidences(before, neuron_of_dialect(node), c)
        case f.Linear():
            raise UnsupportedNode(
                f"node {node.source!r}: {type(node).__name__} after a Linear",
                "write linear layers between neurons as Conv1d with kernel 1 on tokens [C, N]",
            )
        case _ if isinstance(node, g.Neuron):
            return quantize_program_reader(node, c)
        case _:
            return quantize_reader(node, c)


def neuron_of_dialect(node: Fused) -> Neuron:
    """Neurons that may read attention. Raises UnsupportedNode for the others."""
    if isinstance(node, g.Neuron):
        raise UnsupportedNode(f"node {node.source!r}: neurons of this kind after attention", "use LIF neurons there")
    return node


def _late(node: g.Delay | g.Feedback, c: Context) -> Node:
    """A delay of the user's own. What a feedback reads is not made yet, but its type is known."""
    if isinstance(node, g.Delay):
        source = c.done[node.inputs[0]].out
        out = replace(source, shape=positioned(node.out.shape))
        return i.Past(node.name, node.inputs, out, node.source, node.steps.reshape(out.shape))
    out, norm = payload_of(c.graph.nodes[node.of], c)
    steps = node.steps.reshape(out.shape)
    return i.Feedback(node.name, (), out, node.source, node.of, steps, norm, real=node.of in c.grids)


def payload_of(node: Node, c: Context) -> tuple[TensorType, float]:
    """What a node will send, and its payload units per float unit. Raises UnsupportedNode where that is not known before."""
    shape = positioned(node.out.shape)
    if node.name in c.grids:
        grid = c.grids[node.name]
        return TensorType(shape, "graded", -grid.limit, grid.limit), grid.scale
    if isinstance(node, f.Lif | g.Neuron):
        most = most_spikes(node, c) if isinstance(node, g.Neuron) else 1
        return TensorType(shape, "spike" if most == 1 else "graded", 0, most), 1.0
    raise UnsupportedNode(
        f"node {node.source!r}: a cycle that comes back to {type(node).__name__}",
        "close the cycle behind neurons, or behind a layer",
    )


def _structural(node: Node, c: Context) -> Node:
    """Nodes that move payloads without weights."""
    parts = [c.done[name].out for name in node.inputs]
    kept = replace(parts[0], shape=positioned(node.out.shape))
    match node:
        case f.Reshape():
            return i.Reshape(node.name, node.inputs, kept, node.source)
        case f.MaxPool():
            window = (node.kernel, node.stride, node.padding)
            pool = i.OrPool if parts[0].dtype == "spike" else i.MaxPool
            return pool(node.name, node.inputs, kept, node.source, *window)
        case f.TokenGate():
            spec = (node.mask_of, node.block, node.grid, node.retention, node.criterion, node.state, node.neurons)
            return i.TokenGate(node.name, node.inputs, kept, node.source, *spec)
        case _:
            raise UnsupportedNode(f"node {node.source!r}: {type(node).__name__} has no integer form", "")
