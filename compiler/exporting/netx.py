"""A chain of layers in lava-dl's NetX format, HDF5: what `lava.lib.dl.netx.hdf5.Network` of lava-dl 0.6.0 builds from it fires as
the program does, spike for spike, or there is no file.

Fields: `layer/N/type`, `shape` [C, H, W] or [K], `weight` (a dense layer's [O, I], a convolution's [O, C / groups, kh, kw]),
`bias`, `stride`, `padding`, `dilation`, `groups`, `neuron/…`. NetX turns maps to [W, H, C] itself, and `flatten` turns them back.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.exporting.netx_weights import dense_problem
from pumice.compiler.exporting.neurons import neuron_problem, refusal
from pumice.compiler.exporting.sequential import Chain, Layer, chain_of
from pumice.compiler.int_nodes import Ints
from pumice.compiler.ir import Shape
from pumice.compiler.program import Program
from pumice.errors import UnsupportedNode
from pumice.hwsim.arith import DECAY_UNITY, MEMBRANE_SHIFT, STATE_LIMIT, ungrouped

BIAS_EXP = 6  # NetX has no other
MANTISSA_LIMIT = 1 << 15  # Lava keeps it in int16
SMALL = 128  # Lava's Conv keeps strides, padding, kernel sizes and groups in int8
UNIT = 1 << MEMBRANE_SHIFT

Datasets = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class NetxFile:
    """datasets: by path, as they stand in the file. attributes: of the file; what a user must know to feed and read the network.
    notes: what was rewritten, line by line."""

    datasets: Datasets
    attributes: Mapping[str, Any]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class NetxNeurons:
    """Threshold mantissa, 12-bit decay of 4096, bias mantissa [C] in whole current units."""

    vth: int
    dv: int
    bias: Ints


def netx_file(program: Program) -> NetxFile:
    """`program` as a NetX file. Raises UnsupportedNode, naming the node, for what would not run there as it does here."""
    chain = chain_of(program.graph)
    datasets: dict[str, NDArray[Any]] = dict(_group(0, "input", shape=np.array(_fed(chain))))
    index, notes = 1, []
    for number, layer in enumerate(chain.layers):
        found = _neurons(layer, program)
        if found.vth != layer.neurons.vth:
            lowered = f"{layer.neurons.vth} to {found.vth}"
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
        "neuron/iDecay": DECAY_UNITY,  # NetX takes 1 off, Lava adds it again: a current forgets all
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


def _neurons(layer: Layer, program: Program) -> NetxNeurons:
    """The neurons' integers. Raises UnsupportedNode for neurons that stock LIF with a bias exponent of 6 are not."""
    node = layer.neurons
    if problem := neuron_problem(node):
        raise refusal(node, problem, "NetX has LIF neurons with one set of parameters a layer")
    if not replace(node.params, inclusive=False).stock:
        raise refusal(node, f"reset {node.reset!r}", "a NetX neuron resets to 0")
    if not 0 <= node.dv <= DECAY_UNITY:
        raise refusal(node, f"decay {node.dv}/{DECAY_UNITY}", "decays are 0 to 4096")
    bias = node.bias_mant << node.bias_exp
    if np.any(bias % UNIT):
        raise _odd_bias(node, bias)
    mantissa = bias >> BIAS_EXP
    if np.abs(mantissa).max(initial=0) >= MANTISSA_LIMIT:
        raise refusal(
            node, f"bias {np.abs(mantissa).max()}/{MANTISSA_LIMIT - 1}", "Lava keeps a bias mantissa in 16 bits"
        )
    vth = node.vth
    if node.inclusive:
        _check_inclusive(layer, bias, program)
        vth -= 1
    return NetxNeurons(int(vth), int(node.dv), mantissa)


def _odd_bias(node: i.IntLif, bias: Ints) -> UnsupportedNode:
    first = int(np.flatnonzero(bias % UNIT)[0])
    exact = (
        f"bias {bias[first]}/{UNIT} of channel {first} is no whole current: NetX has a bias exponent of {BIAS_EXP} only"
    )
    hint = "--round-biases FILE.pumice makes and converts another program, whose biases are whole"
    lifted = np.all(bias % UNIT == 1)
    return refusal(node, exact, f"it lifts exact ties, v >= threshold; {hint}" if lifted else hint)


def _check_inclusive(layer: Layer, bias: Ints, program: Program) -> None:
    """v >= 64 vth is v > 64 (vth - 1) where v is a multiple of 64: where nothing leaks, and nothing saturates in a sample."""
    node = layer.neurons
    if node.dv != 0 or node.vth < 1:
        raise refusal(node, "fires at v >= threshold, and leaks", "a NetX neuron fires at v > threshold")
    current = layer.synapse.out
    worst = (max(current.high, -current.low) << MEMBRANE_SHIFT) + int(np.abs(bias).max(initial=0))
    if worst * program.graph.timesteps >= STATE_LIMIT - 1:
        raise refusal(node, "fires at v >= threshold, and v can saturate", "a NetX neuron fires at v > threshold")


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
