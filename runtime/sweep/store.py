"""What a sweep keeps: a folder with a file for each finished point, each written whole or not at all, with its checksum."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pumice.errors import InputError
from pumice.files import write_atomically
from pumice.runtime.sweep.points import Outcome

HEADER = "sweep.json"


@dataclass(frozen=True)
class Store:
    """A sweep's folder. header: what the points depend on; a folder holds those of one header alone."""

    folder: Path
    header: Mapping[str, Any]

    def check(self, resume: bool) -> None:
        """Raises InputError where the folder holds another sweep, one that is not to be resumed, or none to resume."""
        held = (self.folder / HEADER).is_file()
        if held != resume:
            wrong = (
                ("no sweep to resume", "leave out --resume")
                if resume
                else ("holds a sweep", "add --resume, or choose another --output")
            )
            raise InputError(f"{self.folder}: {wrong[0]}", wrong[1])
        if not held:
            return
        stored, wanted = _read(self.folder / HEADER), json.loads(json.dumps(self.header))
        differ = sorted(name for name in stored.keys() | wanted.keys() if stored.get(name) != wanted.get(name))
        if differ:
            said = f"{differ[0]} was {_short(stored.get(differ[0]))}, is {_short(wanted.get(differ[0]))}"
            raise InputError(f"{self.folder}: holds another sweep: {said}", "choose another --output")

    def make(self) -> None:
        """Makes the folder, unless it is there."""
        try:
            self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise InputError(f"{self.folder}: cannot be made ({error.strerror})", "choose another --output") from error
        if not (self.folder / HEADER).is_file():
            _write(self.folder / HEADER, dict(self.header))

    def write(self, outcome: Outcome) -> None:
        """Keeps a finished point."""
        _write(self._path(outcome.index), outcome.as_dict())

    def read(self) -> dict[int, Outcome]:
        """All points that are kept, by index. Raises InputError naming a file that is not whole."""
        paths = sorted(path for path in self.folder.glob("[0-9]*.json"))
        return {outcome.index: outcome for outcome in (self._outcome(path) for path in paths)}

    def _outcome(self, path: Path) -> Outcome:
        try:
            outcome = Outcome(**_read(path))
        except TypeError as error:
            raise _damaged(path, "other fields") from error
        if self._path(outcome.index) != path:
            raise _damaged(path, f"point {outcome.index}")
        return outcome

    def _path(self, index: int) -> Path:
        return self.folder / f"{index:06}.json"


def _write(path: Path, entry: dict[str, Any]) -> None:
    content = {"sha256": _checksum(entry), "entry": entry}
    write_atomically(path, (json.dumps(content, sort_keys=True, indent=1) + "\n").encode())


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        entry: dict[str, Any] = content["entry"]
        if content["sha256"] != _checksum(entry):
            raise _damaged(path, "another checksum")
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise _damaged(path, type(error).__name__) from error
    return entry


def _checksum(entry: Any) -> str:
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()


def _damaged(path: Path, why: str) -> InputError:
    if path.name == HEADER:
        return InputError(f"{path}: not the whole file of a sweep ({why})", "restore it, or choose another --output")
    return InputError(
        f"{path}: not a whole result ({why})",
        "delete this file, and --resume computes its point again; others are kept",
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}…"
