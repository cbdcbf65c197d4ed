"""What fires when v equals its threshold: the installed frameworks, each reading in float, and the integers made by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch
from small_graphs import chain, ran

from pumice.compiler.importing.readings import READINGS, Reading, reading
from pumice.compiler.options import CompileOptions
from pumice.compiler.pipeline import compile_nir
from pumice.hwsim.spec import load_chip
from pumice.runtime.reference import Reference

BELOW_TIE_ABOVE = (126.0, 127.0, 128.0)  # what reaches a neuron whose threshold is 127
ONE_A_STEP = {"spikes": "one", "floor": "none"}  # what a chip has: sinabs and rockpool have neither


def norse_fires(v: torch.Tensor) -> Any:
    norse = pytest.importorskip("norse.torch")
    cell = norse.IAFCell(norse.IAFParameters(v_th=torch.tensor(127.0)))
    return cell(v)[0]


def snntorch_fires(v: torch.Tensor) -> Any:
    return pytest.importorskip("snntorch").Leaky(beta=1.0, threshold=127.0, init_hidden=True)(v)


def spikingjelly_fires(v: torch.Tensor) -> Any:
    return pytest.importorskip("spikingjelly.activation_based.neuron").IFNode(v_threshold=127.0)(v)


def lava_dl_fires(v: torch.Tensor) -> Any:
    spike = pytest.importorskip("lava.lib.dl.slayer.spike")
    return spike.Spike.apply(v, 127.0, 1, 1, False, 0, 1)


FRAMEWORKS: dict[str, Callable[[torch.Tensor], Any]] = {
    "norse": norse_fires,
    "snntorch": snntorch_fires,
    "spikingjelly": spikingjelly_fires,
    "lava-dl": lava_dl_fires,
}


def wanted(comparator: str) -> list[float]:
    return [0.0, float(comparator == ">="), 1.0]


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_the_framework_itself_compares_as_its_reading_says(name: str) -> None:
    found = FRAMEWORKS[name](torch.tensor(BELOW_TIE_ABOVE)).detach()
    assert found.tolist() == wanted(READINGS[name].comparator)


def neuron(kind: str, meaning: Reading) -> nir.NIRNode:
    """One that adds its input to v whole, by every reading with a timestep that divides its tau of two steps."""
    one = np.ones(1)
    if kind == "if":
        return nir.IF(one / meaning.dt, 127 * one, 0 * one)
    share = 0.5 if meaning.gain == "leak" else 1.0  # norse reads no r
    return nir.LIF(2 * meaning.dt * one, 2 * one, 0 * one, share * 127 * one, 0 * one)


def graph(kind: str, meaning: Reading) -> nir.NIRGraph:
    """Three inputs, of which each sample holds one."""
    return chain((3,), (1,), fc=nir.Affine(np.array([[*BELOW_TIE_ABOVE]]) - 1, np.ones(1)), n=neuron(kind, meaning))


CASES = [("if", name) for name in READINGS] + [("lif", name) for name in ("nir", "norse", "snntorch", "spikingjelly")]


@pytest.mark.parametrize("comparator", ["its own", ">", ">="])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_float_and_integers_fire_at_a_tie_as_the_reading_says(kind: str, name: str, comparator: str) -> None:
    options = ONE_A_STEP if comparator == "its own" else {**ONE_A_STEP, "comparator": comparator}
    meaning = reading(name, **{"reset": READINGS[name].reset, **options})
    samples = np.eye(3)[:, None]  # [B, T, 3]
    values = ran(graph(kind, meaning), np.moveaxis(samples, 0, 1), meaning)["n"]
    assert values[0, :, 0].tolist() == wanted(meaning.comparator)
    program = compile_nir(graph(kind, meaning), samples, load_chip("loihi2"), CompileOptions(reading=meaning))
    spikes = Reference(counts=False).run(program, samples, record=True).spikes["n"]
    assert spikes.reshape(3).tolist() == wanted(meaning.comparator)
