"""State dicts read from checkpoint files without executing what is in them."""

from __future__ import annotations

import pickle
import pickletools
import re
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from pumice.errors import InputError

WRAPPERS = ("state_dict", "model", "model_state_dict", "net")  # timm, MAE-style and home-made training scripts
PREFIXES = ("module.", "_orig_mod.", "model.")  # DataParallel, torch.compile, a wrapping module


def read_state_dict(path: str | Path) -> dict[str, Tensor]:
    """The weights in a `.pth`, `.pt`, `.pth.tar` or `.safetensors` file, by their official keys, on the CPU.

    Wrappers around the state dict (`state_dict`, `model`, ...) and prefixes of all its keys (`module.`) are taken off.
    Nothing in the file is executed: a pickle that wants to is refused, and so is whatever `weights_only` does not guard.
    Raises InputError for a missing, unreadable or refused file and for one without weights.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint", "check the path")
    return _without_prefixes(_unwrapped(path, _read(path)))


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path}: not a complete safetensors file ({_one_line(error)})", "get it again") from error
    _refuse_unguarded(path)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _refusal(path, error) from error
    except Exception as error:  # a damaged pickle fails wherever it happens to: KeyError, EOFError, IndexError, ...
        raise InputError(f"{path}: not a readable checkpoint ({_one_line(error)})", "get the file again") from error


def _refuse_unguarded(path: Path) -> None:
    """Old torch versions leave two formats to loaders that `weights_only` does not guard: tar (CVE-2025-32434), TorchScript."""
    if tarfile.is_tarfile(path):
        raise InputError(
            f"{path}: a tar archive, the format of torch before 0.1.10, is not read", "save it with torch >= 1.6"
        )
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name.rsplit("/", 1)[-1] for name in archive.namelist()]
        if "constants.pkl" in names:
            raise InputError(f"{path}: a TorchScript program, not a checkpoint", "save the module's state_dict()")


def _refusal(path: Path, error: Exception) -> InputError:
    """One line for a pickle that asks for more than tensors, or for a file that is none."""
    asked = re.search(r"(?:GLOBAL|global|class)\W+([A-Za-z_]\w*(?:\.\w+)+)", str(error))
    wanted = asked[1] if asked else _first_global(path)
    if wanted is None:
        return InputError(f"{path}: not a checkpoint that holds tensors alone", "get the file again")
    return InputError(
        f"{path}: refused, the pickle wants to run {wanted}, and weights need nothing of the kind",
        "if you trust where it comes from, save its state_dict alone with torch.save",
    )


def _first_global(path: Path) -> str | None:
    """The first name that a bare pickle would import, read from its opcodes without running them."""
    texts: list[str] = []
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name in ("GLOBAL", "INST"):
                    return str(argument).replace(" ", ".")
                if opcode.name == "STACK_GLOBAL":
                    return ".".join(texts[-2:])
                texts += [argument] if isinstance(argument, str) else []
    except Exception:  # not a pickle: the caller says so
        return None
    return None


def _unwrapped(path: Path, data: Any) -> Mapping[str, Tensor]:
    while isinstance(data, Mapping):
        if data and all(isinstance(value, Tensor) for value in data.values()):
            return data
        inner = [data[key] for key in WRAPPERS if isinstance(data.get(key), Mapping)]
        if not inner:
            break
        data = inner[0]
    raise InputError(f"{path}: holds no state dict", f"looked for tensors, also under {', '.join(WRAPPERS)}")


def _without_prefixes(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    names = dict(weights)
    while prefix := next((p for p in PREFIXES if all(name.startswith(p) for name in names)), None):
        names = {name.removeprefix(prefix): tensor for name, tensor in names.items()}
    return names


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
