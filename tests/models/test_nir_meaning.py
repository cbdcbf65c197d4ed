"""Every family's NIR graph means what the torch model computes: an independent evaluation of the file, in float64, gives the
same logits, the same spike of every neuron at every step, and the same routed tokens."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from oracles import load_oracle
from torch_networks import TINY

from pumice.compiler import float_nodes as f
from pumice.compiler.evaluate import Evaluation, evaluate
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.ir import Graph
from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.nir.export import to_nir, write_nir
from pumice.models.official import load_official
from pumice.models.pruning.low_rank import factorize
from pumice.models.slif import to_slif
from pumice.runtime.float_model import FloatRun, run_float
from pumice.runtime.validation import compare

SPATIAL = Criterion(alpha=1.0)  # what one timestep allows
OFFICIAL = {
    "spikformer_cifar": "spikformer_cifar_2-64",
    "spikformer_imagenet": "spikformer_imagenet_2-64",
    "spikformer_dvs": "spikformer_dvs_2-64",
    "qkformer_cifar": "qk_cifar_4-64",
    "qkformer_imagenet": "qk_imagenet_5-64",
    "sdtv1": "sdtv1_2-64_img32",
    "sdtv3": "sdtv3_tiny_img64",
    "sparsespikformer_cifar": "sparsespikformer_cifar_4-64",
}
PRUNED = [name for name, tiny in TINY.items() if tiny.blocks]


def imported(model: SpikingNetwork, folder: Path) -> Graph:
    write_nir(to_nir(model), folder / "model.nir")
    return import_nir(nir.read(folder / "model.nir"))


def recorded(graph: Graph, run: Evaluation) -> dict[str, NDArray[np.uint8]]:
    """Spikes of every LIF, levels of every MultiSpike, as the float model records them."""
    norms = {n.name: getattr(n, "norm", 1) for n in graph.nodes.values() if isinstance(n, f.Lif | f.MultiSpike)}
    return {name: np.rint(run.values[name] * norm).astype(np.uint8) for name, norm in norms.items()}


def check_equal(model: SpikingNetwork, samples: NDArray[Any], folder: Path) -> tuple[FloatRun, Evaluation]:
    graph = imported(model, folder)
    run, expected = evaluate(graph, samples), run_float(model, samples)
    spikes = recorded(graph, run)
    assert set(spikes) == set(expected.spikes)
    logits = run.values[graph.output][0]
    assert compare(expected.spikes, spikes, expected.logits, logits).first is None
    np.testing.assert_allclose(logits, expected.logits, rtol=0, atol=1e-9)
    return expected, run


@pytest.mark.parametrize("family", TINY)
def test_logits_and_spikes_equal_the_torch_model_s(family: str, tmp_path: Path) -> None:
    expected, _ = check_equal(TINY[family].model(), TINY[family].samples(3), tmp_path)
    assert [
        name for name, spikes in expected.spikes.items() if len(np.unique(spikes)) < 2
    ] == []  # all fire, none always
    assert len(np.unique(expected.logits, axis=0)) == 3


@pytest.mark.parametrize("state", ["hold", "decay"])
@pytest.mark.parametrize("family", PRUNED)
def test_token_pruned_models_too(family: str, state: str, tmp_path: Path) -> None:
    tiny = TINY[family]
    model = tiny.model()
    whole = run_float(model, tiny.samples(3), record=False)
    model.pruning = tiny.pruning(SPATIAL if family == "sdt-v3" else Criterion(), state)
    expected, run = check_equal(model, tiny.samples(3), tmp_path)
    assert len(run.masks) == len(expected.masks) == tiny.blocks
    for mask, routed in zip(expected.masks, run.masks.values(), strict=True):
        np.testing.assert_array_equal(mask, routed)
    assert not np.allclose(whole.logits, expected.logits)


def test_low_rank_pairs_and_trained_neurons_mean_the_same(tmp_path: Path) -> None:
    model = TINY["spikformer"].model()
    factorize(model, {"block.0.attn.q_linear": 3, "block.1.mlp.fc2_linear": 5})
    to_slif(model)
    with torch.no_grad():
        for index, (_, shift) in enumerate(p for p in model.named_parameters() if p[0].endswith("_shift")):
            shift.fill_(0.03 * (index % 7) - 0.1)
    check_equal(model.double(), TINY["spikformer"].samples(3), tmp_path)


def without_memory(graph: Graph) -> Graph:
    """The second selector chooses among all tokens, also those that the first has dropped."""
    gate = graph.nodes["block.3.gate"]
    assert isinstance(gate, f.TokenGate)
    assert gate.selector is not None
    free = replace(gate, selector=replace(gate.selector, within=""))
    return replace(graph, nodes={**graph.nodes, gate.name: free})


def test_a_selector_s_tokens_are_the_torch_model_s_and_dropped_ones_stay_dropped(tmp_path: Path) -> None:
    tiny = TINY["sparse-spikformer"]
    model, samples = tiny.model(seed=3), tiny.samples(3)
    expected, run = check_equal(model, samples, tmp_path)
    assert list(run.masks) == ["block.1.gate", "block.3.gate"]
    np.testing.assert_array_equal(run.masks["block.1.gate"], expected.masks[1])
    np.testing.assert_array_equal(run.masks["block.1.gate"], expected.masks[2])
    np.testing.assert_array_equal(run.masks["block.3.gate"], expected.masks[3])
    assert [int(mask[0, 0].sum()) for mask in expected.masks] == [24, 16, 16, 9]
    forgetful = evaluate(without_memory(imported(model, tmp_path)), samples)
    assert not np.array_equal(forgetful.masks["block.3.gate"], expected.masks[3])


@pytest.mark.parametrize("family", OFFICIAL)
def test_official_networks_give_their_official_logits_from_nir(family: str, tmp_path: Path) -> None:
    """Float32 there, float64 here: no spike may differ, or the logits would."""
    oracle = load_oracle(OFFICIAL[family])
    model = load_official(family, oracle.kwargs, oracle.weights, "independent").eval()
    assert isinstance(model, SpikingNetwork)
    # QKFormer's official logits of a batch depend on the batch, so its first image goes alone.
    alone = family.startswith("qkformer")
    samples = oracle.input[:1] if alone else oracle.input
    expected = run_float(model, samples.numpy()).logits if alone else oracle.logits.double().numpy()
    graph = imported(model, tmp_path)
    logits = evaluate(graph, samples.numpy()).values[graph.output][0]
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
