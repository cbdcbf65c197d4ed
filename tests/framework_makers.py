"""Networks of snnTorch, Norse and SpikingJelly, each as the NIR graph of its framework and as the framework runs it."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import nir
import numpy as np
import torch
from framework_layers import (
    DT,
    KEEP,
    NORSE_DT,
    THRESHOLD,
    Arrays,
    Draw,
    Layers,
    Made,
    Neurons,
    Shape,
    layer_values,
    numbered,
)
from numpy.typing import NDArray
from small_graphs import chain, wired


def snntorch_neurons(kind: str = "Leaky", **options: Any) -> Neurons:
    """Its neurons with `reset_delay=False`, as its importer makes them."""

    def make(draw: Draw, shape: Shape) -> Any:
        import snntorch

        usual = {"reset_mechanism": "zero", "reset_delay": False, "init_hidden": True}
        recurrent = {"linear_features": shape[0]} if kind.startswith("R") else {}
        keeps = [draw.full(shape, KEEP)] * (2 if "Synaptic" in kind else 1)
        neuron = getattr(snntorch, kind)(*keeps, threshold=draw.full(shape, THRESHOLD), **(usual | recurrent | options))
        if recurrent:
            draw.layer(neuron.recurrent)
        return neuron

    return make


def snntorch_network(draw: Draw, layers: Layers, shape: Shape) -> Made:
    """Written by its exporter. Its spikes are float32 whatever v is, so its layers are."""
    from snntorch.export_nir import export_to_nir

    for layer in layers.values():
        for parameter in layer.parameters():
            parameter.data = parameter.data.float()
    net = torch.nn.Sequential(*copy.deepcopy(list(layers.values())))
    graph = export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0])

    def run(frames: NDArray[Any]) -> Arrays:
        found = layer_values(layers, frames)
        return {name if name in graph.nodes else f"{name}.lif": value for name, value in found.items()}

    return Made(graph, run)


def norse_neurons(kind: str = "LIFBox", v_leak: float = 0.0) -> Neurons:
    """LIFBox, LIBox or IAF, with a parameter for each neuron: its exporter writes scalars that no file can hold."""

    def make(draw: Draw, shape: Shape) -> Any:
        import norse.torch as norse

        leaks = {"tau_mem_inv": draw.full(shape, (1 - KEEP) / NORSE_DT), "v_leak": draw.full(shape, v_leak)}
        fires = {"v_th": draw.full(shape, THRESHOLD), "v_reset": draw.full(shape, 0.0)}
        wanted = {"LIFBox": leaks | fires, "LIBox": leaks, "IAF": fires}[kind]
        return getattr(norse, f"{kind}Cell")(getattr(norse, f"{kind}Parameters")(**wanted), dt=NORSE_DT)

    return make


def norse_network(draw: Draw, layers: Layers, shape: Shape, **options: Any) -> Made:
    """Written by its exporter, which knows no pools and no Flatten."""
    import norse.torch as norse

    net = norse.SequentialState(*layers.values())
    graph = norse.to_nir(net, torch.zeros(shape, dtype=draw.dtype), **options)
    graph.infer_types()  # it leaves a convolution's input shape empty, which no file can hold
    return Made(graph, lambda frames: layer_values(layers, frames))


def norse_convs(draw: Draw) -> Made:
    """[2, 8, 8] → conv → [4, 8, 8] neurons → conv → [3, 6, 6] neurons."""
    neurons = norse_neurons()
    first, second = torch.nn.Conv2d(2, 4, 3, padding=1), torch.nn.Conv2d(4, 3, 3)
    layers = (draw.layer(first), neurons(draw, (4, 8, 8)), draw.layer(second), neurons(draw, (3, 6, 6)))
    return norse_network(draw, numbered(*layers), (2, 8, 8))


def norse_reads(graph: nir.NIRGraph) -> Made:
    """A graph that Norse's importer runs, by nirtorch's executor."""
    import norse.torch as norse

    def run(frames: NDArray[Any]) -> Arrays:
        net = norse.from_nir(graph, dt=NORSE_DT)
        with torch.no_grad():
            samples = [_norse_sample(net, frames[:, number]) for number in range(frames.shape[1])]
        return {name: np.stack([sample[name] for sample in samples], axis=1) for name in samples[0]}

    return Made(graph, run)


def _norse_sample(net: Any, frames: NDArray[Any]) -> Arrays:
    """One sample [T, …], for its Flatten would flatten a batch too."""
    state, found = None, dict[str, list[NDArray[Any]]]()
    for frame in torch.tensor(frames, dtype=torch.float32):
        _, state = net(frame, state)
        for name, value in state.cache.items():
            found.setdefault(name, []).append(value.numpy())
    return {name: np.stack(values) for name, values in found.items()}


def _norse_lif(*shape: int) -> nir.LIF:
    tau, one = np.full(shape, NORSE_DT / (1 - KEEP)), np.ones(shape)
    return nir.LIF(tau, one, 0 * one, THRESHOLD * one, 0 * one)


def _affine(draw: Draw, out: int, into: int) -> nir.Affine:
    return nir.Affine(draw.weights(out, into).numpy(), draw.weights(out).numpy())


def norse_conv_pool(draw: Draw) -> Made:
    """As `conv_layers`, with a sum pool: Norse's importer has no average."""
    convs = [(draw.weights(*shape).numpy(), draw.weights(shape[0]).numpy()) for shape in ((4, 2, 3, 3), (3, 4, 3, 3))]
    two = np.array([2, 2])
    nodes = {
        "conv1": nir.Conv2d((8, 8), convs[0][0], 1, 1, 1, 1, convs[0][1]),
        "lif1": _norse_lif(4, 8, 8),
        "pool": nir.SumPool2d(two, two, np.array([0, 0])),
        "conv2": nir.Conv2d((4, 4), convs[1][0], 1, 0, 1, 1, convs[1][1]),
        "lif2": _norse_lif(3, 2, 2),
        "flat": nir.Flatten({"input": np.array([3, 2, 2])}, start_dim=0),
        "fc": _affine(draw, 5, 12),
        "lif3": _norse_lif(5),
    }
    return norse_reads(chain((2, 8, 8), (5,), **nodes))


