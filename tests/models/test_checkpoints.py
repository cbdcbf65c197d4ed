"""Checkpoints survive saving, refuse what is not one, and the zoo's keeps its accuracy, pruned and unpruned."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from pumice.errors import InputError
from pumice.hwsim.scoring import Criterion
from pumice.models.checkpoints import (
    FAMILIES,
    CheckpointFamily,
    load_checkpoint,
    load_zoo,
    read_facts,
    save_checkpoint,
    zoo_path,
)
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.token_pruning import TokenPruning
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import (
    SpikformerDvs,
    SpikformerDvsConfig,
    SpikformerImagenet,
    SpikformerImagenetConfig,
)
from pumice.models.training.digits import Digits, load_digits
from pumice.models.training.loop import evaluate
from pumice.models.training.recipes import SPIKFORMER

NAME = "spikformer-digits"
SMALL = SpikformerConfig(8, 8, 4, 1, 10, 16, 2, depths=1, pool_stages=())
NETWORKS: dict[str, Callable[[], SpikingNetwork]] = {
    "spikformer": lambda: Spikformer(SMALL),
    "spikformer-dvs": lambda: SpikformerDvs(SpikformerDvsConfig(16, 16, 4, 2, 10, 8, 2, 1, depths=1, T=2)),
    "sdt-v1": lambda: SdtV1(SdtV1Config(8, 8, 4, 1, 10, 8, 2, depths=1, pooling_stat="0001", k_values=(2,))),
    "qkformer": lambda: QKFormer(QKFormerConfig(8, 8, 4, 1, 10, 32, 8, 1, depths=3, T=2)),
    "sdt-v3": lambda: SdtV3(SdtV3Config(32, 32, 4, 1, 10, (4, 4, 4, 4), 2, 1, k_values=(0.5,) * 8)),
    "sparse-spikformer": lambda: SparseSpikformer(
        SparseSpikformerConfig(8, 8, 4, 1, 10, 8, 2, 1, depths=2, T=2, pruning_loc=(1,), token_ratio=(0.5,))
    ),
}


@pytest.fixture(scope="module")
def digits() -> Digits:
    return load_digits()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / "small.safetensors"
    save_checkpoint(Spikformer(SMALL), path, {"seed": 3, "command": "by hand"})
    return path


def test_zoo_model_classifies_the_test_digits(digits: Digits) -> None:
    accuracy, _ = evaluate(load_zoo(NAME), digits.test)
    assert accuracy >= 0.97
    assert accuracy == pytest.approx(0.9833, abs=0.003)  # the figure in zoo/README.md, give or take one image


@pytest.mark.parametrize(
    ("criterion", "loss"), [(Criterion(), 0.02), (Criterion(alpha=0.0), 0.01), (Criterion(per_step=False), 0.015)]
)
def test_zoo_model_bears_half_of_its_tokens_without_fine_tuning(
    digits: Digits, criterion: Criterion, loss: float
) -> None:
    model = load_zoo(NAME)
    unpruned, _ = evaluate(model, digits.test)
    model.pruning = TokenPruning((0.5, 0.5), criterion)
    assert evaluate(model, digits.test)[0] >= unpruned - loss


def test_zoo_file_is_small_and_says_how_it_was_made() -> None:
    assert zoo_path(NAME).stat().st_size < 1_000_000
    facts = read_facts(zoo_path(NAME))
    assert facts["family"] == "spikformer"
    assert SpikformerConfig(**facts["config"]) == SPIKFORMER
    assert facts["command"] == "pumice train spikformer-digits --seed 0 --epochs 80"
    assert set(facts["versions"]) == {"pumice", "torch", "numpy"}


def test_a_checkpoint_survives_saving_and_equal_models_give_equal_files(saved: Path, tmp_path: Path) -> None:
    model = load_checkpoint(saved)
    assert (model.config, model.pruning, model.training) == (SMALL, None, False)
    save_checkpoint(model, tmp_path / "again.safetensors", {"seed": 3, "command": "by hand"})
    assert (tmp_path / "again.safetensors").read_bytes() == saved.read_bytes()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_every_family_comes_back_as_it_was(family: CheckpointFamily, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, path = NETWORKS[family.name]().eval(), tmp_path / "net.safetensors"
    save_checkpoint(model, path, {})
    again = load_checkpoint(path)
    assert type(again) is type(model)
    assert (again.config, again.pruning, again.training) == (model.config, None, False)
    config = model.config
    size = (config.in_channels, config.img_size_h, config.img_size_w)
    shape = (2, config.T, *size) if family.name == "spikformer-dvs" else (2, *size)
    images = torch.rand(shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert read_facts(path)["family"] == family.name


def test_a_network_of_no_family_is_refused(tmp_path: Path) -> None:
    model = SpikformerImagenet(SpikformerImagenetConfig(16, 16, 16, 1, 10, 8, 2, 1, depths=1))
    with pytest.raises(InputError, match="a checkpoint cannot hold a SpikformerImagenet network"):
        save_checkpoint(model, tmp_path / "net.safetensors", {})


def test_a_missing_checkpoint_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.safetensors: no such checkpoint"):
        load_checkpoint(tmp_path / "nowhere.safetensors")
    with pytest.raises(InputError, match="the zoo has no model 'resnet'"):
        load_zoo("resnet")
    with pytest.raises(InputError, match=r"the zoo has no model '\.\./zoo/spikformer-digits'"):
        load_zoo("../zoo/spikformer-digits")


@pytest.mark.parametrize("left", [0, 4, 100, -1])
def test_a_truncated_checkpoint_is_refused(saved: Path, left: int) -> None:
    saved.write_bytes(saved.read_bytes()[:left])
    with pytest.raises(InputError, match=r"small\.safetensors: not a complete safetensors file"):
        load_checkpoint(saved)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    text, plain, listed = tmp_path / "notes.safetensors", tmp_path / "plain.safetensors", tmp_path / "list.safetensors"
    text.write_text("these are my notes, not weights")
    save_file({"weight": torch.zeros(3)}, plain)
    save_file({"weight": torch.zeros(3)}, listed, {"pumice": "[1]"})
    with pytest.raises(InputError, match=r"notes\.safetensors: not a complete safetensors file"):
        load_checkpoint(text)
    with pytest.raises(InputError, match=r"plain\.safetensors: a safetensors file, but not a Pumice checkpoint"):
        load_checkpoint(plain)
    with pytest.raises(InputError, match=r"list\.safetensors: the checkpoint's metadata is damaged"):
        load_checkpoint(listed)


def test_weights_that_do_not_fit_and_other_families_are_refused(tmp_path: Path) -> None:
    misfit, other = tmp_path / "misfit.safetensors", tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, misfit, {"pumice": '{"family": "spikformer", "config": {"embed_dims": 48}}'})
    save_file({"weight": torch.zeros(3)}, other, {"pumice": '{"family": "resnet"}'})
    with pytest.raises(InputError, match=r"misfit\.safetensors: the weights do not fit") as caught:
        load_checkpoint(misfit)
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"other\.safetensors: family 'resnet' is unknown"):
        load_checkpoint(other)
    with pytest.raises(InputError, match="cannot be written"):
        save_checkpoint(Spikformer(SMALL), tmp_path / "no" / "where.safetensors", {})
