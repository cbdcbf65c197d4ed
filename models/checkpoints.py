"""Checkpoints: one safetensors file, official state-dict keys, everything else as JSON in the metadata key `pumice`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.models.spikformer import Spikformer, SpikformerConfig

ZOO = Path(__file__).parent / "zoo"
FAMILY = "spikformer"
RETRAIN = "train one with `pumice train spikformer-digits`"


def save_checkpoint(model: Spikformer, path: str | Path, facts: Mapping[str, Any]) -> None:
    """Writes the model to `path`, or leaves what was there untouched.

    `facts`: JSON-ready values about its making (seed, command, accuracies); family, config and versions are added.
    """
    entry = {"family": FAMILY, "config": model.config.as_dict(), "versions": _versions(), **facts}
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    data = save(weights, metadata={"pumice": json.dumps(entry, sort_keys=True)})
    write_atomically(Path(path), data)


def load_checkpoint(path: str | Path) -> Spikformer:
    """The model saved at `path`, in eval mode, unpruned. Raises InputError for a missing, damaged or foreign file."""
    path = Path(path)
    facts = read_facts(path)
    if facts.get("family") != FAMILY:
        raise InputError(f"{path}: family {facts.get('family')!r} is not {FAMILY!r}", "use a Spikformer checkpoint")
    try:
        model = Spikformer(SpikformerConfig(**facts["config"]))
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


def zoo_names() -> tuple[str, ...]:
    """Names that `load_zoo` takes."""
    return tuple(sorted(path.stem for path in ZOO.glob("*.safetensors")))


def zoo_path(name: str) -> Path:
    """The file of a zoo model. Raises InputError for an unknown name."""
    if name not in zoo_names():
        raise InputError(f"the zoo has no model {name!r}", f"known: {', '.join(zoo_names()) or 'none'}")
    return ZOO / f"{name}.safetensors"


def load_zoo(name: str) -> Spikformer:
    """A model that ships with Pumice, in eval mode, unpruned. Raises InputError for an unknown name."""
    return load_checkpoint(zoo_path(name))


def _versions() -> dict[str, str]:
    return {"pumice": version("pumice"), "torch": torch.__version__, "numpy": np.__version__}


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
