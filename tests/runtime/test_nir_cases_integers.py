"""Networks of other frameworks as integer programs: the spikes of the framework's own run, and the same on every backend."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nir_cases import CASES, SHIPPED, Case, case_arrays, case_path
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.evaluate import evaluate
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import Quantized, finish, quantize
from pumice.compiler.program import Program
from pumice.compiler.text import graph_text
from pumice.hwsim.spec import load_chip
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference

CONV = [case for case in CASES if (SHIPPED / f"{case.file}.nir").is_file()]
AGREE, LATER = 0.99, 0.95
PLAIN: dict[str, Any] = {"signs": "mixed", "synapses": 1}


def stored_input(case: Case) -> NDArray[np.float64]:
    """[B, T, C, H, W]"""
    x: NDArray[np.float64] = case_arrays(case.file)[case.input][None].astype(np.float64)
    return x


def random_input(case: Case, samples: int, seed: int) -> NDArray[np.float64]:
    """Spikes of the stored input's rate, [B, T, C, H, W]."""
    x = stored_input(case)
    return (np.random.default_rng(seed).random((samples, *x.shape[1:])) < x.mean()).astype(np.float64)


def quantized(case: Case, **options: Any) -> tuple[Quantized, CompileOptions]:
    """Calibrated on random spikes of the input's rate, not on the input itself."""
    said = CompileOptions(weight_bits=8, reading=reading(case.reading, **case.options), **options)
    return quantize(read_nir(case_path(case.file)), random_input(case, 16, seed=7), load_chip("loihi2"), said), said


@cache
def compiled(file: str, **options: Any) -> Program:
    network, said = quantized(next(case for case in CONV if case.file == file), **options)
    return finish(network, load_chip("loihi2"), said)


def agreement(case: Case, **options: Any) -> dict[str, NDArray[np.bool_]]:
    """For each stored layer, where the program's spikes are the framework's."""
    stored = case_arrays(case.file)
    run = Reference(counts=False).run(compiled(case.file, **options), stored_input(case), record=True)
    last = list(run.spikes)[-1]
    found = {key: run.spikes[node or last][:, 0].reshape(stored[key].shape) for key, node in case.wanted.items()}
    return {key: spikes == stored[key] for key, spikes in found.items()}


@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_the_integers_fire_as_the_framework_does_in_every_layer(case: Case) -> None:
    same = agreement(case)
    assert len(same) == 3
    assert min(equal.mean() for equal in same.values()) >= AGREE


@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_with_one_synapse_a_weight_the_later_layers_are_further_off(case: Case) -> None:
    """Over all stored spikes. Each layer inherits the differences of those before it, so the small last ones differ more."""
    same = agreement(case, **PLAIN)
    assert np.concatenate([equal.ravel() for equal in same.values()]).mean() >= AGREE
    first, *later = same.values()
    assert first.mean() >= AGREE
    assert min(equal.mean() for equal in later) >= LATER


@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_they_are_as_near_on_sequences_never_seen(case: Case) -> None:
    """32 of them. The float executor, whose spikes are the framework's, says what is right."""
    network, _ = quantized(case)
    x = random_input(case, 32, seed=99)
    wanted = evaluate(network.folded, x, gated=False).values
    runs = [Reference(counts=False).run(compiled(case.file, **said), x, record=True).spikes for said in ({}, PLAIN)]
    fine, plain = ([float((got == wanted[k].reshape(got.shape)).mean()) for k, got in run.items()] for run in runs)
    assert min(fine) >= AGREE
    assert all(a > b for a, b in zip(fine, plain, strict=True))


@pytest.mark.parametrize("options", [{}, PLAIN], ids=["three synapses a weight", "one"])
@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_lava_and_the_reference_are_equal_and_the_output_counts_spikes(case: Case, options: dict[str, Any]) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    program, x = compiled(case.file, **options), stored_input(case)
    twice = np.concatenate([x, x[:, ::-1]])  # the second sample must find nothing of the first
    reference = Reference().run(program, twice, record=True)
    lava = LavaBackend().run(program, twice, record=True)
    assert np.array_equal(lava.outputs, reference.outputs)
    assert lava.spikes.keys() == reference.spikes.keys()
    assert all(np.array_equal(lava.spikes[name], spikes) for name, spikes in reference.spikes.items())
    train = reference.spikes[list(reference.spikes)[-1]]
    assert train.any()
    assert np.array_equal(reference.outputs, train.sum(axis=0, dtype=np.int64).reshape(2, -1))
    assert reference.counts is not None


def test_subtracting_and_resetting_to_zero_give_programs_that_differ() -> None:
    zero, subtract = (compiled(f"snntorch_conv_shaped_{kind}") for kind in ("zero", "subtract"))
    kinds = [[n.reset for n in p.graph.nodes.values() if isinstance(n, i.IntLif)] for p in (zero, subtract)]
    assert kinds == [["hard"] * 3, ["both"] * 3]


def test_such_a_program_survives_its_artifact(tmp_path: Path) -> None:
    program = compiled("spikingjelly_conv_soft")
    write_artifact(program, tmp_path / "net.pumice")
    assert graph_text(read_artifact(tmp_path / "net.pumice").graph) == graph_text(program.graph)
