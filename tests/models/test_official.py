"""Official checkpoints: every family loads strictly, what does not fit is named, files are read without running them."""

from __future__ import annotations

import argparse
import io
import os
import pickle
import tarfile
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from oracles import Oracle, load_oracle
from safetensors.torch import save_file
from torch import Tensor, nn

from pumice.errors import InputError
from pumice.models import load_official
from pumice.models.official import FAMILIES, nearest_family, read_state_dict
from pumice.models.qkformer import QKFormer

CASES = {
    "spikformer_cifar_2-64": "spikformer_cifar",
    "spikformer_imagenet_2-64": "spikformer_imagenet",
    "spikformer_dvs_2-64": "spikformer_dvs",
    "qk_cifar_4-64": "qkformer_cifar",
    "qk_imagenet_5-64": "qkformer_imagenet",
    "qk_imagenet_5-64__TP_all1.0": "qkformer_tp",
    "qk_imagenet_5-64__TP_0.5": "qkformer_tp",
    "sparsespikformer_cifar_4-64": "sparsespikformer_cifar",
    "sdtv1_2-64_img32": "sdtv1",
    "sdtv1_2-64_img32__TP_k3-2": "sdtv1_tp",
    "sdtv1_2-64_img32__TP_k6-4": "sdtv1_tp",
    "sdtv3_tiny_img64": "sdtv3",
    "sdtv3_tiny_img64__TP_all1.0": "sdtv3_tp",
    "sdtv3_tiny_img64__TP_0.75": "sdtv3_tp",
}
CIFAR = "spikformer_cifar_2-64"
TWINS = {"qkformer_tp": "qkformer_imagenet", "sdtv1_tp": "sdtv1", "sdtv3_tp": "sdtv3"}
UNPRUNED = {name: family for name, family in CASES.items() if "__TP_" not in name}


@pytest.fixture(scope="module")
def oracle() -> Oracle:
    return load_oracle(CIFAR)


@pytest.mark.parametrize(("name", "family"), CASES.items())
def test_every_family_gives_the_official_logits(name: str, family: str) -> None:
    oracle = load_oracle(name)
    model = load_official(family, oracle.kwargs, oracle.weights)
    assert not model.training
    assert set(model.state_dict()) == set(oracle.weights)
    with torch.no_grad():
        torch.testing.assert_close(model(oracle.input), oracle.logits, rtol=0, atol=1e-5)


def test_batch_semantics_reach_the_model() -> None:
    oracle = load_oracle("qk_cifar_4-64")
    for arguments, semantics in (({}, "official"), ({"batch_semantics": "independent"}, "independent")):
        model = load_official("qkformer_cifar", oracle.kwargs, oracle.weights, **arguments)  # type: ignore[arg-type]
        assert isinstance(model, QKFormer)
        assert {block.ssa.batch_semantics for block in model.stage3} == {semantics}


@pytest.mark.parametrize("name", UNPRUNED)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_checkpoint_of_another_family_is_refused_and_named(family: str, name: str) -> None:
    oracle = load_oracle(name)
    if TWINS.get(family, family) == UNPRUNED[name]:  # a pruned family has the keys of its unpruned twin, and loads them
        return
    small = dict(FAMILIES[family].small)
    kwargs = small | ({"embed_dims": 64} if "embed_dims" in small else {"embed_dim": (8, 16, 32, 40)})
    with pytest.raises(InputError, match=rf"^{family}: .*key '[\w.]+'.*the checkpoint fits {UNPRUNED[name]}$"):
        load_official(family, kwargs, oracle.weights)


def test_the_nearest_family_of_an_unpruned_and_a_pruned_qkformer_is_the_same() -> None:
    assert nearest_family(load_oracle("qk_imagenet_5-64").weights) == ("qkformer_imagenet", 1.0)


