"""NIR in: what is read, what is refused, and that nothing is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from networks import TinySpikformer, tiny_spikformer

from pumice.compiler import float_nodes as f
from pumice.compiler import general_nodes as g
from pumice.compiler.dialect import annotation, extension
from pumice.compiler.importing.importer import import_nir
from pumice.compiler.importing.nir_file import read_nir
from pumice.errors import InputError, UnsupportedNode
from pumice.hwsim.scoring import Criterion


def test_a_graph_survives_the_file(tmp_path: Path) -> None:
    network = tiny_spikformer(TinySpikformer(pool=True, size=6))
    nir.write(tmp_path / "net.nir", network)
    direct, read = import_nir(network), import_nir(read_nir(tmp_path / "net.nir"))
    assert list(direct.nodes) == list(read.nodes)
    assert [type(n) for n in direct.nodes.values()] == [type(n) for n in read.nodes.values()]


def test_two_edges_into_a_node_are_a_sum() -> None:
    graph = import_nir(tiny_spikformer())
    residual = graph.nodes["block.0.residual"]
    assert isinstance(residual, f.Add)
    assert set(residual.inputs) == {"flatten", "block.0.proj_lif"}


def test_attention_keeps_its_operands_in_order() -> None:
    attention = import_nir(tiny_spikformer()).nodes["block.0.ssa"]
    assert attention.inputs == ("block.0.q_lif", "block.0.k_lif", "block.0.v_lif")


def test_tau_is_in_timesteps() -> None:
    lif = import_nir(tiny_spikformer()).nodes["lif0"]
    assert isinstance(lif, f.Lif)
    assert lif.tau == pytest.approx(2.0)


def replaced(name: str, node: Any) -> nir.NIRGraph:
    network = tiny_spikformer()
    network.nodes[name] = node
    return network


def lif(**changes: Any) -> nir.LIF:
    full = np.ones((8, 4, 4))
    values = {"tau": 2e-4 * full, "r": full, "v_leak": 0 * full, "v_threshold": full, "v_reset": 0 * full}
    said = changes.pop("metadata", annotation({"dt": 1e-4, "comparator": ">=", "reset": "hard"}))
    return nir.LIF(**(values | changes), metadata=said)


NAN = np.full((8, 1, 3, 3), np.nan)
BAD_NODES: list[tuple[str, Any, type[Exception], str]] = [
    ("lif0", lif(metadata={}), UnsupportedNode, "'lif0': the file does not say its dt, comparator, reset"),
    ("conv0", nir.Conv2d((4, 4), NAN, 1, 1, 1, 1, np.zeros(8)), InputError, "'conv0': weight holds NaN"),
    (
        "conv0",
        nir.Conv2d((4, 4), np.ones((8, 2, 3, 3)), 1, 1, 1, 1, np.zeros(8)),
        InputError,
        "'conv0': weight .8, 2, 3, 3. in 1 groups",
    ),
    ("lif0", nir.Threshold(np.ones((8, 4, 4))), UnsupportedNode, "'lif0': Threshold is not supported"),
    ("head", nir.Linear(np.ones((3, 9))), InputError, "'head': weight takes 9 values"),
    ("bn0", extension("BatchNorm", (8, 4, 4), (8, 4, 4), {}), InputError, "'bn0': BatchNorm entry is incomplete"),
]


def gate(**changes: Any) -> nir.NIRGraph:
    attributes = {
        "block": 0,
        "height": 4,
        "width": 4,
        "retention": 0.5,
        "criterion": Criterion().as_dict(),
        "state": "hold",
        "neurons": ["block.0.q_lif"],
    }
    return extension("TokenGate", (8, 16), (8, 16), attributes | changes)


def norm(**changes: Any) -> nir.NIRGraph:
    arrays = {key: np.ones(8) for key in ("gamma", "beta", "mean", "var")}
    return extension("BatchNorm", (8, 4, 4), (8, 4, 4), {"eps": 1e-5}, arrays=arrays | changes)


def attention(heads: int) -> nir.NIRGraph:
    qkv = ["block.0.q_lif", "block.0.k_lif", "block.0.v_lif"]
    return extension("SpikingSelfAttention", (8, 16), (8, 16), {"heads": heads, "scale": 0.125}, operands=qkv)


BAD_NODES += [
    ("block.0.gate", gate(state="hodl"), InputError, "'block.0.gate': state 'hodl' is neither hold nor decay"),
    (
        "block.0.gate",
        gate(neurons=["nobody"]),
        InputError,
        r"'block.0.gate': gates \['nobody'\], which is neither neuron nor sum",
    ),
    ("block.0.gate", gate(height=5), InputError, r"'block.0.gate': a grid of \(5, 4\) for 16 tokens"),
    ("block.0.gate", gate(retention=2.0), InputError, r"'block.0.gate': retention 2.0 is not in \(0, 1\]"),
    ("block.0.mlp_gate", extension("TokenGate", (8, 16), (8, 16), {"mask_of": "lif0"}), InputError, "no scoring gate"),
    ("block.0.ssa", attention(3), InputError, "'block.0.ssa': 3 heads for 8 channels"),
    ("bn0", norm(var=np.ones(7)), InputError, r"'bn0': var has shape \(7,\) for 8 channels"),
    ("bn0", norm(mean=np.full(8, np.nan)), InputError, "'bn0': mean holds NaN"),
    ("bn0", norm(mean=np.full(8, "x", object)), InputError, "'bn0': mean holds NaN, infinity or no numbers"),
]


@pytest.mark.parametrize(("name", "node", "error", "message"), BAD_NODES, ids=[b[3] for b in BAD_NODES])
def test_a_node_without_meaning_is_named(name: str, node: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        import_nir(replaced(name, node))


@pytest.mark.parametrize(
    "changes", [{"v_leak": np.ones((8, 4, 4))}, {"tau": np.arange(1, 129).reshape(8, 4, 4) * 1e-4}]
)
def test_neurons_that_say_all_need_no_reading(changes: dict[str, Any]) -> None:
    graph = import_nir(replaced("lif0", lif(**changes)))
    assert isinstance(graph.nodes["lif0"], g.Neuron)
    with pytest.raises(UnsupportedNode, match="'lif0': the file does not say its comparator, reset"):
        import_nir(replaced("lif0", lif(metadata=annotation({"dt": 1e-4}), **changes)))


def test_another_dialect_version_is_refused() -> None:
    network = tiny_spikformer()
    network.nodes["bn0"].metadata["pumice"] = "99"
    with pytest.raises(UnsupportedNode, match="'bn0' is in version '99'"):
        import_nir(network)


def test_a_cycle_is_refused() -> None:
    network = tiny_spikformer()
    network.edges.append(("block.0.q_lif", "conv0"))
    with pytest.raises(Exception, match="cycle without a delay"):
        import_nir(network)


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no such file"), (b"not hdf5 at all", "not a readable HDF5 file"), (b"", "not a readable HDF5 file")],
)
def test_a_file_that_is_no_nir_is_one_clear_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "net.nir"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_nir(path)


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir.write(path, tiny_spikformer())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=str(path)):
        read_nir(path)


def test_a_foreign_hdf5_file_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.nir", "w") as file:
        file["data"] = np.zeros(3)
    with pytest.raises(InputError, match="not a NIR graph"):
        read_nir(tmp_path / "other.nir")


def test_declared_sizes_beyond_reason_are_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "bomb.nir", "w") as file:
        file.create_group("node").create_dataset(
            "weight", (1 << 20, 1 << 20), "f8", chunks=(1024, 1024), compression="gzip"
        )
    with pytest.raises(InputError, match="declares 8,796,093,022,208"):
        read_nir(tmp_path / "bomb.nir")
