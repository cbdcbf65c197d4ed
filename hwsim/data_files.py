"""The TOML files that Pumice ships: chips and energy profiles."""

from __future__ import annotations

import sys
from importlib.resources import files
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TomlError = tomllib.TOMLDecodeError


def shipped_names(folder: str) -> list[str]:
    """Names of the files in a folder of `hwsim`, without their ending."""
    found = files("pumice.hwsim").joinpath(folder).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in found if file.name.endswith(".toml"))


def shipped_text(folder: str, name: str) -> str:
    """The text of one of them."""
    return files("pumice.hwsim").joinpath(folder).joinpath(f"{name}.toml").read_text()


def parse_toml(text: str) -> dict[str, Any]:
    """A parsed file. Raises TomlError."""
    return tomllib.loads(text)