def test_a_missing_key_is_named(oracle: Oracle) -> None:
    weights = {name: tensor for name, tensor in oracle.weights.items() if name != "block.1.attn.q_bn.running_var"}
    with pytest.raises(InputError, match=r"spikformer_cifar: key 'block.1.attn.q_bn.running_var' is missing; "):
        load_official("spikformer_cifar", oracle.kwargs, weights)


def test_an_extra_key_is_named(oracle: Oracle) -> None:
    with pytest.raises(InputError, match=r"unexpected key 'head.scale'; the nearest family is spikformer_cifar"):
        load_official("spikformer_cifar", oracle.kwargs, oracle.weights | {"head.scale": torch.ones(1)})


def test_a_wrong_shape_is_named(oracle: Oracle) -> None:
    weights = oracle.weights | {"head.weight": torch.zeros(11, 64)}
    message = (
        r"key 'head.weight' has shape \(11, 64\), not \(10, 64\); the checkpoint is a spikformer_cifar, of other sizes"
    )
    with pytest.raises(InputError, match=message):
        load_official("spikformer_cifar", oracle.kwargs, weights)


def test_a_value_that_is_no_tensor_is_named(oracle: Oracle) -> None:
    with pytest.raises(InputError, match=r"key 'head.bias' holds list, not a tensor"):
        load_official("spikformer_cifar", oracle.kwargs, oracle.weights | {"head.bias": [0.0]})  # type: ignore[dict-item]


def test_a_checkpoint_of_something_else_has_no_near_family(oracle: Oracle) -> None:
    with pytest.raises(InputError, match="no known family is near"):
        load_official("spikformer_cifar", oracle.kwargs, nn.Linear(3, 4).state_dict())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depths": 3}, r"key 'block.2.norm1.weight' is missing and 45 more mismatches"),
        ({"token_ratio": [0.9]}, "the constructor has no argument 'token_ratio'"),
        ({"embed_dims": [64, 128]}, r"embed_dims is \[64, 128\], not a whole number"),
        ({"mlp_ratios": 2.5}, "mlp_ratios is 2.5, not a whole number"),
        ({"num_heads": 7}, "embed_dims 64 does not divide into 7 heads$"),
        ({"pool_stages": 3}, "the arguments do not make a model"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(oracle: Oracle, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_official("spikformer_cifar", oracle.kwargs | changes, oracle.weights)


def test_what_the_shapes_do_not_tell_must_be_given(oracle: Oracle) -> None:
    kwargs = {name: value for name, value in oracle.kwargs.items() if name != "num_heads"}
    with pytest.raises(InputError, match="the argument 'num_heads' is missing"):
        load_official("spikformer_cifar", kwargs, oracle.weights)


def test_arguments_without_effect_and_whole_floats_are_taken(oracle: Oracle) -> None:
    extra = {"drop_path_rate": 0.2, "norm_layer": partial(nn.LayerNorm, eps=1e-6), "qk_scale": None, "mlp_ratios": 4.0}
    load_official("spikformer_cifar", oracle.kwargs | extra, oracle.weights)


def test_unknown_names_are_refused(oracle: Oracle) -> None:
    with pytest.raises(InputError, match="unknown model family 'spikformer'") as caught:
        load_official("spikformer", oracle.kwargs, oracle.weights)
    assert "spikformer_cifar" in caught.value.hint
    with pytest.raises(InputError, match="unknown batch semantics 'serial'"):
        load_official("spikformer_cifar", oracle.kwargs, oracle.weights, "serial")  # type: ignore[arg-type]


# Files


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: weights,
        lambda weights: {"state_dict": weights, "epoch": 3, "arch": "spikformer"},
        lambda weights: {
            "model": {f"module.{name}": tensor for name, tensor in weights.items()},
            "optimizer": {"lr": 1},
        },
    ],
)
def test_wrappers_and_prefixes_are_taken_off(tmp_path: Path, oracle: Oracle, wrap: Any, zipped: bool) -> None:
    path = tmp_path / "model.pth.tar"
    torch.save(wrap(oracle.weights), path, _use_new_zipfile_serialization=zipped)
    weights = read_state_dict(path)
    assert list(weights) == list(oracle.weights)
    load_official("spikformer_cifar", oracle.kwargs, weights)


