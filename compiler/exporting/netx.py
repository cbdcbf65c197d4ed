"""A chain of layers in lava-dl's NetX format, HDF5: what `lava.lib.dl.netx.hdf5.Network` of lava-dl 0.6.0 builds from it fires as
the program does, spike for spike, or there is no file.

Fields: `layer/N/type`, `shape` [C, H, W] or [K], `weight` (a dense layer's [O, I], a convolution's [O, C / groups, kh, kw]),
`bias`, `stride`, `padding`, `dilation`, `groups`, `neuron/…`. NetX turns maps to [W, H, C] itself, and `flatten` turns them back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumice.compiler.exporting.netx_neurons import NetxNeurons, netx_neurons
from pumice.compiler.exporting.netx_weights import dense_problem
from pumice.compiler.exporting.neurons import refusal
from pumice.compiler.exporting.sequential import Chain, Layer, chain_of
from pumice.compiler.ir import Shape
from pumice.compiler.program import Program
from pumice.hwsim.arith import ungrouped

SMALL = 128  # Lava's Conv keeps strides, padding, kernel sizes and groups in int8

Datasets = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class NetxFile:
    """datasets: by path, as they stand in the file. attributes: of the file; what a user must know to feed and read the network.
    notes: what was rewritten, line by line."""

    datasets: Datasets
    attributes: Mapping[str, Any]
    notes: tuple[str, ...]


def netx_file(program: Program) -> NetxFile:
    """`program` as a NetX file. Raises UnsupportedNode, naming the node, for what would not run there as it does here."""
    chain = chain_of(program.graph)
    datasets: dict[str, NDArray[Any]] = dict(_group(0, "input", shape=np.array(_fed(chain))))
    index, notes = 1, []
    for number, layer in enumerate(chain.layers):
        found = netx_neurons(layer, program)
        if found.lowered:
            lowered = f"{found.vth + 1} to {found.vth}"
            notes.append(
                f"{layer.neurons.name}: v >= threshold as v > threshold - 1, {lowered}; exact, as nothing leaks"
            )
        if layer.flattens and number > 0:  # before the first layer there is nothing to flatten: its input comes flat
            datasets |= _group(index, "flatten", shape=np.array([layer.weight.shape[1]]))
            index += 1
        datasets |= _layer(index, layer, found)
        index += 1
    return NetxFile(datasets, _attributes(program, chain), tuple(notes))


def netx_bytes(file: NetxFile) -> bytes:
    """The HDF5 file. Equal programs give equal bytes."""
    content = io.BytesIO()
    with h5py.File(content, "w") as hdf5:
        for path, array in file.datasets.items():
            hdf5.create_dataset(path, data=array, track_times=False)
        for key, value in file.attributes.items():
            hdf5.attrs[key] = value
    return content.getvalue()


def _group(index: int, kind: str, **arrays: Any) -> Datasets:
    fields = {"type": np.array([kind.encode()], "S10"), **arrays}
    return {f"layer/{index}/{key}": np.asarray(value) for key, value in fields.items()}


def _layer(index: int, layer: Layer, neurons: NetxNeurons) -> Datasets:
    _check_weights(layer)
    weight, groups = layer.weight, layer.groups
    if groups >= SMALL:
        weight, groups = ungrouped(weight, groups), 1
    arrays: dict[str, Any] = {"shape": np.array(layer.out), "weight": weight.astype(np.int32)}
    if layer.kind == "conv":
        arrays |= {"stride": layer.stride, "padding": layer.padding, "dilation": (1, 1), "groups": groups}
    if np.any(neurons.bias):
        arrays["bias"] = neurons.bias.astype(np.int32)
    arrays |= {
        "neuron/type": np.array([b"CUBA"], "S10"),
        "neuron/iDecay": neurons.du,  # NetX takes 1 off, Lava adds it again: at 4096 a current forgets all
        "neuron/vDecay": neurons.dv,
        "neuron/vThMant": neurons.vth,
        "neuron/refDelay": 1,
        "neuron/gradedSpike": 0,
    }
    return _group(index, layer.kind, **arrays)


def _check_weights(layer: Layer) -> None:
    """Raises UnsupportedNode where Lava would compute something else."""
    if layer.synapse.signs != "mixed" or layer.synapse.synapses != 1:
        raise refusal(
            layer.synapse,
            "its weights are sums of several lists of synapses",
            "compile with --signs mixed --synapses 1",
        )
    if layer.kind == "dense":
        if problem := dense_problem(layer.weight):
            raise refusal(
                layer.synapse, f"lava-dl would not keep its matrix: {problem}", "compile with fewer weight bits"
            )
        return
    largest = max(*layer.stride, *layer.padding, *layer.weight.shape[2:])
    if largest >= SMALL:
        raise refusal(
            layer.synapse, f"stride, padding or kernel {largest}/{SMALL - 1}", "Lava's Conv keeps them in 8 bits"
        )


def _attributes(program: Program, chain: Chain) -> dict[str, Any]:
    """What a user must know: what to feed, when to reset, when the output comes."""
    entry, graph = chain.entry, program.graph
    spikes = entry.out.low == 0 and entry.out.high == 1
    layers = {layer.neurons.name: layer.neurons.scale for layer in chain.layers}
    return {
        "pumice": "netx 1",
        "chip": program.chip.name,
        "source_hash": program.source_hash,
        "timesteps": graph.timesteps,
        "encoding": graph.encoding,
        "input_scale": entry.scale,
        "input_low": entry.out.low,
        "input_high": entry.out.high,
        "input_message_bits": 0 if spikes else entry.out.bits,
        "input_shape": np.array(_fed(chain)),
        "reset_interval": graph.timesteps,
        "reset_offset": 1,
        "latency": len(chain.layers),
        "output": graph.nodes[graph.output].source,
        "current_units": json.dumps(layers),
    }


def _fed(chain: Chain) -> Shape:
    """What goes in, [C, H, W] (in Lava's order [W, H, C]), or [K] where a dense layer comes first."""
    return chain.shape if chain.layers[0].kind == "conv" else (int(np.prod(chain.shape)),)
