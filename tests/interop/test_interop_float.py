"""Networks of snnTorch, Norse and SpikingJelly in float: through their NIR file, every spike is the framework's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from framework_layers import NORSE_DT, Made, random_frames
from framework_makers import norse_reads
from framework_networks import NETWORKS, FrameworkNetwork
from numpy.typing import NDArray

from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nir_file import read_nir_file
from pumice.compiler.importing.readings import Reading, reading
from pumice.runtime.cli import main
from pumice.runtime.float_graph import input_nodes, run_graph

STEPS, SAMPLES = 10, 30
pytestmark = pytest.mark.filterwarnings(
    "ignore:nirtorch:DeprecationWarning"
)  # names that the exporters still call it by


def meaning(network: FrameworkNetwork, **options: Any) -> Reading:
    return reading(network.framework, **{**network.options, **options})


def in_float(made: Made, chosen: Reading, frames: NDArray[Any], path: Path) -> dict[str, NDArray[Any]]:
    """Every node's values by way of a file."""
    nir.write(path, made.graph)
    file = read_nir_file(path)
    graph = import_nir(file.graph, chosen, file.repairs)
    (entry,) = input_nodes(graph)
    return {name: np.asarray(value) for name, value in run_graph(graph, {entry.name: frames}).values.items()}


def by_id(network: FrameworkNetwork) -> str:
    return network.name


@pytest.mark.parametrize("exact", [True, False], ids=["ties", "any-weights"])
@pytest.mark.parametrize("network", NETWORKS, ids=by_id)
def test_every_spike_is_the_framework_s(network: FrameworkNetwork, exact: bool, tmp_path: Path) -> None:
    """Of neurons that give their membrane the values are equal too, where nothing is rounded."""
    made, frames = network.made(exact), random_frames(network.shape, STEPS, SAMPLES, seed=3)
    wanted, found = made.run(frames), in_float(made, meaning(network), frames, tmp_path / "net.nir")
    for name in network.neurons:
        spikes = bool(np.isin(wanted[name], (0, 1)).all())
        assert 0.02 < np.count_nonzero(wanted[name]) / wanted[name].size < 0.98 or not spikes, "nothing to compare"
        if spikes or exact:
            assert np.count_nonzero(found[name] != wanted[name]) == 0, name


@pytest.mark.parametrize("network", NETWORKS, ids=by_id)
def test_with_another_comparator_spikes_differ_so_that_there_were_ties(
    network: FrameworkNetwork, tmp_path: Path
) -> None:
    made, frames = network.made(exact=True), random_frames(network.shape, STEPS, SAMPLES, seed=3)
    other = ">" if meaning(network).comparator == ">=" else ">="
    wanted = made.run(frames)
    found = in_float(made, meaning(network, comparator=other), frames, tmp_path / "net.nir")
    assert not np.array_equal(found[network.neurons[0]], wanted[network.neurons[0]])


OTHER_ANSWERS: list[tuple[str, dict[str, Any]]] = [
    ("norse-dense-lif", {"dt": 1.5e-6}),
    ("norse-dense-if", {"if_gain": "ode"}),
    ("norse-conv-pool", {"reset": "subtract"}),
    ("norse-lif-at-rest", {"start": "zero"}),
    ("norse-cubalif", {"gain": "one"}),
    ("norse-cubalif-at-rest", {"leaky_current": False}),
    ("norse-recurrent", {"recurrence": "bias"}),
    ("snntorch-rleaky", {"recurrence": "zero"}),
    ("snntorch-conv-subtract", {"reset_at": "spike"}),
    ("snntorch-conv-subtract-next", {"reset_at": "both"}),
    ("spikingjelly-conv-hard", {"reset": "subtract"}),
]


@pytest.mark.parametrize(
    ("name", "options"), OTHER_ANSWERS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_with_another_answer_spikes_differ_so_that_each_was_tested(
    name: str, options: dict[str, Any], tmp_path: Path
) -> None:
    network = next(n for n in NETWORKS if n.name == name)
    made, frames = network.made(exact=True), random_frames(network.shape, STEPS, SAMPLES, seed=3)
    wanted = made.run(frames)
    found = in_float(made, meaning(network, **options), frames, tmp_path / "net.nir")
    assert any(not np.array_equal(found[node], wanted[node]) for node in network.neurons)


def test_norse_s_exporter_writes_its_dt_times_tau(tmp_path: Path) -> None:
    """So that its own importer does not give the network back; Pumice reads such a file with dt squared."""
    network = next(n for n in NETWORKS if n.name == "norse-dense-lif")
    made, frames = network.made(exact=False), random_frames(network.shape, STEPS, 4, seed=3)
    assert np.allclose(made.graph.nodes["1"].tau, NORSE_DT * 2e-3, rtol=1e-6, atol=0)
    assert not np.array_equal(norse_reads(made.graph).run(frames)["1"], made.run(frames)["1"])


def test_norse_s_lifcell_is_exported_without_the_gain_of_its_current(tmp_path: Path) -> None:
    """Its current takes x whole, the file says w_in = 1, and its own importer then takes dt / tau_syn of it: Pumice sides with
    the importer, and with w_in = tau_syn / dt written in the file both are the cell."""
    norse = pytest.importorskip("norse.torch")
    import torch

    def full(value: float) -> torch.Tensor:
        return torch.full((6,), value, dtype=torch.float64)

    cell = norse.LIFCell(
        norse.LIFParameters(tau_syn_inv=full(500), tau_mem_inv=full(500), v_leak=full(0), v_th=full(0.5), v_reset=full(0)),
        dt=NORSE_DT,
    )  # fmt: skip
    graph = norse.to_nir(norse.SequentialState(cell), torch.zeros(6, dtype=torch.float64), dt=1.0)
    frames = random_frames((6,), STEPS, SAMPLES, seed=3) * 0.75
    state, spikes = None, []
    for frame in torch.tensor(frames):
        value, state = cell(frame, state)
        spikes.append(value.detach().numpy())
    name = next(name for name, node in graph.nodes.items() if isinstance(node, nir.CubaLIF))
    exported = norse_reads(graph)
    read = in_float(exported, reading("norse", dt=NORSE_DT), frames, tmp_path / "a.nir")[name]
    assert np.array_equal(read, exported.run(frames)[name])
    assert not np.array_equal(read, np.stack(spikes))
    graph.nodes[name].w_in = np.full(6, 2.0)
    mended = in_float(norse_reads(graph), reading("norse", dt=NORSE_DT), frames, tmp_path / "b.nir")[name]
    assert np.array_equal(mended, np.stack(spikes))


@pytest.mark.parametrize("name", ["norse-dense-lif", "snntorch-conv-subtract", "spikingjelly-dense-soft"])
def test_the_command_line_gives_the_framework_s_spikes(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    network = next(n for n in NETWORKS if n.name == name)
    made, frames = network.made(exact=True), random_frames(network.shape, STEPS, SAMPLES, seed=3)
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", made.graph)
    np.save("x.npy", np.moveaxis(frames, 0, 1))
    options = [word for key, value in network.options.items() for word in (f"--{key}".replace("_", "-"), str(value))]
    words = ["run", "net.nir", "--backend", "float", "--from", network.framework, *options]
    assert main([*words, "--input", "x.npy", "--output", "y.npz", "--record"]) == 0
    assert capsys.readouterr().err == ""
    wanted = made.run(frames)
    with np.load("y.npz") as found:
        for node in network.neurons:
            assert np.array_equal(found[node], np.moveaxis(wanted[node], 0, 1))
        assert np.array_equal(found["output"], np.moveaxis(wanted[network.neurons[-1]], 0, 1))
