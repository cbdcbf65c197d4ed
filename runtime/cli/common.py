"""What the commands share: reading samples and models, writing results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from pumice.errors import BackendUnavailable, InputError
from pumice.files import write_atomically
from pumice.runtime.sample_sources import SampleSource, from_arrays, from_file, from_folder

if TYPE_CHECKING:
    from torch import nn

    from pumice.models.network import SpikingNetwork
    from pumice.models.training.digits import LabelledSplit

DIGITS = "digits"


@dataclass(frozen=True, eq=False)
class LabelledSamples:
    """inputs [samples, …]; labels [samples] or None."""

    inputs: NDArray[Any]
    labels: NDArray[np.int64] | None


def console(markup: bool = False, stderr: bool = False) -> Console:
    """Where results for people go. Wide enough for its tables when piped; by default square brackets are text, not markup."""
    plain = Console(highlight=False, markup=markup, stderr=stderr)
    return plain if plain.is_terminal else Console(highlight=False, markup=markup, width=140, stderr=stderr)


def read_array(path: Path) -> NDArray[Any]:
    """A `.npy` file. Raises InputError for anything else; nothing in the file is executed."""
    if not path.is_file():
        raise InputError(f"{path}: no such file", "give the path of a .npy array")
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise InputError(f"{path}: not a whole .npy array ({error})", "write it with numpy.save") from error
    if not isinstance(array, np.ndarray):
        raise InputError(f"{path}: an archive, not one array", "write one array with numpy.save")
    return array


def read_samples(where: str, split: str = "test", model: str = "") -> LabelledSamples:
    """A `.npy` file, or the `split` of a shipped data set: the word "digits", or the name of the zoo model that takes it; "" is
    the data set that `model`, a zoo name or a checkpoint, was trained on."""
    if where.endswith(".npy") or Path(where).is_file():
        return LabelledSamples(read_array(Path(where)), None)
    chosen = getattr(shipped_data(where or model), split)
    return LabelledSamples(chosen.images.numpy(), chosen.labels.numpy())


def read_source(where: str, labels: Path | None) -> SampleSource:
    """The samples of `pumice run --data`: a `.npy` file, with labels if there are any, a folder of shards, or the test samples of
    a shipped data set."""
    path = Path(where)
    if labels is not None and (path.is_dir() or not where.endswith(".npy")):
        raise InputError(f"--labels {labels} with --data {where}", "labels go with --data FILE.npy")
    if path.is_dir():
        return from_folder(path)
    if where.endswith(".npy") or path.is_file():
        return from_file(path, labels)
    shipped = read_samples(where)
    return from_arrays(shipped.inputs, shipped.labels)


def shipped_data(name: str) -> LabelledSplit:
    """The data set "digits", that of a zoo model, or that of a checkpoint (.safetensors). Raises BackendUnavailable without
    torch and scikit-learn, InputError for an unknown name."""
    described = data_facts(name)
    from pumice.models.training.datasets import data_of

    return data_of({"data": described})


def data_facts(name: str) -> dict[str, Any]:
    """The description of such a data set, as checkpoints keep it."""
    try:
        from pumice.models.checkpoints import read_facts, zoo_names, zoo_path
        from pumice.models.training.datasets import DigitImages
    except ImportError as error:
        raise BackendUnavailable("the shipped data sets need PyTorch", "pip install 'pumice[torch]'") from error
    digits = DigitImages().as_dict()
    if name == DIGITS:
        return digits
    known = zoo_names()
    if name not in known and not name.endswith(".safetensors"):
        raise InputError(f"{name}: no data set", f"give a .npy array, {DIGITS}, or one of {', '.join(known)}")
    found: dict[str, Any] = read_facts(zoo_path(name) if name in known else name).get("data", digits)
    return found


def read_model(where: str) -> SpikingNetwork:
    """A zoo name, or the path of a checkpoint."""
    try:
        from pumice.models.checkpoints import load_checkpoint, load_zoo
    except ImportError as error:
        raise BackendUnavailable("models need PyTorch", "pip install 'pumice[torch]'") from error
    return load_checkpoint(where) if where.endswith(".safetensors") else load_zoo(where)


def read_official(where: str, family: str, config: Path | None) -> nn.Module:
    """An official checkpoint, with its constructor's arguments from a JSON file. Nothing in either is executed."""
    try:
        from pumice.models.official import load_official, read_state_dict
    except ImportError as error:
        raise BackendUnavailable("models need PyTorch", "pip install 'pumice[torch]'") from error
    if config is None or not config.is_file():
        raise InputError(
            f"--config {config}: no such file", "write the constructor's arguments there, as a JSON object"
        )
    try:
        kwargs = json.loads(config.read_text())
    except ValueError as error:
        raise InputError(f"{config}: not JSON ({error})", "write the constructor's arguments there") from error
    if not isinstance(kwargs, dict):
        raise InputError(
            f"{config}: a JSON {type(kwargs).__name__}, not an object", 'e.g. {"embed_dims": 384, "depths": 4}'
        )
    return load_official(family, kwargs, read_state_dict(where))


def write_json(path: Path | None, value: Any) -> None:
    """`value` as JSON at `path`, whole or not at all."""
    if path is not None:
        write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def check_output(path: Path, suffix: str) -> None:
    """Raises InputError before any work where an output could not be written in the end."""
    if path.suffix != suffix:
        raise InputError(f"{path}: the output must end in {suffix}", f"e.g. {path.with_suffix(suffix)}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist", "create it first")
