"""Small NIR networks for the export tests, by seed, compiled to programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from nir_cases import case_arrays, case_path
from numpy.typing import NDArray
from small_graphs import Shape, chain, wired

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import annotation, extension
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import NIR, Reading, reading
from pumice.compiler.ir import Graph, TensorType
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import CoreMapping, Program
from pumice.hwsim.spec import load_chip

DT = 1e-4
PAIRS = ((1, 1), (2, 1), (1, 2), (2, 2))


@dataclass(frozen=True, eq=False)
class Net:
    """A program, and samples [B, T, …] or [B, …] for it."""

    program: Program
    samples: NDArray[np.float64]


def lif(shape: Shape, threshold: float, tau: float = 2.0, **said: Any) -> nir.LIF:
    """A LIF of `tau` timesteps and input gain 1."""
    one = np.ones(shape)
    metadata = {"metadata": annotation(said)} if said else {}
    return nir.LIF(DT * tau * one, tau * one, 0 * one, threshold * one, 0 * one, **metadata)


def conv(rng: np.random.Generator, out: int, before: Shape, **where: Any) -> nir.Conv2d:
    """A convolution; kernel, stride, padding, groups, bias as given."""
    kernel, groups = where.pop("kernel", (3, 3)), where.pop("groups", 1)
    weight = rng.normal(0, 1, (out, before[0] // groups, *kernel))
    bias = rng.normal(0, 0.3, out) * where.pop("bias", True)
    places = where.pop("stride", (1, 1)), where.pop("padding", (0, 0))
    return nir.Conv2d(before[1:], weight, *places, 1, groups, bias)


def dense(rng: np.random.Generator, out: int, before: int) -> nir.Affine:
    return nir.Affine(rng.normal(0, 1, (out, before)), rng.normal(0, 0.3, out))


def flatten(shape: Shape) -> nir.Flatten:
    return nir.Flatten(np.array(shape), 0, -1)


def pool(kind: Any, size: int) -> Any:
    return kind(np.array([size, size]), np.array([size, size]), np.array([0, 0]))


def conv_out(node: nir.Conv2d, before: Shape) -> Shape:
    sizes = zip(before[1:], node.weight.shape[2:], node.stride, node.padding, strict=True)
    return (node.weight.shape[0], *((n + 2 * p - k) // s + 1 for n, k, s, p in sizes))


def spikes(shape: Shape, seed: int) -> NDArray[np.float64]:
    return (np.random.default_rng(seed).random(shape) < 0.5).astype(np.float64)


def compiled(
    graph: nir.NIRGraph, samples: NDArray[Any], meaning: Reading | None = NIR, bits: int = 8, **options: Any
) -> Net:
    """Compiled on all samples but the first three, which are left to run; with one synapse a weight, as NetX has them."""
    options = {"signs": "mixed", "synapses": 1, "weight_bits": bits, "reading": meaning} | options
    program = compile_nir(graph, samples[3:], load_chip("loihi2"), CompileOptions(**options))
    return Net(program, samples[:3])


def frames(net: Net) -> NDArray[np.float64]:
    """Samples [B, T, …] also of a network that shows a still one."""
    graph = net.program.graph
    if graph.encoding == "frames":
        return net.samples
    return np.repeat(net.samples[:, None], graph.timesteps, axis=1)


def mixed(seed: int, steps: int = 5) -> Net:
    """One or two convolutions of random kernels, strides, paddings and groups, then one or two dense layers."""
    rng = np.random.default_rng(seed)
    shape = first = (2, int(rng.integers(5, 8)), int(rng.integers(5, 8)))
    nodes: dict[str, Any] = {}
    for number in range(int(rng.integers(1, 3))):
        kernel, padding = (tuple(int(n) for n in rng.integers(low, low + 3, 2)) for low in (1, 0))
        groups, stride = int(rng.choice([1, 2])), PAIRS[int(rng.integers(0, 4))]
        layer = conv(rng, 4, shape, kernel=kernel, stride=stride, padding=padding, groups=groups)
        shape = conv_out(layer, shape)
        nodes |= {f"c{number}": layer, f"n{number}": lif(shape, 1.5, float(rng.choice([2, 3, 5])))}
    sizes = [int(np.prod(shape)), *rng.integers(3, 7, int(rng.integers(1, 3))).tolist()]
    nodes["flat"] = flatten(shape)
    for number, (before, out) in enumerate(pairwise(sizes)):
        nodes |= {f"d{number}": dense(rng, out, before), f"m{number}": lif((out,), 1.5, float(rng.choice([2, 4])))}
    return compiled(chain(first, (sizes[-1],), **nodes), spikes((8, steps, *first), seed))


def pooled(seed: int = 3) -> Net:
    """A mean pool before a convolution that pads, and a sum pool, which leaves a rest, before a dense layer."""
    rng = np.random.default_rng(seed)
    graph = chain(
        (2, 8, 8),
        (5,),
        c=conv(rng, 3, (2, 8, 8), padding=(1, 1)),
        n=lif((3, 8, 8), 2.0),
        p=pool(nir.AvgPool2d, 2),
        e=conv(rng, 4, (3, 4, 4), kernel=(2, 2), padding=(1, 1)),
        m=lif((4, 5, 5), 0.5, 3.0),
        q=pool(nir.SumPool2d, 2),
        f=flatten((4, 2, 2)),
        d=dense(rng, 5, 16),
        o=lif((5,), 6.0, 4.0),
    )
    return compiled(graph, spikes((8, 5, 2, 8, 8), seed))


def stack(
    seed: int, sizes: Shape, samples: NDArray[np.float64], tau: float = 3.0, encoding: str = "frames", **options: Any
) -> Net:
    """Dense layers only. samples as their first one takes them."""
    rng = np.random.default_rng(seed)
    nodes: dict[str, Any] = {}
    for number, (before, out) in enumerate(pairwise(sizes)):
        nodes |= {f"d{number}": dense(rng, out, before), f"n{number}": lif((out,), 2.0, tau)}
    graph = chain(sizes[:1], sizes[-1:], **nodes)
    if encoding == "repeat":
        graph.nodes["input"].metadata |= annotation({"timesteps": 4, "encoding": encoding})
    return compiled(graph, samples, **options)


def real_maps(seed: int = 5) -> Net:
    """Signed real maps into a convolution, and a convolution at the end."""
    rng = np.random.default_rng(seed)
    graph = chain(
        (2, 6, 5),
        (3, 2, 3),
        c=conv(rng, 4, (2, 6, 5), kernel=(3, 2)),
        n=lif((4, 4, 4), 2.0),
        e=conv(rng, 3, (4, 4, 4), kernel=(3, 2)),
        m=lif((3, 2, 3), 1.5),
    )
    return compiled(graph, rng.normal(0.2, 1, (8, 5, 2, 6, 5)))


def tokens(seed: int = 6) -> Net:
    """Linear layers over tokens [C, N]."""
    rng = np.random.default_rng(seed)
    layers = {name: nir.Conv1d(7, rng.normal(0, 1, (4, 4, 1)), 1, 0, 1, 1, rng.normal(0, 0.3, 4)) for name in "ab"}
    graph = chain((4, 7), (4, 7), a=layers["a"], n=lif((4, 7), 1.0), b=layers["b"], m=lif((4, 7), 1.5))
    return compiled(graph, spikes((8, 5, 4, 7), seed))


def fires(size: int, threshold: float = 127.0, comparator: str = ">=") -> nir.IF:
    """IF neurons that say what NIR leaves open."""
    one = np.ones(size)
    said = annotation({"dt": DT, "comparator": comparator, "reset": "hard"})
    return nir.IF(one / DT, threshold * one, 0 * one, metadata=said)


def exported(file: str, framework: str) -> Net:
    """A network that a framework exported, on its stored input, that played backwards, and none of it."""
    x = case_arrays(file)["input"][None].astype(np.float64)
    options = CompileOptions(reading=reading(framework, reset="zero"), signs="mixed", synapses=1)
    program = compile_nir(read_nir(case_path(file)), x, load_chip("loihi2"), options)
    return Net(program, np.concatenate([x, x[:, ::-1], 0 * x]))


def residual(seed: int = 8) -> Net:
    """Spikes of a layer and of the one after it, added, into a third; between them a max-pool of spikes."""
    rng = np.random.default_rng(seed)
    window = {"kernel": 2, "stride": 2, "padding": 0}
    nodes = {
        "input": nir.Input(np.array([2, 6, 6])),
        "c": conv(rng, 3, (2, 6, 6), padding=(1, 1)),
        "n": lif((3, 6, 6), 1.5),
        "p": extension("SpikeMaxPool", (3, 6, 6), (3, 3, 3), window),
        "d": conv(rng, 3, (3, 3, 3), padding=(1, 1)),
        "m": lif((3, 3, 3), 1.0, 3.0),
        "sum": nir.Scale(np.ones((3, 3, 3))),
        "f": flatten((3, 3, 3)),
        "a": dense(rng, 4, 27),
        "o": lif((4,), 2.0),
        "output": nir.Output(np.array([4])),
    }
    names = ["input", "c", "n", "p", "d", "m", "sum", "f", "a", "o", "output"]
    return compiled(wired(nodes, [*pairwise(names), ("p", "sum")]), spikes((8, 5, 2, 6, 6), seed))


def tied(seed: int = 7, comparator: str = ">=", steps: int = 9) -> Net:
    """IF layers whose sums meet their thresholds exactly again and again, with biases that are whole on the chip's grid."""
    rng = np.random.default_rng(seed)

    def layer(out: int, before: int) -> nir.Affine:
        weight = rng.choice((-127.0, 0.0, 63.0, 64.0, 127.0), (out, before))
        weight[0, 0] = 127.0  # the largest: the grid is 2 a unit
        return nir.Affine(weight, rng.choice((0.0, 1.0, -63.0), out))

    nodes: Mapping[str, Any] = {"a": layer(7, 6), "n": fires(7, 127.0, comparator), "b": layer(5, 7)}
    graph = chain((6,), (5,), **nodes, m=fires(5, 127.0, comparator))
    return compiled(graph, spikes((12, steps, 6), seed))


