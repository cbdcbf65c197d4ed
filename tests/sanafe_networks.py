"""Mapped networks for SANA-FE, small and by seed, on meshes of several cores and tiles."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import nir
import numpy as np
from convert_networks import Net, conv, conv_out, dense, flatten, lif, spikes
from mapped import on_cores
from numpy.typing import NDArray
from small_graphs import Shape, chain

from pumice.compiler.dialect import extension
from pumice.compiler.importing.readings import NIR, Reading
from pumice.compiler.mapping.placing.sites import row_by_row
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.hwsim.spec import ChipSpec, load_chip

DT = 1e-4
STEPS = 8


def small_cores(neurons: int, chip: str = "loihi1") -> ChipSpec:
    """A chip with fewer neurons on a core, and fewer cores on a tile, so that small networks need several."""
    rows, columns, cores = 4, 3, 2
    return replace(
        load_chip(chip),
        name="small",
        neurons_per_core=neurons,
        mesh_columns=columns,
        mesh_rows=rows,
        cores_per_tile=cores,
        usable_cores_per_chip=rows * columns * cores,
    )


def fire(shape: Shape, threshold: float) -> nir.IF:
    """IF neurons of input gain 1."""
    one = np.ones(shape)
    return nir.IF(one / DT, threshold * one, 0 * one)


def compiled(graph: nir.NIRGraph, x: NDArray[Any], chip: ChipSpec, meaning: Reading = NIR, **options: Any) -> Net:
    program = compile_nir(
        graph, x[3:], chip, CompileOptions(reading=meaning, **{"synapses": 1, "signs": "mixed"} | options)
    )
    return Net(program, x[:3])


def dense_layers(seed: int = 0) -> Net:
    """Three layers of LIF with leaks."""
    rng, sizes = np.random.default_rng(seed), (20, 24, 16, 6)
    nodes: dict[str, Any] = {}
    for number, (before, out) in enumerate(pairwise(sizes)):
        nodes |= {f"d{number}": dense(rng, out, before), f"n{number}": lif((out,), 1.0, 3.0)}
    return compiled(chain(sizes[:1], sizes[-1:], **nodes), spikes((8, STEPS, sizes[0]), seed), small_cores(12))


def pruned(seed: int = 2) -> Net:
    """IF neurons that subtract their threshold, nine of ten weights pruned, the others sums of several synapses in lists by
    sign; cores in random places."""
    rng, sizes = np.random.default_rng(seed), (40, 30, 30, 8)
    nodes: dict[str, Any] = {}
    for number, (before, out) in enumerate(pairwise(sizes)):
        weight = rng.normal(0.3, 1, (out, before)) * (rng.random((out, before)) < 0.1)
        nodes |= {f"d{number}": nir.Linear(weight), f"n{number}": fire((out,), 0.7)}
    graph, x = chain(sizes[:1], sizes[-1:], **nodes), spikes((8, STEPS, sizes[0]), seed)
    soft = replace(NIR, reset="subtract")
    return scattered(compiled(graph, x, small_cores(7, "loihi2"), soft, synapses=3, signs="split"), seed)


def tokens(seed: int = 3) -> Net:
    """Linear layers over tokens [C, N]."""
    rng = np.random.default_rng(seed)
    a, b = (nir.Conv1d(9, rng.normal(0.2, 1, (6, 6, 1)), 1, 0, 1, 1, rng.normal(0, 0.3, 6)) for _ in range(2))
    graph = chain((6, 9), (6, 9), a=a, n=fire((6, 9), 1.0), b=b, m=lif((6, 9), 1.5))
    return scattered(compiled(graph, spikes((8, STEPS, 6, 9), seed), small_cores(30)), seed)


def scattered(net: Net, seed: int) -> Net:
    """Its cores at random sites."""
    program, free = net.program, row_by_row(net.program.chip)(0)
    order = np.random.default_rng(seed).permutation(len(free))
    sites = tuple(free[index] for index in order[: len(program.mapping.cores)])
    return Net(replace(program, mapping=replace(program.mapping, sites=sites)), net.samples)


def spread(net: Net, neurons: int) -> Net:
    """The same network on cores of so many neurons, two a tile."""
    program = net.program
    return Net(on_cores(program.graph, small_cores(neurons, "loihi2"), program.options), net.samples)


def packed(net: Net) -> Net:
    """Two cores as one, which holds as much as it must: then several slices of a core read the same neurons."""
    mapping = net.program.mapping
    cores = tuple(sum(mapping.cores[k : k + 2], ()) for k in range(0, len(mapping.cores), 2))
    chip = replace(net.program.chip, neurons_per_core=max(sum(cut.neurons for cut in parts) for parts in cores))
    placed = replace(mapping, cores=cores, sites=mapping.sites[: len(cores)])
    return Net(replace(net.program, mapping=placed, chip=chip), net.samples)


def conv_and_pool(seed: int = 1) -> Net:
    """A convolution that pads, a max-pool of spikes, a grouped convolution with strides, and a dense layer."""
    rng, shape = np.random.default_rng(seed), (2, 8, 8)
    first = conv(rng, 4, shape, padding=(1, 1))
    second = conv(rng, 6, (4, 4, 4), kernel=(3, 2), stride=(1, 2), groups=2)
    behind = conv_out(second, (4, 4, 4))
    window = {"kernel": 2, "stride": 2, "padding": 0}
    nodes = {
        "c": first,
        "n": lif((4, 8, 8), 1.5),
        "p": extension("SpikeMaxPool", (4, 8, 8), (4, 4, 4), window),
        "e": second,
        "m": lif(behind, 1.0, 4.0),
        "f": flatten(behind),
        "d": dense(rng, 5, int(np.prod(behind))),
        "o": lif((5,), 1.0),
    }
    return compiled(chain(shape, (5,), **nodes), spikes((8, STEPS, *shape), seed), small_cores(40))
