"""Networks of other frameworks as integer programs: the spikes of the framework's own run, and the same on every backend."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from nir_cases import CASES, SHIPPED, Case, case_arrays, case_path
from numpy.typing import NDArray

from pumice.compiler import int_nodes as i
from pumice.compiler.artifact import read_artifact, write_artifact
from pumice.compiler.importing.nir_file import read_nir
from pumice.compiler.importing.readings import reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.compiler.program import Program
from pumice.compiler.text import graph_text
from pumice.hwsim.spec import load_chip
from pumice.runtime.lava_backend import LavaBackend
from pumice.runtime.reference import Reference

CONV = [case for case in CASES if (SHIPPED / f"{case.file}.nir").is_file()]
AGREE, LATER = 0.99, 0.95


def stored_input(case: Case) -> NDArray[np.float64]:
    """[B, T, C, H, W]"""
    x: NDArray[np.float64] = case_arrays(case.file)[case.input][None].astype(np.float64)
    return x


@cache
def compiled(file: str) -> Program:
    """Calibrated on random spikes of the input's rate, not on the input itself."""
    case = next(case for case in CONV if case.file == file)
    x, rng = stored_input(case), np.random.default_rng(7)
    calibration = (rng.random((16, *x.shape[1:])) < x.mean()).astype(np.float64)
    meaning = reading(case.reading, **case.options)
    return compile_nir(
        read_nir(case_path(file)), calibration, load_chip("loihi2"), CompileOptions(weight_bits=8, reading=meaning)
    )


def agreement(case: Case) -> dict[str, NDArray[np.bool_]]:
    """For each stored layer, where the program's spikes are the framework's."""
    stored = case_arrays(case.file)
    run = Reference(counts=False).run(compiled(case.file), stored_input(case), record=True)
    last = list(run.spikes)[-1]
    found = {key: run.spikes[node or last][:, 0].reshape(stored[key].shape) for key, node in case.wanted.items()}
    return {key: spikes == stored[key] for key, spikes in found.items()}


@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_the_integers_fire_as_the_framework_does(case: Case) -> None:
    """Over all stored spikes. Each layer inherits the differences of those before it, so the small last ones differ more."""
    same = agreement(case)
    assert np.concatenate([equal.ravel() for equal in same.values()]).mean() >= AGREE
    first, *later = same.values()
    assert first.mean() >= AGREE
    assert min(equal.mean() for equal in later) >= LATER


@pytest.mark.parametrize("case", CONV, ids=lambda case: case.id)
def test_lava_and_the_reference_are_equal_and_the_output_counts_spikes(case: Case) -> None:
    pytest.importorskip("lava.magma", reason="needs pumice[lava] on Python 3.10")
    program, x = compiled(case.file), stored_input(case)
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