def test_safetensors_are_read(tmp_path: Path, oracle: Oracle) -> None:
    save_file(oracle.weights, tmp_path / "model.safetensors")
    assert set(read_state_dict(tmp_path / "model.safetensors")) == set(oracle.weights)
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes()[:1000])
    with pytest.raises(InputError, match="not a complete safetensors file"):
        read_state_dict(tmp_path / "cut.safetensors")


class Hostile:
    """A pickle of it runs a command when it is loaded."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.trace}",)


@pytest.mark.parametrize("kind", ["zip", "legacy", "bare", "bare, protocol 0", "tar"])
def test_a_pickle_that_wants_to_execute_is_refused_and_does_not(tmp_path: Path, kind: str) -> None:
    path, trace = tmp_path / "model.pth", tmp_path / "executed"
    hostile = {"state_dict": {"weight": torch.ones(2)}, "extra": Hostile(trace)}
    if kind in ("zip", "legacy"):
        torch.save(hostile, path, _use_new_zipfile_serialization=kind == "zip")
    elif kind == "tar":
        path.write_bytes(tar_of({"storages": pickle.dumps(0), "pickle": pickle.dumps(Hostile(trace))}))
    else:
        path.write_bytes(pickle.dumps(Hostile(trace), protocol=0 if kind.endswith("0") else 4))
    message = "a tar archive" if kind == "tar" else r"refused, the pickle wants to run posix\.system"
    with pytest.raises(InputError, match=message) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)
    assert not trace.exists()


def test_a_pickle_of_other_objects_is_refused_by_name(tmp_path: Path) -> None:
    torch.save({"model": {"weight": torch.ones(2)}, "args": argparse.Namespace(lr=1)}, tmp_path / "model.pth")
    with pytest.raises(InputError, match=r"refused, the pickle wants to run argparse\.Namespace") as caught:
        read_state_dict(tmp_path / "model.pth")
    assert "save its state_dict alone" in caught.value.hint


def test_a_torchscript_program_is_refused(tmp_path: Path) -> None:
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "model.pt")
    with pytest.raises(InputError, match="a TorchScript program, not a checkpoint"):
        read_state_dict(tmp_path / "model.pt")


@pytest.mark.parametrize("content", [b"", b"hello world", b"PK\x03\x04 not a zip"])
def test_damaged_files_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "model.pth").write_bytes(content)
    with pytest.raises(InputError, match=r"model\.pth: not a"):
        read_state_dict(tmp_path / "model.pth")


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1000)}, tmp_path / "whole.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "whole.pth").read_bytes()[:2000])
    with pytest.raises(InputError, match=r"cut\.pth: not a readable checkpoint"):
        read_state_dict(tmp_path / "cut.pth")


@pytest.mark.parametrize("data", [{"epoch": 3}, {}, [1, 2], {"model": {"lr": 0.1}}, torch.ones(2)])
def test_a_file_without_weights_is_refused(tmp_path: Path, data: Any) -> None:
    torch.save(data, tmp_path / "model.pth")
    with pytest.raises(InputError, match="holds no state dict"):
        read_state_dict(tmp_path / "model.pth")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(InputError, match="no such checkpoint"):
            read_state_dict(path)


def tar_of(files: dict[str, bytes]) -> bytes:
    """A tar archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def test_the_state_dict_read_is_a_plain_mapping_of_tensors(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
    weights: dict[str, Tensor] = read_state_dict(tmp_path / "model.pt")
    assert {name: tuple(tensor.shape) for name, tensor in weights.items()} == {"weight": (3, 2), "bias": (3,)}