def one_neuron(
    weight: tuple[int, int], vth: int, steps: int, dv: int = 2048, neuron: type[i.IntLif] = i.IntLif, **more: Any
) -> Program:
    """Two inputs into one neuron that ends the network, by hand."""

    def kind(dtype: Any, *shape: int) -> TensorType:
        return TensorType(shape, dtype, -1000 * (dtype == "current"), 1000 if dtype == "current" else 1)

    nodes = [
        i.GradedInput("input", (), kind("graded", 2, 1), "input", 1.0),
        i.Synapse(
            "s", ("input",), kind("current", 1, 1), "s", np.array(weight).reshape(1, 2, 1, 1), (1, 1), (0, 0), 1.0
        ),
        neuron("n", ("s",), kind("spike", 1, 1), "n", vth, dv, np.zeros(1, np.int64), 6, 1.0, **more),
        i.Reshape("n.outputs", ("n",), kind("spike", 1, 1), "n"),
        i.OneToOne("n.counted", ("n.outputs",), kind("current", 1, 1), "n"),
        i.Readout("n.counts", ("n.counted",), TensorType((1,), "graded", 0, 100), "n", np.zeros(1, np.int64), 1.0),
    ]
    graph = Graph({node.name: node for node in nodes}, "n.counts", "balanced", steps, "frames")
    return Program(graph, CoreMapping((), (), {}), load_chip("loihi2"), CompileOptions())
