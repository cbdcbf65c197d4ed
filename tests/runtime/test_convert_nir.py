"""`--to nir`: a plain NIR file of whole numbers, whose float run fires as `reference` does where the document says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import nir
import numpy as np
import pytest
from convert_networks import (
    Net,
    compiled,
    dense,
    exported,
    mixed,
    one_neuron,
    pooled,
    real_maps,
    residual,
    spikes,
    stack,
    tied,
    tokens,
)
from converted_files import payloads, written
from networks import TinySpikformer, images, tiny_spikformer
from numpy.typing import NDArray
from small_graphs import chain

from pumice.compiler import int_nodes as i
from pumice.compiler.dialect import read_extension
from pumice.compiler.exporting.nir_program import nir_bytes, nir_program
from pumice.compiler.exporting.whole_biases import whole_biases
from pumice.compiler.importing.ambiguity import open_question
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.readings import NIR, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.errors import InputError, PumiceError, UnsupportedNode
from pumice.hwsim.spec import load_chip
from pumice.runtime.float_graph import graph_frames, input_nodes, run_graph
from pumice.runtime.reference import Reference

RNG = np.random.default_rng(12)


def rounded(net: Net) -> Net:
    return replace(net, program=whole_biases(net.program))


def alike(net: Net, graph: nir.NIRGraph) -> dict[str, NDArray[np.bool_]]:
    """For each layer of neurons, where the float run of the file gives the spike that the reference gives."""
    imported = import_nir(graph, NIR)
    (entry,) = input_nodes(imported)
    given, _ = graph_frames(imported, {entry.name: payloads(net)})
    values = run_graph(imported, given).values
    wanted = Reference(counts=False).run(net.program, net.samples, record=True).spikes
    assert all(0 < layer.mean() < 1 for layer in wanted.values())
    return {name: values[name] == layer.reshape(values[name].shape) for name, layer in wanted.items()}


def soft() -> Net:
    def fires(size: int) -> nir.IF:
        return nir.IF(np.full(size, 1e4), np.full(size, 2.0), np.zeros(size))

    graph = chain((6,), (4,), a=dense(RNG, 5, 6), n=fires(5), b=dense(RNG, 4, 5), m=fires(4))
    return compiled(graph, spikes((8, 20, 6), 2), reading("nir", reset="subtract"))


EXACT: Mapping[str, Callable[[], Net]] = {
    "no leak, ties fire": lambda: tied(),
    "no leak, ties pass": lambda: tied(comparator=">"),
    "no leak, subtraction, fine biases": soft,
    "tau 2, 7 steps, whole biases": lambda: rounded(stack(1, (9, 8, 6), spikes((8, 7, 9), 1), 2.0)),
    "three synapses a weight": lambda: rounded(
        stack(1, (9, 8, 6), spikes((8, 6, 9), 1), 2.0, signs="split", synapses=3)
    ),
    "tau 4, 4 steps, whole biases": lambda: rounded(stack(4, (9, 8, 6), spikes((8, 4, 9), 1), 4.0)),
}


@pytest.mark.parametrize("case", EXACT)
def test_where_nothing_is_dropped_every_spike_is_the_reference_s(case: str, tmp_path: Path) -> None:
    net = EXACT[case]()
    made, graph = written(net, tmp_path)
    assert not made.rounded
    assert all(same.all() for same in alike(net, graph).values())


OTHERS: Mapping[str, Callable[[], Net]] = {
    **{f"random-{seed}": lambda seed=seed: mixed(seed, steps=12) for seed in (0, 2, 4, 6, 14)},  # type: ignore[misc]
    "of snntorch": lambda: exported("snntorch_conv_shaped_zero", "snntorch"),
    "pools": pooled,
    "tokens": tokens,
    "real maps": real_maps,
    "a sum and a max-pool": residual,
    "a still image": lambda: stack(2, (9, 6), RNG.normal(0, 1, (8, 9)), encoding="repeat"),
}


def test_elsewhere_at_most_one_spike_in_a_thousand_differs(tmp_path: Path) -> None:
    """A decay that is no power of two, finer biases, more steps: the chip drops what is below 1/64 of a current."""
    found = []
    for make in OTHERS.values():
        net = make()
        made, graph = written(net, tmp_path)
        assert made.rounded
        found += [same.ravel() for same in alike(net, graph).values()]
    assert np.concatenate(found).mean() >= 0.999
    assert min(same.mean() for same in found) >= 0.98


def test_what_the_chip_drops_can_decide_a_spike(tmp_path: Path) -> None:
    """2 decays to 2^-8 in nine steps; with 100 on top, float is above the threshold of 100, and the chip at it."""
    x = np.zeros((1, 10, 2, 1))
    x[0, 0, 0] = x[0, 9, 1] = 1
    for steps, drops in ((10, True), (7, False)):
        net = Net(one_neuron((2, 100), 100, steps), x[:, 10 - steps :])
        net.samples[0, 0, 0] = 1
        made, graph = written(net, tmp_path)
        assert bool(made.rounded) == drops
        imported = import_nir(graph, NIR)
        fired = run_graph(imported, graph_frames(imported, {"input": net.samples[..., 0]})[0]).values["n"]
        on_chip = Reference(counts=False).run(net.program, net.samples, record=True).spikes["n"]
        assert (bool(fired.any()), bool(on_chip.any())) == (True, not drops)


def test_the_file_holds_the_program_s_integers_and_says_what_nir_leaves_open(tmp_path: Path) -> None:
    net = pooled()
    _, graph = written(net, tmp_path)
    assert open_question(graph, NIR) == ""
    nodes = net.program.graph.nodes
    for name, node in nodes.items():
        if isinstance(node, i.Synapse) and name in graph.nodes:
            kept = graph.nodes[name]
            said = read_extension(kept, name)
            assert said is not None
            assert said.attributes == {"scale": node.scale, "weight_bits": 8}
            assert np.array_equal(kept.weight.ravel(), node.weight.ravel())
            (reader,) = (n for n in nodes.values() if n.inputs == (name,))
            assert isinstance(reader, i.IntLif)
            assert np.array_equal(64 * kept.bias, reader.bias.ravel())
        if isinstance(node, i.IntLif):
            said = read_extension(graph.nodes[name], name)
            assert said is not None
            assert said.attributes["dt"] == 1e-4
            assert (said.attributes["comparator"], said.attributes["reset"]) == (">", "hard")
            assert np.unique(graph.nodes[name].v_threshold) == node.vth
    entry = read_extension(graph.nodes["input"], "input")
    assert entry is not None
    assert entry.attributes["timesteps"] == 5
    assert entry.attributes["input"] == {"scale": 1.0, "low": 0, "high": 1}
    assert entry.attributes["chip"] == "loihi2"
    assert not {"o.outputs", "o.counted", "o.counts"} & set(graph.nodes)


def test_pools_are_pools_and_a_residual_sum_has_two_edges(tmp_path: Path) -> None:
    _, graph = written(residual(), tmp_path)
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    assert (kinds["p.sum"], kinds["p"], kinds["sum"], kinds["f"]) == ("SumPool2d", "Threshold", "Scale", "Flatten")
    assert {("p", "sum"), ("m", "sum")} <= set(graph.edges)
    _, graph = written(pooled(), tmp_path)
    assert isinstance(graph.nodes["p"], nir.SumPool2d)


def test_another_timestep_gives_the_same_spikes(tmp_path: Path) -> None:
    net = tied()
    made = nir_program(net.program, dt=2.0**-10)
    assert json.loads(made.graph.nodes["n"].metadata["attributes"])["dt"] == 2.0**-10
    assert all(same.all() for same in alike(net, made.graph).values())


def test_equal_programs_give_equal_bytes() -> None:
    first, second = (nir_bytes(nir_program(mixed(1).program).graph) for _ in range(2))
    assert first == second


def test_snntorch_reads_the_file_and_fires_alike(tmp_path: Path) -> None:
    """Its importer resets to zero at v > threshold, as these neurons do, and assumes the dt that the file says."""
    torch = pytest.importorskip("torch", reason="needs pumice[torch]")
    importer = pytest.importorskip("snntorch.import_nir", reason="needs snntorch")
    net = EXACT["tau 2, 7 steps, whole biases"]()
    written(net, tmp_path)
    model = importer.import_from_nir(nir.read(tmp_path / "net.nir"))
    wanted = list(Reference(counts=False).run(net.program, net.samples, record=True).spikes.values())[-1][..., 0]
    with torch.no_grad():
        for sample in range(len(net.samples)):
            for module in model.modules():
                if hasattr(module, "reset_mem"):
                    module.reset_mem()
            frames = torch.tensor(net.samples[sample], dtype=torch.float32)
            fired = [model(frame[None])[0].numpy().ravel() for frame in frames]
            assert np.array_equal(np.stack(fired), wanted[:, sample])
    assert wanted.any()


def spikformer() -> Program:
    config = TinySpikformer()
    return compile_nir(tiny_spikformer(config), images(config, 4), load_chip("loihi2"), CompileOptions(masks="off"))


def attending() -> Program:
    """An attention's neurons as the network's end."""
    program = spikformer()
    nodes = program.graph.nodes
    (attended,) = (
        n for n in nodes.values() if isinstance(n, i.IntLif) and isinstance(nodes[n.inputs[0]], i.SpikeMatmul)
    )
    end = next(n for n in one_neuron((2, 2), 2, 2).graph.nodes.values() if isinstance(n, i.Readout))
    graph = replace(
        program.graph, nodes={**nodes, "end": replace(end, name="end", inputs=(attended.name,))}, output="end"
    )
    return replace(program, graph=graph)


REFUSED: Mapping[str, tuple[Callable[[], Program], type[PumiceError], str]] = {
    "read-out": (spikformer, UnsupportedNode, "node 'time_mean'.*ends in a sum of currents"),
    "attention": (attending, UnsupportedNode, "SpikeMatmul.*has no form in NIR"),
    "gate": (lambda: one_neuron((2, 4), 9, 3, gate_state="hold"), UnsupportedNode, "'n'.*mask"),
    "threshold 0": (lambda: one_neuron((2, 4), 0, 3), UnsupportedNode, "'n'.*threshold 0"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_nir_cannot_say_is_refused_by_name(case: str) -> None:
    make, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        nir_program(make())


def test_no_timestep_is_refused() -> None:
    with pytest.raises(InputError, match=r"dt 0\.0 is no timestep"):
        nir_program(one_neuron((2, 4), 9, 3), dt=0.0)
