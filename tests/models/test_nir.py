"""Export to NIR and back: nothing is lost, an unmodified `nir.read` loads it, and edited graphs are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from nir_graphs import assert_same_graph, round_trip
from torch import nn

from pumice.compiler.dialect import annotation, read_extension
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.scoring import Criterion
from pumice.models.nir.export import to_nir, write_nir
from pumice.models.nir.nodes import DT
from pumice.models.nir.read import from_nir
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.spikformer import Spikformer, SpikformerConfig

PRUNING = TokenPruning((0.7, 0.3), Criterion("irtop-paper", 5, 0.25, "spatial", False, 1.0, 7), "decay")


def random_model(stages: tuple[int, ...] = (2, 3), pruning: TokenPruning | None = None) -> Spikformer:
    """Random weights and BatchNorm statistics, a non-square image, and a LIF unlike the rest."""
    torch.manual_seed(0)
    config = SpikformerConfig(8, 12, 4, 2, 5, 16, 2, 3, depths=2, T=3, pool_stages=stages)
    model = Spikformer(config, pruning).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            for values in (module.weight, module.bias, module.running_mean, module.running_var):
                assert values is not None
                nn.init.uniform_(values, 0.2, 2.0)
    model.block[0].attn.attn_lif.tau = 3.0  # type: ignore[union-attr,assignment]
    return model


@pytest.mark.parametrize("stages", [(), (3,), (2, 3), (0, 1)])
@pytest.mark.parametrize("pruning", [None, PRUNING])
def test_export_read_import_export_gives_equal_bytes(
    stages: tuple[int, ...], pruning: TokenPruning | None, tmp_path: Path
) -> None:
    first = to_nir(random_model(stages, pruning))
    write_nir(first, tmp_path / "model.nir")
    again = to_nir(from_nir(nir.read(tmp_path / "model.nir")))
    assert_same_graph(first, again)


@torch.no_grad()
@pytest.mark.parametrize("pruning", [None, PRUNING])
def test_the_model_read_back_computes_the_same(pruning: TokenPruning | None, tmp_path: Path) -> None:
    model = random_model(pruning=pruning)
    back = from_nir(round_trip(model, tmp_path))
    images = torch.rand(2, 2, 8, 12)
    assert (back.config, back.pruning, back.training) == (model.config, model.pruning, False)
    wanted, got = model.trace(images), back.trace(images)
    assert torch.equal(got.logits, wanted.logits)
    assert all(torch.equal(got.spikes[name], spikes) for name, spikes in wanted.spikes.items())


def test_lif_nodes_say_what_nir_leaves_open_and_keep_tau_exact(tmp_path: Path) -> None:
    graph = round_trip(random_model(), tmp_path)
    for name, node in graph.nodes.items():
        if isinstance(node, nir.LIF):
            entry = read_extension(node, name)
            assert entry is not None
            assert entry.attributes == {"dt": DT, "comparator": ">=", "reset": "hard"}
            assert set(np.unique(node.tau / DT)) == {3.0 if name == "block.0.attn.attn_lif" else 2.0}


def test_residual_edges_pass_the_gates_by(tmp_path: Path) -> None:
    edges = set(round_trip(random_model(pruning=PRUNING), tmp_path).edges)
    for block, source in ((0, "patch_embed.flatten"), (1, "block.0.mlp.residual")):
        attn, mlp = f"block.{block}.attn", f"block.{block}.mlp"
        assert {(source, f"{attn}.residual"), (f"{attn}.proj_lif", f"{attn}.residual")} <= edges
        assert {(f"{attn}.residual", f"{mlp}.residual"), (f"{mlp}.fc2_lif", f"{mlp}.residual")} <= edges
        readers = {b for a, b in edges if a == f"block.{block}.gate"}
        assert readers == {f"{attn}.{part}_linear" for part in ("q", "k", "v")}


def test_max_pool_s_body_computes_the_max_of_binary_spikes(tmp_path: Path) -> None:
    body = round_trip(random_model(), tmp_path).nodes["patch_embed.maxpool2"]
    assert {type(node) for node in body.nodes.values()} == {nir.Input, nir.SumPool2d, nir.Threshold, nir.Output}
    spikes = (torch.rand(1, 8, 8, 12) < 0.2).float()
    sums = nn.functional.avg_pool2d(spikes, 3, 2, 1, divisor_override=1)
    threshold = torch.from_numpy(body.nodes["any"].threshold)
    assert torch.equal((sums > threshold).float(), nn.functional.max_pool2d(spikes, 3, 2, 1))


def test_operations_without_a_nir_primitive_cannot_be_mistaken_for_a_known_one(tmp_path: Path) -> None:
    """A consumer that does not know the dialect meets a nested graph of NaN delays, and no path through it."""
    graph = round_trip(random_model(pruning=PRUNING), tmp_path)
    nested = {name: n for name, n in graph.nodes.items() if isinstance(n, nir.NIRGraph) and "maxpool" not in name}
    assert len(nested) == 5 + 2 * 6 + 2 * 1 + 2 * 2 + 2  # BatchNorms, attentions, gates, the two means
    for node in nested.values():
        delays = [child.delay for child in node.nodes.values() if isinstance(child, nir.Delay)]
        assert len(delays) == 2
        assert all(np.isnan(delay).all() for delay in delays)


def test_a_failed_write_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    path = tmp_path / "model.nir"
    path.write_bytes(b"precious")
    graph = to_nir(random_model())
    graph.nodes["head"].metadata = {"unwritable": object()}
    with pytest.raises(TypeError):
        write_nir(graph, path)
    assert [p.name for p in tmp_path.iterdir()] == ["model.nir"]
    assert path.read_bytes() == b"precious"
    with pytest.raises(InputError, match=r"no/where\.nir: cannot be written"):
        write_nir(to_nir(random_model()), tmp_path / "no" / "where.nir")


def _foreign(graph: nir.NIRGraph) -> None:
    graph.nodes["input"].metadata = {}


def _other_family(graph: nir.NIRGraph) -> None:
    graph.nodes["input"].metadata = annotation({"family": "resnet"})


def _damaged_config(graph: nir.NIRGraph) -> None:
    graph.nodes["input"].metadata = annotation({"family": "spikformer", "timesteps": 3, "config": {"size": 1}})


def _other_config(graph: nir.NIRGraph) -> None:
    facts = json.loads(graph.nodes["input"].metadata["attributes"])
    facts["config"]["depths"] = 3
    graph.nodes["input"].metadata = annotation(facts)


def _rewired(graph: nir.NIRGraph) -> None:
    graph.edges.remove(("patch_embed.flatten", "block.0.attn.residual"))


def _rescaled(graph: nir.NIRGraph) -> None:
    graph.nodes["block.0.mlp.residual"].scale[0, 0] = 2.0


def _biased(graph: nir.NIRGraph) -> None:
    graph.nodes["patch_embed.rpe_conv"].bias[0] = 1.0


def _uneven(graph: nir.NIRGraph) -> None:
    graph.nodes["patch_embed.rpe_lif"].v_threshold[0, 0, 0] = 2.0


def _misshapen(graph: nir.NIRGraph) -> None:
    graph.nodes["head"].weight = np.zeros((5, 7), np.float32)


def _other_comparator(graph: nir.NIRGraph) -> None:
    node = graph.nodes["block.1.mlp.fc1_lif"]
    node.metadata = annotation({"dt": DT, "comparator": ">", "reset": "hard"})


def _other_version(graph: nir.NIRGraph) -> None:
    graph.nodes["block.0.attn.q_bn"].metadata["pumice"] = "99"


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_foreign, "of family None, which is none of ours"),
        (_other_family, "of family 'resnet', which is none of ours"),
        (_damaged_config, "node 'input': the configuration is damaged"),
        (_other_config, "has no node 'block.2"),
        (_rewired, "edge patch_embed.flatten -> block.0.attn.residual"),
        (_rescaled, "node 'block.0.mlp.residual': scale is not what"),
        (_biased, "node 'patch_embed.rpe_conv': bias is not what"),
        (_uneven, "node 'patch_embed.rpe_lif': v_threshold differs between neurons"),
        (_misshapen, r"array head.weight is \(5, 7\), not \(5, 16\)"),
        (_other_comparator, "node 'block.1.mlp.fc1_lif' is not what"),
    ],
)
def test_edited_graphs_are_refused_by_name(edit: Callable[[nir.NIRGraph], None], message: str) -> None:
    graph = to_nir(random_model())
    edit(graph)
    with pytest.raises(InputError, match=message):
        from_nir(graph)


def test_another_version_of_the_dialect_is_refused() -> None:
    graph = to_nir(random_model())
    _other_version(graph)
    with pytest.raises(UnsupportedNode, match=r"'block\.0\.attn\.q_bn' is in version '99'"):
        from_nir(graph)
