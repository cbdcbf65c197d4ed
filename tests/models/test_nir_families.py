"""Every family goes to NIR and back without losing a bit; what has no meaning on a chip, or was edited, is refused."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from nir_graphs import assert_same_graph, round_trip
from torch_networks import TINY, Tiny

from pumice.compiler.dialect import annotation, read_extension
from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.network import SpikingNetwork
from pumice.models.nir.export import to_nir
from pumice.models.nir.read import from_nir
from pumice.models.pruning.low_rank import factorize
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerTpConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.slif import slif_values, to_slif
from pumice.models.spikformer import Spikformer

CRITERION = Criterion("irtop-paper", 5, 0.25, "spatial", False, 1.0, 7)


def single(tiny: Tiny, pruned: bool = False) -> SpikingNetwork:
    """In float32, as models are trained."""
    model = tiny.model().float()
    if pruned:
        model.pruning = tiny.pruning(CRITERION, "decay")
    return model


def operations(graph: nir.NIRGraph) -> dict[str, str]:
    """Dialect operations by node name."""
    entries = {name: read_extension(node, name) for name, node in graph.nodes.items()}
    return {name: entry.op for name, entry in entries.items() if entry is not None and entry.op}


@torch.no_grad()
@pytest.mark.parametrize(
    ("family", "pruned"),
    [(name, pruned) for name, tiny in TINY.items() for pruned in (False, True)[: 1 + bool(tiny.blocks)]],
)
def test_read_back_a_model_computes_the_same_and_exports_the_same_bytes(
    family: str, pruned: bool, tmp_path: Path
) -> None:
    model = single(TINY[family], pruned)
    back = from_nir(round_trip(model, tmp_path))
    assert (type(back), back.config, back.pruning, back.training) == (type(model), model.config, model.pruning, False)
    assert_same_graph(to_nir(model), to_nir(back))
    samples = torch.from_numpy(TINY[family].samples(2)).float()
    wanted, got = model.trace(samples), back.trace(samples)
    assert torch.equal(got.logits, wanted.logits)
    assert all(torch.equal(got.spikes[name], spikes) for name, spikes in wanted.spikes.items())


@pytest.mark.parametrize("family", TINY)
def test_neurons_have_the_names_of_the_torch_trace(family: str) -> None:
    model = single(TINY[family])
    graph = to_nir(model)
    multispike = {name for name, op in operations(graph).items() if op == "MultiSpike"}
    neurons = multispike | {name for name, node in graph.nodes.items() if isinstance(node, nir.LIF)}
    with torch.no_grad():
        assert neurons == set(model.trace(torch.from_numpy(TINY[family].samples(1)).float()).spikes)


@pytest.mark.parametrize(
    ("family", "wanted"),
    [
        ("spikformer", {"SpikingSelfAttention", "SpikeMaxPool"}),
        ("sdt-v1", {"Coincidences", "SpikeGate", "Operand", "SpikeMaxPool", "MaxPool"}),
        ("qkformer", {"SpikingSelfAttention", "SpikeGate", "Operand", "MaxPool", "Reshape"}),
        ("sdt-v3", {"SpikingSelfAttention", "Operand", "MultiSpike", "GroupedConv", "Reshape"}),
        ("sparse-spikformer", {"SpikingSelfAttention", "SpikeMaxPool", "TokenGate"}),
    ],
)
def test_each_family_uses_the_operations_it_needs_and_no_others(family: str, wanted: set[str]) -> None:
    found = set(operations(to_nir(single(TINY[family]))).values())
    assert found == wanted | {"BatchNorm", "TokenMean", "TimeMean"}


def gated(graph: nir.NIRGraph, name: str) -> set[str]:
    entry = read_extension(graph.nodes[name], name)
    assert entry is not None
    return set(entry.attributes["neurons"])


def test_a_mask_gates_what_a_block_adds_to_a_membrane_but_no_sum_of_gated_spikes() -> None:
    membranes = to_nir(single(TINY["sdt-v1"], pruned=True))
    counts = to_nir(single(TINY["qkformer"], pruned=True))
    assert {"block.0.attn.residual", "block.0.mlp.residual"} < gated(membranes, "block.0.gate")
    assert "block.0.attn.talking_heads_lif" not in gated(membranes, "block.0.gate")  # belongs to channels, not tokens
    assert {name.rsplit("_", 1)[-1] for name in gated(counts, "stage1.0.gate")} == {"lif"}


def test_sdt_v3_scores_where_a_block_begins_and_gates_after_its_convolution() -> None:
    graph = to_nir(single(TINY["sdt-v3"], pruned=True))
    first, second = (read_extension(graph.nodes[f"block3.{k}.gate"], "") for k in (0, 1))
    assert first is not None
    assert second is not None
    assert first.operands == ("block3.0.flatten", "block3.0.input_flatten")
    assert second.operands == ("block3.1.flatten", "block3.0.mlp.residual")


def test_a_selector_s_gate_rules_the_blocks_up_to_the_next_and_the_head_counts_its_tokens() -> None:
    graph = to_nir(single(TINY["sparse-spikformer"]))
    assert {name.split(".")[1] for name in gated(graph, "block.1.gate")} == {"1", "2"}
    later = read_extension(graph.nodes["block.3.gate"], "")
    mean = read_extension(graph.nodes["token_mean"], "")
    assert later is not None
    assert mean is not None
    assert (later.attributes["within"], later.attributes["kept"]) == ("block.1.gate", 9)
    assert mean.attributes == {"tokens": 9}
    assert "block.0.gate" not in graph.nodes
    assert ("block.2.mlp.residual", "block.3.gate") in graph.edges


def test_qkformer_s_sum_over_a_head_s_channels_is_a_convolution_of_ones() -> None:
    node: Any = to_nir(single(TINY["qkformer"])).nodes["stage1.0.tssa.qk_sum"]
    spikes = np.arange(8.0)  # one channel per head here
    assert node.weight.shape == (8, 8, 1)
    np.testing.assert_array_equal(node.weight[..., 0] @ spikes, spikes)
    node = to_nir(single(TINY["qkformer-imagenet"])).nodes["stage2.0.tssa.qk_sum"]
    np.testing.assert_array_equal(node.weight[..., 0] @ spikes, [0 + 1 + 2 + 3, 4 + 5 + 6 + 7])


@torch.no_grad()
def test_low_rank_layers_and_trained_neurons_survive(tmp_path: Path) -> None:
    model = single(TINY["spikformer"])
    factorize(model, {"block.0.attn.q_linear": 3, "block.1.mlp.fc1_linear": 5})
    to_slif(model)
    for index, (_, parameter) in enumerate(p for p in model.named_parameters() if p[0].endswith("_shift")):
        parameter.fill_(0.01 * (index % 7))
    graph = round_trip(model, tmp_path)
    assert ("block.0.attn.q_linear.0", "block.0.attn.q_linear.1") in graph.edges
    back = from_nir(graph)
    assert slif_values(back) == slif_values(model)
    assert_same_graph(to_nir(model), to_nir(back))
    samples = torch.from_numpy(TINY["spikformer"].samples(2)).float()
    assert torch.equal(model(samples), back(samples))


SMALL_V1 = SdtV1Config(16, 16, embed_dims=16, num_heads=2, depths=1, T=3, pooling_stat="0011")
SMALL_V3 = SdtV3Config(64, 64, embed_dim=(4, 4, 8, 8), num_heads=2)
SMALL_QK = QKFormerTpConfig(32, 32, embed_dims=16, num_heads=2, depths=4)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SdtV1(replace(SMALL_V1, k_values=(2,))), "SdtV1: k_values gather tokens"),
        (lambda: SdtV3(replace(SMALL_V3, k_values=(0.5,) * 8)), "SdtV3: k_values gather tokens"),
        (lambda: QKFormer(SMALL_QK), "QKFormer: k_values gather tokens"),
        (lambda: SdtV1(replace(SMALL_V1, TET=True)), "one set of logits per timestep"),
    ],
)
def test_forms_without_a_meaning_on_a_chip_are_refused(build: Callable[[], SpikingNetwork], message: str) -> None:
    with pytest.raises(InputError, match=message):
        to_nir(build().eval())


def encoding(graph: nir.NIRGraph) -> str:
    entry = read_extension(graph.nodes["input"], "input")
    assert entry is not None
    return str(entry.attributes["encoding"])


def test_event_data_come_as_frames_unless_asked_otherwise(tmp_path: Path) -> None:
    still, events = single(TINY["sdt-v1"]), single(TINY["sdt-v1-narrow"])
    assert (encoding(to_nir(still)), encoding(to_nir(events))) == ("repeat", "frames")
    assert encoding(to_nir(single(TINY["spikformer-dvs"]))) == "frames"
    assert encoding(to_nir(events, "repeat")) == "repeat"
    frames = to_nir(still, "frames")
    assert isinstance(from_nir(frames), SdtV1)
    with pytest.raises(InputError, match="Spikformer does not take encoding 'frames'"):
        to_nir(single(TINY["spikformer"]), "frames")
    with pytest.raises(InputError, match="SpikformerDvs does not take encoding 'repeat'"):
        to_nir(single(TINY["spikformer-dvs"]), "repeat")


def _rewired(graph: nir.NIRGraph) -> None:
    """One edge goes elsewhere: to the network's input."""
    source, target = next(edge for edge in sorted(graph.edges) if edge[1].endswith("residual"))
    graph.edges.remove((source, target))