def norse_cuba(draw: Draw, v_leak: float = 0.0) -> Made:
    def cuba(size: int) -> nir.CubaLIF:
        tau, one = np.full(size, NORSE_DT / (1 - KEEP)), np.ones(size)
        return nir.CubaLIF(tau, tau, one, v_leak * one, THRESHOLD * one, 0 * one, w_in=2 * one)

    nodes = {"fc1": _affine(draw, 12, 6), "lif1": cuba(12), "fc2": _affine(draw, 5, 12), "lif2": cuba(5)}
    return norse_reads(chain((6,), (5,), **nodes))


def norse_recurrent(draw: Draw) -> Made:
    ends = {"input": nir.Input(np.array([6])), "output": nir.Output(np.array([5]))}
    nodes = {"fc1": _affine(draw, 12, 6), "lif1": _norse_lif(12), "rec": _affine(draw, 12, 12)}
    last = {"fc2": _affine(draw, 5, 12), "lif2": _norse_lif(5)}
    forward = list(pairwise(("input", "fc1", "lif1", "fc2", "lif2", "output")))
    return norse_reads(wired({**ends, **nodes, **last}, [*forward, ("lif1", "rec"), ("rec", "lif1")]))


def spikingjelly_neurons(kind: str = "LIFNode", **options: Any) -> Neurons:
    def make(draw: Draw, shape: Shape) -> Any:
        from spikingjelly.activation_based import neuron

        leak = {"tau": 1 / (1 - KEEP)} if kind == "LIFNode" else {}
        return getattr(neuron, kind)(**({"v_threshold": THRESHOLD, "v_reset": 0.0} | leak | options))

    return make


def spikingjelly_network(draw: Draw, layers: Layers, shape: Shape) -> Made:
    """Written here, node by node, as the exporter of its repository writes them at its dt of 1e-4 s."""
    graph, value = {}, torch.zeros(1, *shape, dtype=draw.dtype)
    for name, layer in copy.deepcopy(layers).items():
        given, value = value, layer(value)
        graph[name] = _spikingjelly_node(layer, tuple(given.shape[1:]))
    return Made(chain(shape, tuple(value.shape[1:]), **graph), lambda frames: layer_values(layers, frames))


def _spikingjelly_node(layer: Any, shape: Shape) -> nir.NIRNode:
    match layer:
        case torch.nn.Linear():
            return nir.Affine(_array(layer.weight), _array(layer.bias))
        case torch.nn.Conv2d():
            windows = (layer.stride, layer.padding, layer.dilation, layer.groups)
            return nir.Conv2d(shape[1:], _array(layer.weight), *windows, _array(layer.bias))
        case torch.nn.AvgPool2d():
            return nir.AvgPool2d(*(np.array((n, n)) for n in (layer.kernel_size, layer.stride, layer.padding)))
        case torch.nn.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0)
    one, reset = np.ones(shape), layer.v_reset or 0.0
    if not hasattr(layer, "tau"):
        return nir.IF(one / DT, layer.v_threshold * one, reset * one)
    r = 1.0 if layer.decay_input else layer.tau
    return nir.LIF(layer.tau * DT * one, r * one, reset * one, layer.v_threshold * one, reset * one)


def _array(parameter: Any) -> NDArray[Any]:
    values: NDArray[Any] = parameter.detach().numpy()
    return values
