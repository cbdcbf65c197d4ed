"""quantize: float layers become integer synapses and neurons, each scale chosen by the spikes it costs on calibration data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from pumice.compiler import float_nodes as f
from pumice.compiler import int_nodes as i
from pumice.compiler.evaluate import attention, evaluate
from pumice.compiler.ir import Change, Graph, Node, TensorType, rebuilt
from pumice.compiler.quantization import (
    LayerFit,
    LayerProblem,
    NeuronIntegers,
    fit_layer,
    input_grid,
    neuron_integers,
    quantize_weights,
    run_layer,
    worst_current,
)
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim import arith
from pumice.hwsim.spec import ChipSpec
from pumice.progress import Progress, no_progress

Ints = NDArray[np.int64]
CURRENT = arith.ACTIVATION_LIMIT - 1
MAX_COUNT_SHIFT = 8


@dataclass(frozen=True, eq=False)
class Quantize:
    """calibration: samples [B, …] as the network takes them. weight_bits, input_bits: as in CompileOptions. progress: told nodes
    done and in all."""

    name: ClassVar[str] = "quantize"
    calibration: NDArray[Any]
    weight_bits: int = 8
    input_bits: int = 8
    progress: Progress = no_progress

    def __call__(self, graph: Graph, chip: ChipSpec) -> Graph:
        values = evaluate(graph, self.calibration, gated=False).values
        done: dict[str, Node] = {}
        changes: list[Change] = []
        for number, node in enumerate(graph.nodes.values()):
            self.progress(number, len(graph.nodes))
            for new, change in self._convert(node, graph, values, done, chip):
                done[new.name] = new
                changes += [change] if change else []
        return rebuilt(graph, done.values(), "quantized", changes)

    def _convert(
        self, node: Node, graph: Graph, values: Mapping[str, NDArray[np.float64]], done: dict[str, Node], chip: ChipSpec
    ) -> list[tuple[Node, Change | None]]:
        """The integer nodes of one float node. A synapse is made with the neuron that reads it."""
        match node:
            case f.Input():
                return [self._input(node, values[node.name])]
            case f.Lif():
                before = graph.nodes[node.inputs[0]]
                if isinstance(before, f.Conv):
                    return self._layer(before, node, graph, values, done, chip)
                if isinstance(before, f.Attention):
                    return self._attention(before, node, values, done, chip)
                raise UnsupportedNode(
                    f"node {node.source!r}: LIF after {type(before).__name__}", "a LIF reads a layer or an attention"
                )
            case f.TimeMean():
                return self._readout(node, graph, done)
            case f.Conv() | f.Attention() | f.TokenMean() | f.Linear():
                _expect_reader(node, graph)
                return []
            case _:
                return [(_structural(node, done), None)]

    def _input(self, node: f.Input, samples: NDArray[np.float64]) -> tuple[Node, Change]:
        scale, low, high = input_grid(samples, self.input_bits)
        out = TensorType(node.out.shape, "graded", low, high)
        error = float(np.abs(np.rint(samples * scale) / scale - samples).max())
        text = f"{node.name}: real input as {self.input_bits}-bit graded spikes, scale {scale:g}, largest error {error:.3g}"
        change = Change(self.name, node.name, text, {"scale": scale, "bits": self.input_bits, "max_error": error})
        return i.GradedInput(node.name, (), out, node.source, scale), change

    def _layer(
        self,
        conv: f.Conv,
        lif: f.Lif,
        graph: Graph,
        values: Mapping[str, NDArray[np.float64]],
        done: dict[str, Node],
        chip: ChipSpec,
    ) -> list[tuple[Node, Change | None]]:
        source = done[conv.inputs[0]]
        scale = source.scale if isinstance(source, i.GradedInput) else 1.0
        x = np.clip(np.rint(values[conv.inputs[0]] * scale), source.out.low, source.out.high).astype(np.int64)

        def currents(weight: Ints) -> Ints:
            return arith.synaptic_currents(
                x, weight, conv.stride, conv.padding, max(abs(source.out.low), source.out.high), len(conv.out.shape)
            )

        bias = np.asarray(conv.bias, np.float64)
        mean_current = values[conv.name].mean(axis=(0, 1, *range(3, values[conv.name].ndim))) - bias
        layer = LayerProblem(
            weight=np.asarray(conv.weight, np.float64),
            bias=bias,
            lif=lif,
            input_scale=scale,
            input_range=(source.out.low, source.out.high),
            currents=currents,
            mean_current=mean_current,
            target=values[lif.name] > 0,
        )
        fit = fit_layer(layer, self.weight_bits, chip)
        out = TensorType(conv.out.shape, "current", -fit.worst_current, fit.worst_current)
        synapse = i.Synapse(
            conv.name, conv.inputs, out, conv.source, fit.weight, conv.stride, conv.padding, fit.neurons.scale
        )
        return [(synapse, None), (_neurons(lif, fit.neurons), _layer_change(self.name, lif, fit))]

    def _attention(
        self,
        node: f.Attention,
        lif: f.Lif,
        values: Mapping[str, NDArray[np.float64]],
        done: dict[str, Node],
        chip: ChipSpec,
    ) -> list[tuple[Node, Change | None]]:
        """Counts of coincidences are integers already: only the grid of the threshold is to choose."""
        channels, tokens = node.out.shape
        largest = tokens * (channels // node.heads)
        neurons, shift = _count_grid(lif, node.scale, largest, channels, chip)
        q, k, v = (values[name] for name in node.inputs)
        counts = attention(q, k, v, node.heads).astype(np.int64)
        spikes, _ = run_layer(counts << shift, neurons.params(2))
        mismatch = float((spikes != (values[lif.name] > 0)).mean())
        text = f"{lif.name}: attention counts << {shift}, θ {lif.threshold:g} → {neurons.vth}, spike mismatch {mismatch:.2%}"
        data = {"shift": shift, "vth": neurons.vth, "tie": neurons.tie, "mismatch": mismatch}
        out = TensorType(node.out.shape, "current", 0, largest << shift)
        matmul = i.IntAttention(node.name, node.inputs, out, node.source, node.heads, shift)
        return [(matmul, None), (_neurons(lif, neurons), Change(self.name, lif.name, text, data))]

    def _readout(self, mean: f.TimeMean, graph: Graph, done: dict[str, Node]) -> list[tuple[Node, Change | None]]:
        """Token mean, linear layer and time mean: one synapse and an accumulator, the means folded into its scale."""
        linear = graph.nodes[mean.inputs[0]]
        tokens = graph.nodes[linear.inputs[0]] if isinstance(linear, f.Linear) else linear
        if not isinstance(linear, f.Linear) or not isinstance(tokens, f.TokenMean):
            raise UnsupportedNode(f"node {mean.source!r}: TimeMean must follow TokenMean and Affine", "")
        stream = done[tokens.inputs[0]].out
        summed = stream.shape[1] * graph.timesteps
        weight = np.asarray(linear.weight, np.float64)
        scale = ((1 << self.weight_bits) - 2) / (float(np.abs(weight).max(initial=0)) or 1.0)
        integers, _ = quantize_weights(weight, scale, self.weight_bits)
        largest_bias = float(np.abs(linear.bias).max(initial=0))
        while (
            worst_current(integers, stream.low, stream.high) + largest_bias * scale
        ) * summed >= arith.STATE_LIMIT - 1:
            scale /= 2
            integers, _ = quantize_weights(weight, scale, self.weight_bits)
        worst = worst_current(integers, stream.low, stream.high)
        offset = np.rint(np.asarray(linear.bias, np.float64) * scale * summed).astype(np.int64)
        out = TensorType((weight.shape[0], stream.shape[1]), "current", -worst, worst)
        total = TensorType(mean.out.shape, "graded", -arith.STATE_LIMIT + 1, arith.STATE_LIMIT - 1)
        synapse = i.Synapse(
            linear.name, tokens.inputs, out, linear.source, integers[:, :, None, None], (1, 1), (0, 0), scale
        )
        readout = i.Readout(mean.name, (linear.name,), total, mean.source, offset, 1 / (scale * summed))
        bits = (worst * summed).bit_length()
        means = f"means over {stream.shape[1]} tokens and {graph.timesteps} steps folded"
        text = f"{linear.name}: read-out scale {scale:.4g}, {means}, worst total {bits} of 23 bits"
        return [(synapse, None), (readout, Change(self.name, linear.name, text, {"scale": scale, "worst_bits": bits}))]


def _count_grid(lif: f.Lif, scale: float, largest: int, channels: int, chip: ChipSpec) -> tuple[NeuronIntegers, int]:
    """The smallest shift of the counts at which the threshold is a whole number, so that exact ties stay ties."""
    folded = replace(lif, threshold=lif.threshold / scale)
    for shift in range(MAX_COUNT_SHIFT + 1):
        vth = folded.tau * folded.threshold * (1 << shift)
        whole = abs(vth - round(vth)) < 1e-9 and vth >= 1
        if whole or largest << (shift + 1) > CURRENT or shift == MAX_COUNT_SHIFT:
            neurons = neuron_integers(folded, np.zeros(channels), float(1 << shift), chip)
            if neurons is None:
                break
            return replace(neurons, scale=(1 << shift) / scale), shift
    raise InputError(f"node {lif.source!r}: threshold {lif.threshold} over scale {scale} does not fit the chip", "")


def _neurons(lif: f.Lif, n: NeuronIntegers) -> i.IntLif:
    out = TensorType(lif.out.shape, "spike", 0, 1)
    return i.IntLif(lif.name, lif.inputs, out, lif.source, n.vth, n.dv, n.bias_mant, n.bias_exp, n.scale)


def _layer_change(by: str, lif: f.Lif, fit: LayerFit) -> Change:
    n = fit.neurons
    bits = fit.worst_current.bit_length()
    worst_membrane = (int(fit.worst_current * lif.tau) << arith.MEMBRANE_SHIFT).bit_length()
    data = {
        "scale": n.scale,
        "threshold": lif.threshold,
        "vth": n.vth,
        "bias_exp": n.bias_exp,
        "tie": n.tie,
        "mismatch": fit.mismatch,
        "clipped_weights": fit.clipped,
        "worst_current_bits": bits,
        "observed_current_bits": fit.observed_current.bit_length(),
        "worst_membrane_bits": worst_membrane,
        "observed_membrane_bits": fit.observed_membrane.bit_length(),
    }
    saturates = ", saturates in the worst case" if worst_membrane > 23 else ""
    text = (
        f"{lif.name}: scale {n.scale:.4g}, θ {lif.threshold:g} → {n.vth}, worst accumulator {bits} of 17 bits "
        f"(seen {data['observed_current_bits']}), membrane {worst_membrane} of 23 bits "
        f"(seen {data['observed_membrane_bits']}){saturates}, {fit.clipped} weights clipped, spike mismatch {fit.mismatch:.2%}"
    )
    return Change(by, lif.name, text, data)


def _expect_reader(node: Node, graph: Graph) -> None:
    wanted = {f.Conv: f.Lif, f.Attention: f.Lif, f.TokenMean: f.Linear, f.Linear: f.TimeMean}[type(node)]
    readers = graph.consumers()[node.name]
    if len(readers) != 1 or not isinstance(readers[0], wanted):
        names = ", ".join(r.name for r in readers) or "nothing"
        raise UnsupportedNode(
            f"node {node.source!r}: read by {names}", f"a {type(node).__name__} must be read by one {wanted.__name__}"
        )


def _structural(node: Node, done: dict[str, Node]) -> Node:
    """Nodes that move spikes without weights."""
    ins = [done[name].out for name in node.inputs]
    low, high = sum(t.low for t in ins), sum(t.high for t in ins)
    kept = replace(ins[0], shape=node.out.shape)
    match node:
        case f.Add():
            return i.Sum(node.name, node.inputs, TensorType(node.out.shape, "graded", low, high), node.source)
        case f.Reshape():
            return i.Reshape(node.name, node.inputs, kept, node.source)
        case f.SpikeMaxPool():
            if ins[0].dtype != "spike":
                raise UnsupportedNode(f"node {node.source!r}: max-pool of {ins[0]}", "max-pool takes binary spikes")
            return i.OrPool(node.name, node.inputs, kept, node.source, node.kernel, node.stride, node.padding)
        case f.TokenGate():
            spec = (node.mask_of, node.block, node.grid, node.retention, node.criterion, node.state, node.neurons)
            return i.TokenGate(node.name, node.inputs, kept, node.source, *spec)
        case _:
            raise UnsupportedNode(f"node {node.source!r}: {type(node).__name__} has no integer form", "")
