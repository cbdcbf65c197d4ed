"""Networks of snnTorch, Norse and SpikingJelly as integer programs: how many spikes are those of the framework's own run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from framework_layers import Made, random_frames
from framework_networks import NETWORKS, FrameworkNetwork
from numpy.typing import NDArray

from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.hwsim.spec import load_chip
from pumice.runtime.cli import main
from pumice.runtime.inspection import inspect_artifact
from pumice.runtime.reference import Reference

STEPS, SAMPLES, SEEDS = 10, 100, (0, 1, 2)
FLOORS = (
    0.995,
    0.99,
    0.98,
)  # of the spikes of a network's layers in order; each inherits what those before it differ in
BEYOND_CHANCE = 0.95  # Cohen's kappa: 0 for spikes of the right rate at the wrong places

pytestmark = pytest.mark.filterwarnings("ignore:nirtorch:DeprecationWarning")


def by_id(network: FrameworkNetwork) -> str:
    return network.name


def compiled(network: FrameworkNetwork, made: Made, path: Path) -> Program:
    """By way of a file; calibrated on other samples than those that are compared."""
    nir.write(path, made.graph)
    options = CompileOptions(reading=reading(network.framework, **network.options))
    samples = np.moveaxis(random_frames(network.shape, STEPS, 16, seed=7), 0, 1)
    return compile_nir(read_nir(path), samples, load_chip("loihi2"), options)


def spikes_of_both(network: FrameworkNetwork, path: Path) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    """Per layer that fires, the program's spikes and the framework's own, over all seeds and samples."""
    found: dict[str, list[tuple[NDArray[Any], NDArray[Any]]]] = {}
    for seed in SEEDS:
        made, frames = network.made(exact=False, seed=seed), random_frames(network.shape, STEPS, SAMPLES, seed=3)
        program, wanted = compiled(network, made, path), made.run(frames)
        run = Reference(counts=False).run(program, np.moveaxis(frames, 0, 1), record=True)
        for name in network.neurons:
            if np.isin(wanted[name], (0, 1)).all():
                found.setdefault(name, []).append((run.spikes[name].ravel(), wanted[name].ravel()))
    return {
        name: (np.concatenate([a for a, _ in two]), np.concatenate([b for _, b in two])) for name, two in found.items()
    }


def kappa(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Agreement beyond what two spike trains of these rates have by chance."""
    a, b = float(first.mean()), float(second.mean())
    chance = a * b + (1 - a) * (1 - b)
    return (float((first == second).mean()) - chance) / (1 - chance)


@pytest.mark.parametrize("network", NETWORKS, ids=by_id)
def test_the_integers_fire_as_the_framework_does(network: FrameworkNetwork, tmp_path: Path) -> None:
    """Any weights, as a user has them: the differences are what 8 bits cost."""
    layers = spikes_of_both(network, tmp_path / "net.nir")
    assert layers
    for (name, (made, wanted)), floor in zip(layers.items(), FLOORS, strict=False):
        assert (made == wanted).mean() >= floor, name
        assert kappa(made, wanted) >= BEYOND_CHANCE, name


def test_the_command_line_compiles_and_runs_it_and_the_file_says_how_it_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = next(n for n in NETWORKS if n.name == "snntorch-conv-subtract")
    made, frames = network.made(exact=False), random_frames(network.shape, STEPS, SAMPLES, seed=3)
    monkeypatch.chdir(tmp_path)
    nir.write("net.nir", made.graph)
    np.save("cal.npy", np.moveaxis(random_frames(network.shape, STEPS, 16, seed=7), 0, 1))
    np.save("x.npy", np.moveaxis(frames, 0, 1))
    words = ["compile", "net.nir", "-o", "net.pumice", "--calibration", "cal.npy", "-q"]
    assert main([*words, "--from", "snntorch", "--reset", "subtract"]) == 0
    assert main(["run", "net.pumice", "--input", "x.npy", "--output", "y.npz", "--record"]) == 0
    run = Reference(counts=False).run(compiled(network, made, Path("b.nir")), np.load("x.npy"), record=True)
    with np.load("y.npz") as found:
        assert np.array_equal(found["7"], run.spikes["7"])
    said = inspect_artifact(Path("net.pumice")).report["options"]["reading"]
    assert (said["name"], said["reset"], said["undecided"]) == ("snntorch", "subtract", ())
