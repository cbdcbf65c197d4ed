"""Checkpoints: one safetensors file, official state-dict keys, everything else as JSON in the metadata key `pumice`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.models.network import SpikingNetwork
from pumice.models.pruning.variants import apply_variant, variant_of
from pumice.models.qkformer import QKFormer
from pumice.models.qkformer_config import QKFormerConfig
from pumice.models.sdt_v1 import SdtV1, SdtV1Config
from pumice.models.sdt_v3 import SdtV3, SdtV3Config
from pumice.models.sparse_spikformer import SparseSpikformer, SparseSpikformerConfig
from pumice.models.spikformer import Spikformer, SpikformerConfig
from pumice.models.spikformer_conv import SpikformerDvs, SpikformerDvsConfig

ZOO = Path(__file__).parent / "zoo"
RETRAIN = "train one with `pumice train NAME`"


@dataclass(frozen=True)
class CheckpointFamily:
    """A kind of network that a checkpoint can hold: the name in the file, the configuration, the network built from it."""

    name: str
    config: type[Any]
    build: Callable[[Any], SpikingNetwork]


FAMILIES = (
    CheckpointFamily("spikformer", SpikformerConfig, Spikformer),
    CheckpointFamily("spikformer-dvs", SpikformerDvsConfig, SpikformerDvs),
    CheckpointFamily("sdt-v1", SdtV1Config, SdtV1),
    CheckpointFamily("qkformer", QKFormerConfig, QKFormer),
    CheckpointFamily("sdt-v3", SdtV3Config, SdtV3),
    CheckpointFamily("sparse-spikformer", SparseSpikformerConfig, SparseSpikformer),
)


def save_checkpoint(model: SpikingNetwork, path: str | Path, facts: Mapping[str, Any]) -> None:
    """Writes the model to `path`, or leaves what was there untouched. Raises InputError for a family not in `FAMILIES`.

    `facts`: JSON-ready values about its making (seed, command, data); family, config, versions and, of a model with
    low-rank layers or sLIF neurons, its variant are added.
    """
    family = family_of(model)
    entry = {"family": family.name, "config": model.config.as_dict(), "versions": _versions(), **facts}
    variant = variant_of(model)
    entry |= {"variant": variant} if variant else {}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    data = save(weights, metadata={"pumice": json.dumps(entry, sort_keys=True)})
    write_atomically(Path(path), data)


def load_checkpoint(path: str | Path) -> SpikingNetwork:
    """The model saved at `path`, in eval mode, unpruned. Raises InputError for a missing, damaged or foreign file."""
    path = Path(path)
    facts = read_facts(path)
    family = _family_named(facts.get("family"), path)
    try:
        model = family.build(family.config(**facts["config"]))
        _apply_variant(model, facts.get("variant", {}), path)
        with safe_open(str(path), "pt") as file:
            model.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (KeyError, TypeError, RuntimeError, SafetensorError) as error:
        raise InputError(f"{path}: the weights do not fit its configuration ({_one_line(error)})", RETRAIN) from error
    return model.eval()


def read_facts(path: str | Path) -> dict[str, Any]:
    """What a checkpoint says about itself: family, config, seed, command, versions. Raises InputError as above."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint", f"check the path, or {RETRAIN}")
    try:
        with safe_open(str(path), "pt") as file:
            metadata: dict[str, str] = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path}: not a complete safetensors file ({_one_line(error)})", RETRAIN) from error
    try:
        facts = json.loads(metadata["pumice"])
    except (KeyError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: a safetensors file, but not a Pumice checkpoint", RETRAIN) from error
    if not isinstance(facts, dict):
        raise InputError(f"{path}: the checkpoint's metadata is damaged", RETRAIN)
    return facts


def family_of(model: SpikingNetwork) -> CheckpointFamily:
    """The family of a network, by its configuration's exact class: forms of one network differ there alone."""
    for family in FAMILIES:
        if type(model.config) is family.config:
            return family
    raise InputError(f"a checkpoint cannot hold a {type(model).__name__} network", f"known: {_known()}")


def zoo_names() -> tuple[str, ...]:
    """Names that `load_zoo` takes."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.safetensors")))


def zoo_path(name: str) -> Path:
    """The file of a zoo model. Raises InputError for an unknown name."""
    if name not in zoo_names():
        raise InputError(f"the zoo has no model {name!r}", f"known: {', '.join(zoo_names()) or 'none'}")
    return ZOO / f"{name}.safetensors"


def load_zoo(name: str) -> SpikingNetwork:
    """A model that ships with Pumice, in eval mode, unpruned. Raises InputError for an unknown name."""
    return load_checkpoint(zoo_path(name))


def _apply_variant(model: SpikingNetwork, variant: Any, path: Path) -> None:
    try:
        apply_variant(model, variant)
    except InputError as error:
        raise InputError(f"{path}: {error}", RETRAIN) from error


def _family_named(name: object, path: Path) -> CheckpointFamily:
    for family in FAMILIES:
        if family.name == name:
            return family
    raise InputError(f"{path}: family {name!r} is unknown", f"known: {_known()}")


def _known() -> str:
    return ", ".join(family.name for family in FAMILIES)


def _versions() -> dict[str, str]:
    return {"pumice": version("pumice"), "torch": torch.__version__, "numpy": np.__version__}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