def _fewer_tokens(graph: nir.NIRGraph) -> None:
    graph.nodes["token_mean"].metadata["attributes"] = '{"tokens": 1}'


def _misshapen(graph: nir.NIRGraph) -> None:
    graph.nodes["head"].weight = np.zeros((5, 7), np.float32)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_rewired, "is not wired as a"),
        (_fewer_tokens, "node 'token_mean' is not what"),
        (_misshapen, r"array head.weight is \(5, 7\)"),
    ],
)
@pytest.mark.parametrize("family", TINY)
def test_edited_graphs_are_refused(family: str, edit: Callable[[nir.NIRGraph], None], message: str) -> None:
    graph = to_nir(single(TINY[family]))
    edit(graph)
    with pytest.raises(InputError, match=message):
        from_nir(graph)


def test_arrays_that_no_layer_holds_are_compared_too() -> None:
    graph = to_nir(single(TINY["sdt-v3"]))
    graph.nodes["block3.0.conv.dwconv.0"].metadata["bias"][0] = 1.0
    with pytest.raises(InputError, match=r"node 'block3\.0\.conv\.dwconv\.0': bias is not what a sdt-v3 has there"):
        from_nir(graph)


def test_a_damaged_selector_or_level_is_refused() -> None:
    sparse, graded = to_nir(single(TINY["sparse-spikformer"])), to_nir(single(TINY["sdt-v3"]))
    del sparse.nodes["block.1.gate"].metadata["b1"]
    with pytest.raises(InputError, match=r"array block\.1\.gate\.b1 is missing"):
        from_nir(sparse)
    graded.nodes["spike"].metadata = annotation({"levels": 4}, "MultiSpike")
    with pytest.raises(InputError, match="node 'spike': the MultiSpike entry is damaged"):
        from_nir(graded)
    graded.nodes["spike"].metadata = annotation({"levels": 4, "norm": 1, "reset": "soft"}, "MultiSpike")
    with pytest.raises(InputError, match="node 'spike' is not what a sdt-v3 has there"):
        from_nir(graded)


def test_families_are_told_apart_by_their_configuration() -> None:
    """A Spikformer's graph does not load as another family, whatever its input node says."""
    graph = to_nir(single(TINY["spikformer"]))
    entry = read_extension(graph.nodes["input"], "input")
    assert entry is not None
    graph.nodes["input"].metadata = annotation(entry.attributes | {"family": "qkformer"})
    with pytest.raises(InputError, match="the configuration is damaged"):
        from_nir(graph)
    assert isinstance(from_nir(to_nir(single(TINY["spikformer"]))), Spikformer)
